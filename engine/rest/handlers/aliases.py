"""F5: aliases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...model import Alias
from ..call import Call
from .names import function_arn, function_only
from .pages import page


def _shape(call: Call, alias: Alias) -> dict[str, Any]:
    """AliasConfiguration."""
    return {
        "AliasArn": function_arn(call.place, alias.function_name, alias.name),
        "Name": alias.name,
        "FunctionVersion": alias.function_version,
        "Description": alias.description,
        "RoutingConfig": {"AdditionalVersionWeights": dict(alias.routing)} if alias.routing else None,
        "RevisionId": alias.revision_id,
    }


def _routing(given: Mapping[str, Any]) -> Mapping[str, float] | None:
    """None where nothing is said of it; an empty RoutingConfig takes the second version away."""
    routing = given.get("RoutingConfig")
    return None if routing is None else routing.get("AdditionalVersionWeights", {})


async def create_alias(call: Call) -> Mapping[str, Any]:
    given = call.given
    description = given.get("Description", "")
    name = function_only(call)
    alias = await call.client.create_alias(
        name, given["Name"], given["FunctionVersion"], description=description, routing=_routing(given)
    )
    return _shape(call, alias)


async def update_alias(call: Call) -> Mapping[str, Any]:
    given = call.given
    alias = await call.client.update_alias(
        function_only(call),
        given["Name"],
        function_version=given.get("FunctionVersion"),
        description=given.get("Description"),
        routing=_routing(given),
        revision_id=given.get("RevisionId"),
    )
    return _shape(call, alias)


async def get_alias(call: Call) -> Mapping[str, Any]:
    return _shape(call, await call.client.get_alias(function_only(call), call.given["Name"]))


async def list_aliases(call: Call) -> Mapping[str, Any]:
    name, version = function_only(call), call.given.get("FunctionVersion")
    aliases = await call.client.list_aliases(name, function_version=version)
    taken, marker = page(aliases, call.given, lambda alias: alias.name)
    return {"Aliases": [_shape(call, each) for each in taken], "NextMarker": marker}


async def delete_alias(call: Call) -> Mapping[str, Any]:
    await call.client.delete_alias(function_only(call), call.given["Name"])
    return {}
