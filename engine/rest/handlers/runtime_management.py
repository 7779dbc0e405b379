"""F5: when a function's runtime is to be updated. Kept only: functions run on this host's interpreters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ...errors import InvalidParameterValueException
from ...store.snapshot import LATEST
from ...validation import ALIAS_PATTERN
from ..call import Call
from ..documents import change, find
from .names import function_and_qualifier

KIND: Final = "runtime-management"


async def put_runtime_management_config(call: Call) -> Mapping[str, Any]:
    """Stored; functions run on this host's interpreters, which no mode updates or pins."""
    given = call.given
    key, arn = await _version(call)
    mode, version = given["UpdateRuntimeOn"], given.get("RuntimeVersionArn")
    if mode == "Manual" and version is None:
        raise InvalidParameterValueException("RuntimeVersionArn is required when UpdateRuntimeOn is Manual.")
    if mode != "Manual" and version is not None:
        raise InvalidParameterValueException(
            f"RuntimeVersionArn is for UpdateRuntimeOn Manual only, and UpdateRuntimeOn is {mode}."
        )
    document = {"UpdateRuntimeOn": mode, **({} if version is None else {"RuntimeVersionArn": version})}
    await change(call.client, KIND, key, lambda _: document, function=key)
    return {**document, "FunctionArn": arn}


async def get_runtime_management_config(call: Call) -> Mapping[str, Any]:
    key, arn = await _version(call)
    found = await find(call.client, KIND, key)
    return {"UpdateRuntimeOn": "Auto", **({} if found is None else found.document), "FunctionArn": arn}


async def _version(call: Call) -> tuple[str, str]:
    """The key of what is kept, which owns it too, and the ARN that an answer gives."""
    name, qualifier = function_and_qualifier(call)
    if qualifier is not None and re.fullmatch(ALIAS_PATTERN, qualifier, re.ASCII):
        raise InvalidParameterValueException(
            f"Qualifier {qualifier} is to be {LATEST} or a version: aliases have no runtime of their own."
        )
    found = await call.client.get_function(name, qualifier=qualifier)
    arn = f"{found.function_arn}:{LATEST}" if qualifier == LATEST else found.function_arn
    return name if found.version == LATEST else f"{name}:{found.version}", arn
