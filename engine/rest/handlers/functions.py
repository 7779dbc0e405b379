"""F5: functions: made, changed, told of and deleted. What of a request becomes which setting is `settings`'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import InvalidParameterValueException
from ...store.snapshot import LATEST
from ..call import Call
from ..downloads import code_location
from .code import code_of
from .describe import described
from .names import function_and_qualifier, function_arn, function_only
from .pages import page
from .settings import architecture_of, changes_of, settings_of
from .shapes import listed
from .signing import attach_code_signing, check_code_signing
from .tagging import check_tags, put_tags, tags_of


async def create_function(call: Call) -> Mapping[str, Any]:
    given = call.given
    name = function_only(call)
    _check_kind(given)
    check_tags(given.get("Tags", {}))
    if "CodeSigningConfigArn" in given:
        await check_code_signing(call.client, given["CodeSigningConfigArn"])
    async with code_of(call, given["Code"]) as code:
        made = await call.client.create_function(name, code=code, **settings_of(given))
    await put_tags(call.client, function_arn(call.place, name), given.get("Tags", {}), name)
    if "CodeSigningConfigArn" in given:
        await attach_code_signing(call.client, name, given["CodeSigningConfigArn"])
    if given.get("Publish"):
        made = await call.client.publish_version(name)
    return await described(call, made, qualified=bool(given.get("Publish")))


async def update_function_code(call: Call) -> Mapping[str, Any]:
    given = call.given
    name = function_only(call)
    async with code_of(call, given) as code:
        made = await call.client.update_function_code(
            name,
            code=code,
            revision_id=given.get("RevisionId"),
            architecture=architecture_of(given),
            dry_run=bool(given.get("DryRun")),
        )
    if given.get("Publish") and not given.get("DryRun"):
        made = await call.client.publish_version(name)
    return await described(call, made, qualified=bool(given.get("Publish")))


async def update_function_configuration(call: Call) -> Mapping[str, Any]:
    given = call.given
    made = await call.client.update_function_configuration(
        function_only(call), revision_id=given.get("RevisionId"), **changes_of(given)
    )
    return await described(call, made, qualified=False)


async def get_function_configuration(call: Call) -> Mapping[str, Any]:
    name, qualifier = function_and_qualifier(call)
    found = await call.client.get_function(name, qualifier=qualifier)
    return await described(call, found, qualified=qualifier == LATEST)


async def get_function(call: Call) -> Mapping[str, Any]:
    name, qualifier = function_and_qualifier(call)
    found = await call.client.get_function(name, qualifier=qualifier)
    reserved = await call.client.get_function_concurrency(name)
    return {
        "Configuration": await described(call, found, qualified=qualifier == LATEST),
        "Code": {"RepositoryType": "S3", "Location": code_location(call, found.code.sha256)},
        "Tags": await tags_of(call.client, function_arn(call.place, name)) or None,
        "Concurrency": None if reserved is None else {"ReservedConcurrentExecutions": reserved},
    }


async def list_functions(call: Call) -> Mapping[str, Any]:
    region, version = call.given.get("MasterRegion"), call.given.get("FunctionVersion")
    functions = await call.client.list_functions()
    if version == "ALL":
        functions = [each for one in functions for each in await call.client.list_versions(one.function_name)]
    if region not in (None, "ALL", call.place.region):
        functions = []
    taken, marker = page(functions, call.given, lambda found: f"{found.function_name}:{found.version}")
    return {"Functions": [listed(each, qualified=version == "ALL") for each in taken], "NextMarker": marker}


async def delete_function(call: Call) -> Mapping[str, Any]:
    name, qualifier = function_and_qualifier(call)
    await call.client.delete_function(name, qualifier=qualifier)
    return {}


def _check_kind(given: Mapping[str, Any]) -> None:
    """A zip needs these two, which the model leaves to be said or not because images need neither."""
    if given.get("PackageType") == "Image":
        raise InvalidParameterValueException(
            "PackageType Image is not run by this engine, which has no container images: deploy a zip"
        )
    if not given.get("Runtime") or not given.get("Handler"):
        raise InvalidParameterValueException(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages."
        )
