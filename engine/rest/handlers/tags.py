"""F5: tags of functions, event source mappings and code signing configurations, by ARN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...errors import InvalidParameterValueException, ResourceNotFoundException
from ..call import Call
from ..documents import find
from .event_sources import MAPPING
from .names import function_and_qualifier, function_arn
from .signing import CONFIGURATION
from .tagging import drop_tags, put_tags, tags_of

__all__ = ["list_tags", "put_tags", "tag_resource", "tags_of", "untag_resource"]


async def tag_resource(call: Call) -> Mapping[str, Any]:
    arn, function = await _tagged(call)
    if not call.given["Tags"]:
        raise InvalidParameterValueException("An error occurred and the request cannot be processed.")
    await put_tags(call.client, arn, call.given["Tags"], function)
    return {}


async def untag_resource(call: Call) -> Mapping[str, Any]:
    arn, function = await _tagged(call)
    await drop_tags(call.client, arn, call.given["TagKeys"], function)
    return {}


async def list_tags(call: Call) -> Mapping[str, Any]:
    arn, _ = await _tagged(call)
    return {"Tags": await tags_of(call.client, arn)}


async def _tagged(call: Call) -> tuple[str, str | None]:
    """The ARN of what is there to be tagged, and the bare name where that is a function."""
    arn: str = call.given["Resource"]
    region, account_id, kind, name = arn.split(":", 6)[3:]
    if kind == "function":
        bare, qualifier = function_and_qualifier(replace(call, given={"FunctionName": arn}))
        if qualifier is not None:
            raise InvalidParameterValueException(
                "Tags on function aliases and versions are not supported. Please specify a function ARN."
            )
        await call.client.get_function(bare)
        return function_arn(call.place, bare), bare
    here = (region, account_id) == (call.place.region, call.place.account_id)
    if kind == "event-source-mapping":
        found = await find(call.client, MAPPING, name.lower()) if here else None
        arn = arn.lower()
    else:
        found = await find(call.client, CONFIGURATION, arn) if here else None
    if found is None:
        raise ResourceNotFoundException("The resource you requested does not exist.")
    return arn, None
