"""F5: layers and their versions. Their permissions are `layer_policies`'."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ...errors import ValidationException
from ...model import LayerVersion
from ...validation import violation
from ..call import Call
from ..downloads import code_location
from .code import code_of
from .pages import page
from .statements import forget_layer_policy

VERSION_ARN: Final = re.compile(r"(?P<layer>arn:[^:]+:lambda:[^:]+:\d{12}:layer:[^:]+):(?P<version>\d+)", re.ASCII)
SETTINGS: Final = {
    "Description": "description",
    "CompatibleRuntimes": "compatible_runtimes",
    "CompatibleArchitectures": "compatible_architectures",
    "LicenseInfo": "license_info",
}


async def publish_layer_version(call: Call) -> Mapping[str, Any]:
    given = call.given
    settings = {setting: given[member] for member, setting in SETTINGS.items() if member in given}
    async with code_of(call, given["Content"]) as code:
        made = await call.client.publish_layer_version(given["LayerName"], code=code, **settings)
    return _whole(call, made)


async def get_layer_version(call: Call) -> Mapping[str, Any]:
    given = call.given
    return _whole(call, await call.client.get_layer_version(given["LayerName"], given["VersionNumber"]))


async def get_layer_version_by_arn(call: Call) -> Mapping[str, Any]:
    arn = call.given["Arn"]
    found = VERSION_ARN.fullmatch(arn)
    if found is None:
        told = violation(arn, "arn", "Member must be the ARN of a layer version, with its number")
        raise ValidationException(f"1 validation error detected: {told}")
    return _whole(call, await call.client.get_layer_version(found["layer"], int(found["version"])))


async def list_layers(call: Call) -> Mapping[str, Any]:
    layers = await call.client.list_layers(**_filters(call.given))
    taken, marker = page(layers, call.given, lambda layer: layer.layer_name)
    told = [
        {"LayerName": each.layer_name, "LayerArn": each.layer_arn, "LatestMatchingVersion": _listed(each)}
        for each in taken
    ]
    return {"Layers": told, "NextMarker": marker}


async def list_layer_versions(call: Call) -> Mapping[str, Any]:
    versions = await call.client.list_layer_versions(call.given["LayerName"], **_filters(call.given))
    taken, marker = page(versions, call.given, lambda version: str(version.version))
    return {"LayerVersions": [_listed(each) for each in taken], "NextMarker": marker}


async def delete_layer_version(call: Call) -> Mapping[str, Any]:
    name, version = call.given["LayerName"], call.given["VersionNumber"]
    await call.client.delete_layer_version(name, version)
    await forget_layer_policy(call.client, name, version)
    return {}


def _filters(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "compatible_runtime": given.get("CompatibleRuntime"),
        "compatible_architecture": given.get("CompatibleArchitecture"),
    }


def _listed(version: LayerVersion) -> dict[str, Any]:
    """LayerVersionsListItem."""
    return {
        "LayerVersionArn": version.layer_version_arn,
        "Version": version.version,
        "Description": version.description,
        "CreatedDate": version.created_date,
        "CompatibleRuntimes": version.compatible_runtimes or None,
        "CompatibleArchitectures": version.compatible_architectures or None,
        "LicenseInfo": version.license_info or None,
    }


def _whole(call: Call, version: LayerVersion) -> dict[str, Any]:
    """With the content: what PublishLayerVersion and GetLayerVersion answer."""
    code = version.code
    content = {"Location": code_location(call, code.sha256), "CodeSha256": code.sha256, "CodeSize": code.size}
    return {**_listed(version), "LayerArn": version.layer_arn, "Content": content}
