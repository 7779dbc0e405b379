"""F5: resource policies of layer versions. Kept here; nobody is let in or kept out by them yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import InvalidParameterValueException, ResourceNotFoundException
from ...model import LayerVersion, Resource
from ..call import Call
from ..documents import change, find
from .statements import (
    ACCOUNT_ID,
    LAYER_POLICY,
    NO_POLICY,
    account_principal,
    as_text,
    check_revision,
    layer_key,
    with_statement,
    without_statement,
)


async def add_layer_version_permission(call: Call) -> Mapping[str, Any]:
    """Stored and validated; enforced in a later release."""
    given = call.given
    layer = await _layer_version(call)
    statement = _statement(given, layer.layer_version_arn)

    def added(policy: Resource | None) -> dict[str, Any]:
        document = with_statement(policy, statement)
        check_revision(None if policy is None else policy.revision_id, given.get("RevisionId"), "GetLayerPolicy")
        return document

    made = await change(call.client, LAYER_POLICY, layer_key(layer.layer_name, layer.version), added)
    return {"Statement": as_text(statement), "RevisionId": None if made is None else made.revision_id}


async def remove_layer_version_permission(call: Call) -> Mapping[str, Any]:
    given = call.given
    layer = await _layer_version(call)

    def left(policy: Resource | None) -> dict[str, Any] | None:
        document = without_statement(policy, given["StatementId"])
        check_revision(None if policy is None else policy.revision_id, given.get("RevisionId"), "GetLayerPolicy")
        return document

    await change(call.client, LAYER_POLICY, layer_key(layer.layer_name, layer.version), left)
    return {}


async def get_layer_version_policy(call: Call) -> Mapping[str, Any]:
    layer = await _layer_version(call)
    found = await find(call.client, LAYER_POLICY, layer_key(layer.layer_name, layer.version))
    if found is None:
        raise ResourceNotFoundException(NO_POLICY)
    return {"Policy": as_text(found.document), "RevisionId": found.revision_id}


async def _layer_version(call: Call) -> LayerVersion:
    name, version = call.given["LayerName"], call.given["VersionNumber"]
    try:
        return await call.client.get_layer_version(name, version)
    except ResourceNotFoundException as error:
        place = call.place
        arn = name if name.startswith("arn:") else f"arn:aws:lambda:{place.region}:{place.account_id}:layer:{name}"
        raise ResourceNotFoundException(f"Layer version {arn}:{version} does not exist.") from error


def _statement(given: Mapping[str, Any], arn: str) -> dict[str, Any]:
    principal, organization = given["Principal"], given.get("OrganizationId")
    if organization is not None and principal != "*":
        raise InvalidParameterValueException(
            f"OrganizationId is for Principal * only, and Principal is {principal}: an account needs no organization"
        )
    statement: dict[str, Any] = {
        "Sid": given["StatementId"],
        "Effect": "Allow",
        "Principal": _principal(principal),
        "Action": given["Action"],
        "Resource": arn,
    }
    if organization is None:
        return statement
    return {**statement, "Condition": {"StringEquals": {"aws:PrincipalOrgID": organization}}}


def _principal(text: str) -> str | dict[str, str]:
    """`*`, an account, or the ARN of its root, which the model's pattern leaves."""
    if text == "*":
        return text
    return account_principal(text) if ACCOUNT_ID.fullmatch(text) else {"AWS": text}
