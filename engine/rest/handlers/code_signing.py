"""F5: code signing configurations and the functions that have one. No signature is ever checked here.

So UntrustedArtifactOnDeployment=Enforce is refused: kept, it would promise that unsigned code is kept out.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from typing import Any, Final

from ...errors import (
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from ...model import Resource
from ...store.writer import lambda_time
from ..call import Call
from ..documents import change, find
from .names import function_and_qualifier, function_arn
from .pages import page
from .signing import CONFIGURATION, OF_FUNCTION, attach_code_signing
from .tagging import check_tags, drop_tags, put_tags

ID_SYMBOLS: Final = string.ascii_lowercase + string.digits
MEMBERS: Final = ("Description", "AllowedPublishers", "CodeSigningPolicies")
PAGE_MAX: Final = 10_000


async def create_code_signing_config(call: Call) -> Mapping[str, Any]:
    """Stored; signatures are not checked, so UntrustedArtifactOnDeployment=Enforce is refused."""
    given, place = call.given, call.place
    _check_policies(given)
    check_tags(given.get("Tags", {}))
    name = "csc-" + "".join(secrets.choice(ID_SYMBOLS) for _ in range(17))
    arn = f"arn:aws:lambda:{place.region}:{place.account_id}:code-signing-config:{name}"
    document = {"CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Warn"}, **_told(given)}
    made = await call.client.put_resource(CONFIGURATION, arn, document, create=True)
    await put_tags(call.client, arn, given.get("Tags", {}))
    return {"CodeSigningConfig": _shape(made)}


async def get_code_signing_config(call: Call) -> Mapping[str, Any]:
    return {"CodeSigningConfig": _shape(await _found(call))}


async def update_code_signing_config(call: Call) -> Mapping[str, Any]:
    """Stored; signatures are not checked, so UntrustedArtifactOnDeployment=Enforce is refused."""
    _check_policies(call.given)

    def changed(there: Resource | None) -> dict[str, Any]:
        return {**_there(call, there).document, **_told(call.given)}

    made = await change(call.client, CONFIGURATION, call.given["CodeSigningConfigArn"], changed)
    return {"CodeSigningConfig": _shape(_there(call, made))}


async def delete_code_signing_config(call: Call) -> Mapping[str, Any]:
    found = await _found(call)
    users = await _functions_of(call, found.key)
    if users:
        raise ResourceConflictException(
            f"The code signing configuration {found.key} is used by {len(users)} functions, {users[0]} among them: "
            "delete their code signing configurations first"
        )
    await change(call.client, CONFIGURATION, found.key, lambda _: None)
    await drop_tags(call.client, found.key)
    return {}


async def list_code_signing_configs(call: Call) -> Mapping[str, Any]:
    made = await call.client.list_resources(CONFIGURATION)
    taken, marker = page(made, call.given, lambda each: each.key, PAGE_MAX)
    return {"CodeSigningConfigs": [_shape(each) for each in taken], "NextMarker": marker}


async def put_function_code_signing_config(call: Call) -> Mapping[str, Any]:
    """Stored; signatures are not checked."""
    arn, name = call.given["CodeSigningConfigArn"], _name(call)
    await attach_code_signing(call.client, name, arn)
    return {"CodeSigningConfigArn": arn, "FunctionName": name}


async def get_function_code_signing_config(call: Call) -> Mapping[str, Any]:
    name = _name(call)
    await call.client.get_function(name)
    found = await find(call.client, OF_FUNCTION, name)
    return {} if found is None else {"CodeSigningConfigArn": found.document["Arn"], "FunctionName": name}


async def delete_function_code_signing_config(call: Call) -> Mapping[str, Any]:
    name = _name(call)
    await call.client.get_function(name)
    await change(call.client, OF_FUNCTION, name, lambda _: None, function=name)
    return {}


async def list_functions_by_code_signing_config(call: Call) -> Mapping[str, Any]:
    functions = await _functions_of(call, (await _found(call)).key)
    taken, marker = page([function_arn(call.place, each) for each in functions], call.given, str, PAGE_MAX)
    return {"FunctionArns": taken, "NextMarker": marker}


async def _found(call: Call) -> Resource:
    return _there(call, await find(call.client, CONFIGURATION, call.given["CodeSigningConfigArn"]))


def _there(call: Call, found: Resource | None) -> Resource:
    if found is None:
        arn = call.given["CodeSigningConfigArn"]
        raise ResourceNotFoundException(f"The Lambda code signing configuration {arn} can not be found.")
    return found


async def _functions_of(call: Call, arn: str) -> list[str]:
    """Bare names, in order."""
    made = await call.client.list_resources(OF_FUNCTION)
    return [each.key for each in made if each.document["Arn"] == arn]


def _name(call: Call) -> str:
    name, _ = function_and_qualifier(call)
    return name


def _check_policies(given: Mapping[str, Any]) -> None:
    if given.get("CodeSigningPolicies", {}).get("UntrustedArtifactOnDeployment") == "Enforce":
        raise InvalidParameterValueException(
            "UntrustedArtifactOnDeployment=Enforce cannot be promised: this engine does not check signatures, so "
            "unsigned code would be deployed all the same. Say Warn, or leave it out"
        )


def _told(given: Mapping[str, Any]) -> dict[str, Any]:
    return {member: given[member] for member in MEMBERS if given.get(member) not in (None, {})}


def _shape(made: Resource) -> dict[str, Any]:
    """CodeSigningConfig."""
    return {
        "CodeSigningConfigId": made.key.rpartition(":")[2],
        "CodeSigningConfigArn": made.key,
        **made.document,
        "LastModified": lambda_time(made.last_modified_ms),
    }
