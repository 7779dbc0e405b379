"""F5: FunctionConfiguration of one function, with its state as it is now."""

from __future__ import annotations

from typing import Any

from ...model import FunctionConfiguration
from ..call import Call
from .shapes import configuration


async def described(call: Call, function: FunctionConfiguration, *, qualified: bool) -> dict[str, Any]:
    """As `shapes.configuration`. Only versions that start from snapshots can be anything but Active."""
    if not function.starts_from_snapshot:
        return configuration(function, qualified=qualified)
    state = await call.client.get_function_state(function.function_name, qualifier=function.version)
    return configuration(function, qualified=qualified, state=state)
