"""F5: URLs of functions and aliases: their configurations. Requests for them are `urls.door`'s."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ...errors import InvalidParameterValueException, ResourceConflictException, ResourceNotFoundException
from ...model import FunctionConfiguration
from ..call import Call
from ..urls import lookup
from ..urls.address import function_url
from ..urls.lookup import FunctionUrl
from .names import function_and_qualifier, function_arn
from .pages import page

NO_FUNCTION: Final = "Function does not exist"
NO_TENANTS: Final = "Function URLs are not supported for functions with tenancy configuration."
NO_URL: Final = "The resource you requested does not exist."


async def create_function_url_config(call: Call) -> Mapping[str, Any]:
    given = call.given
    name, alias = function_and_qualifier(call)
    if (await _check_exists(call, name, alias)).tenant_isolation is not None:
        raise InvalidParameterValueException(NO_TENANTS)
    now_ms = time.time_ns() // 1_000_000
    wanted = FunctionUrl(name, alias, given["AuthType"], given.get("InvokeMode"), given.get("Cors") or None, now_ms)
    identity = lookup.id_of(call.place, name, alias)
    try:
        made = await lookup.write(call.client, wanted, identity, create=True)
    except ResourceConflictException as conflict:
        arn = function_arn(call.place, name, alias)
        raise ResourceConflictException(
            f"Failed to create function url config for [functionArn = {arn}]. Error message:  FunctionUrlConfig exists "
            "for this Lambda function"
        ) from conflict
    except ResourceNotFoundException as gone:
        raise ResourceNotFoundException(NO_FUNCTION) from gone
    told = _shape(call, made)
    del told["LastModifiedTime"]  # no member of this answer
    return told


async def get_function_url_config(call: Call) -> Mapping[str, Any]:
    return _shape(call, await _read(call, *function_and_qualifier(call)))


async def update_function_url_config(call: Call) -> Mapping[str, Any]:
    given = call.given
    name, alias = function_and_qualifier(call)
    await _check_exists(call, name, alias)
    held = await _read(call, name, alias)
    wanted = replace(
        held,
        auth_type=given.get("AuthType", held.auth_type),
        invoke_mode=given.get("InvokeMode", held.invoke_mode),
        cors=(given["Cors"] or None) if "Cors" in given else held.cors,
    )
    made = await lookup.write(call.client, wanted, lookup.id_of(call.place, name, alias), create=False)
    return _shape(call, made)


async def delete_function_url_config(call: Call) -> Mapping[str, Any]:
    name, alias = function_and_qualifier(call)
    try:
        await lookup.delete(call.client, name, alias)
    except ResourceNotFoundException as gone:
        raise ResourceNotFoundException(NO_URL) from gone
    return {}


async def list_function_url_configs(call: Call) -> Mapping[str, Any]:
    name, _ = function_and_qualifier(call)
    await _check_exists(call, name, None)
    taken, marker = page(await lookup.read_all(call.client, name), call.given, lambda url: url.key)
    return {"FunctionUrlConfigs": [_shape(call, each) for each in taken], "NextMarker": marker}


async def _check_exists(call: Call, name: str, alias: str | None) -> FunctionConfiguration:
    try:
        found = await call.client.get_function(name)
        if alias is not None:
            await call.client.get_alias(name, alias)
    except ResourceNotFoundException as missing:
        raise ResourceNotFoundException(NO_FUNCTION) from missing
    return found


async def _read(call: Call, name: str, alias: str | None) -> FunctionUrl:
    try:
        return await lookup.read(call.client, name, alias)
    except ResourceNotFoundException as missing:
        raise ResourceNotFoundException(NO_URL) from missing


def _shape(call: Call, url: FunctionUrl) -> dict[str, Any]:
    """FunctionUrlConfig."""
    identity = lookup.id_of(call.place, url.function, url.alias)
    return {
        "FunctionUrl": function_url(identity, call.place.region, call.place.port),
        "FunctionArn": function_arn(call.place, url.function, url.alias),
        "AuthType": url.auth_type,
        "Cors": url.cors,
        "InvokeMode": url.invoke_mode,
        "CreationTime": lookup.timestamp(url.created_ms),
        "LastModifiedTime": lookup.timestamp(url.modified_ms),
    }
