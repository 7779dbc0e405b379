"""F5: resource policies as whole documents: those that permissions are statements of. Kept; not enforced yet."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import orjson

from ...errors import InvalidParameterValueException, ResourceNotFoundException
from ...model import Resource
from ..call import Call
from ..documents import change, find
from .statements import FUNCTION_POLICY, NO_POLICY, as_text, check_revision, check_size, policy_place

VERSIONS: Final = ("2012-10-17", "2008-10-17")
# One of each pair stands in every statement: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
PAIRS: Final = (("Principal", "NotPrincipal"), ("Action", "NotAction"), ("Resource", "NotResource"))
READ: Final = "GetResourcePolicy"


async def put_resource_policy(call: Call) -> Mapping[str, Any]:
    """Stored and validated, in the place of all permissions there were; enforced in a later release."""
    document = _read(call.given["Policy"])
    check_size(document)
    place = await policy_place(_of_function(call))

    def put(policy: Resource | None) -> dict[str, Any]:
        check_revision(None if policy is None else policy.revision_id, call.given.get("RevisionId"), READ)
        return document

    return _told(await change(call.client, FUNCTION_POLICY, place.key, put, function=place.key))


async def get_resource_policy(call: Call) -> Mapping[str, Any]:
    place = await policy_place(_of_function(call))
    return _told(await find(call.client, FUNCTION_POLICY, place.key))


async def delete_resource_policy(call: Call) -> Mapping[str, Any]:
    place = await policy_place(_of_function(call))

    def nothing(policy: Resource | None) -> None:
        if policy is None:
            raise ResourceNotFoundException(NO_POLICY)
        check_revision(policy.revision_id, call.given.get("RevisionId"), READ)

    await change(call.client, FUNCTION_POLICY, place.key, nothing)
    return {}


def _told(policy: Resource | None) -> Mapping[str, Any]:
    if policy is None:
        raise ResourceNotFoundException(NO_POLICY)
    return {"Policy": as_text(policy.document), "RevisionId": policy.revision_id}


def _of_function(call: Call) -> Call:
    """As a call that names its function, as other operations do. Raises InvalidParameterValueException for others."""
    arn = call.given["ResourceArn"]
    if ":function:" not in arn:
        raise InvalidParameterValueException(
            f"ResourceArn={arn!r}: of functions, versions and aliases there are policies"
        )
    return dataclasses.replace(call, given={"FunctionName": arn})


def _read(text: str) -> dict[str, Any]:
    """A policy that IAM's grammar has. Raises InvalidParameterValueException."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidParameterValueException(f"The provided policy is no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("Version", VERSIONS[0]) not in VERSIONS:
        raise InvalidParameterValueException(
            f"The provided policy is to be an object of Version {' or '.join(VERSIONS)}"
        )
    statements = document.get("Statement")
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not statements:
        raise InvalidParameterValueException("The provided policy has no Statement")
    for number, statement in enumerate(statements, 1):
        _check(statement, number)
    names = [each["Sid"] for each in statements if "Sid" in each]
    if len(set(names)) != len(names):
        raise InvalidParameterValueException("Statement ids (SID) in a single policy must be unique.")
    return {**document, "Statement": statements}


def _check(statement: object, number: int) -> None:
    if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
        raise InvalidParameterValueException(f"Statement {number} of the policy has no Effect Allow or Deny")
    if not isinstance(statement.get("Sid", ""), str):
        raise InvalidParameterValueException(f"The Sid of statement {number} of the policy is no string")
    for one, other in PAIRS:
        if (one in statement) == (other in statement):
            raise InvalidParameterValueException(f"Statement {number} of the policy needs either {one} or {other}")
