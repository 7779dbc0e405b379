"""F5: CloudWatch Logs, as far as it is about what functions log. Groups, streams and events are read from the core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...errors import EngineError, InvalidParameterValueException, ResourceConflictException, ResourceNotFoundException
from ..call import Handler
from ..codecs.contract import Refusal
from ..handlers import handlers_of
from . import events, groups, live_tail, searching, streams, tags

MODULES: Final = (events, groups, searching, streams, tags)
HANDLERS: Final[Mapping[str, Handler]] = {name: handler for module in MODULES for name, handler in handlers_of(module)}
STREAMS: Final = {"StartLiveTail": live_tail.start_live_tail}
CODES: Final[Mapping[type[EngineError], str]] = {
    InvalidParameterValueException: "InvalidParameterException",
    ResourceConflictException: "ResourceAlreadyExistsException",
    ResourceNotFoundException: "ResourceNotFoundException",
}


def refusal_of(error: EngineError) -> Refusal:
    """An error of the engine's in this service's words."""
    code = CODES.get(type(error))
    if code is None:
        return Refusal("ServiceUnavailableException", str(error), status=503)
    return Refusal(code, getattr(error, "message", str(error)))
