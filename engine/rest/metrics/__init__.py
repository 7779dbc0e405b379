"""F5: CloudWatch metrics, as far as they are AWS/Lambda's: read from the core, which counts them by the minute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...errors import EngineError, InvalidParameterValueException
from ..call import Handler
from ..codecs.contract import Refusal
from ..handlers import handlers_of
from . import data, listing, statistics

MODULES: Final = (data, listing, statistics)
HANDLERS: Final[Mapping[str, Handler]] = {name: handler for module in MODULES for name, handler in handlers_of(module)}


def refusal_of(error: EngineError) -> Refusal:
    """An error of the engine's in this service's words."""
    told = getattr(error, "message", str(error))
    if isinstance(error, InvalidParameterValueException):
        return Refusal("InvalidParameterValueException", told)
    return Refusal("InternalServiceFault", told)
