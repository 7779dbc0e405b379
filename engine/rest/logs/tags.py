"""F5: tags of log groups, by the newer operations and by those that they replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..call import Call
from .group import find, keep, name_of


async def list_tags_for_resource(call: Call) -> Mapping[str, Any]:
    return await _listed(call, name_of(call.given["resourceArn"]))


async def tag_resource(call: Call) -> Mapping[str, Any]:
    return await _changed(call, name_of(call.given["resourceArn"]), call.given["tags"])


async def untag_resource(call: Call) -> Mapping[str, Any]:
    return await _changed(call, name_of(call.given["resourceArn"]), dict.fromkeys(call.given["tagKeys"]))


async def list_tags_log_group(call: Call) -> Mapping[str, Any]:
    return await _listed(call, call.given["logGroupName"])


async def tag_log_group(call: Call) -> Mapping[str, Any]:
    return await _changed(call, call.given["logGroupName"], call.given["tags"])


async def untag_log_group(call: Call) -> Mapping[str, Any]:
    return await _changed(call, call.given["logGroupName"], dict.fromkeys(call.given["tags"]))


async def _listed(call: Call, name: str) -> Mapping[str, Any]:
    return {"tags": (await find(call, name)).said.get("tags", {})}


async def _changed(call: Call, name: str, changes: Mapping[str, str | None]) -> Mapping[str, Any]:
    """None takes a tag away."""
    group = await find(call, name)
    tags = {**group.said.get("tags", {}), **changes}
    await keep(call, group, tags={key: value for key, value in tags.items() if value is not None})
    return {}
