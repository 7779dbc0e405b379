"""F5: resource policies of functions, versions and aliases. Kept here; nobody is let in or kept out by them yet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ...errors import InvalidParameterValueException, ResourceNotFoundException
from ...model import Resource
from ...store.snapshot import LATEST
from ..call import Call
from ..documents import change, find
from .names import function_and_qualifier, function_arn
from .statements import (
    ACCOUNT_ID,
    FUNCTION_POLICY,
    account_principal,
    as_text,
    check_revision,
    function_key,
    policy_place,
    with_statement,
    without_statement,
)

SERVICE: Final = re.compile(r"[a-z0-9][a-z0-9.-]*\.(amazonaws\.com(\.cn)?|amazon\.com|aws\.internal)", re.ASCII)
IAM_ARN: Final = re.compile(r"arn:aws[a-zA-Z-]*:(iam|sts)::\d{12}:\S+", re.ASCII)


async def add_permission(call: Call) -> Mapping[str, Any]:
    """Stored and validated; enforced in a later release."""
    given = call.given
    _, qualifier = function_and_qualifier(call)
    if qualifier == LATEST:
        raise InvalidParameterValueException("We currently do not support adding policies for $LATEST.")
    place = await policy_place(call)
    statement = _statement(given, place.arn)

    def added(policy: Resource | None) -> dict[str, Any]:
        current = place.revision_id if policy is None else policy.revision_id
        check_revision(current, given.get("RevisionId"), "GetPolicy")
        return with_statement(policy, statement)

    await change(call.client, FUNCTION_POLICY, place.key, added, function=place.key)
    return {"Statement": as_text(statement)}


async def remove_permission(call: Call) -> Mapping[str, Any]:
    given = call.given
    name, _ = function_and_qualifier(call)
    try:
        await call.client.get_function(name)
    except ResourceNotFoundException as error:
        raise ResourceNotFoundException(f"No policy found for: {function_arn(call.place, name)}") from error
    place = await policy_place(call)

    def left(policy: Resource | None) -> dict[str, Any] | None:
        document = without_statement(policy, given["StatementId"])
        check_revision(None if policy is None else policy.revision_id, given.get("RevisionId"), "GetPolicy")
        return document

    await change(call.client, FUNCTION_POLICY, place.key, left, function=place.key)
    return {}


async def get_policy(call: Call) -> Mapping[str, Any]:
    """RevisionId is the policy's own, not the function's."""
    name, qualifier = function_and_qualifier(call)
    await call.client.get_function(name)
    found = await find(call.client, FUNCTION_POLICY, function_key(name, qualifier))
    if found is None:
        raise ResourceNotFoundException("The resource you requested does not exist.")
    return {"Policy": as_text(found.document), "RevisionId": found.revision_id}


def _statement(given: Mapping[str, Any], arn: str) -> dict[str, Any]:
    action = given["Action"]
    if "FunctionUrlAuthType" in given and action != "lambda:InvokeFunctionUrl":
        raise InvalidParameterValueException(
            "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action"
        )
    if "InvokedViaFunctionUrl" in given and action != "lambda:InvokeFunction":
        raise InvalidParameterValueException("InvokedViaFunctionUrl is only supported for lambda:InvokeFunction action")
    statement: dict[str, Any] = {
        "Sid": given["StatementId"],
        "Effect": "Allow",
        "Principal": _principal(given["Principal"]),
        "Action": action,
        "Resource": arn,
    }
    condition = _condition(given)
    return {**statement, "Condition": condition} if condition else statement


def _principal(text: str) -> str | dict[str, str]:
    """A service, an account, an ARN of IAM's, or `*`. Whether it exists is not looked at."""
    if text == "*":
        return text
    if ACCOUNT_ID.fullmatch(text):
        return account_principal(text)
    if IAM_ARN.fullmatch(text):
        return {"AWS": text}
    if SERVICE.fullmatch(text):
        return {"Service": text}
    raise InvalidParameterValueException(
        "The provided principal was invalid. Please check the principal and try again."
    )


def _condition(given: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    equals = {
        "lambda:FunctionUrlAuthType": given.get("FunctionUrlAuthType"),
        "lambda:EventSourceToken": given.get("EventSourceToken"),
        "aws:PrincipalOrgID": given.get("PrincipalOrgID"),
        "AWS:SourceAccount": given.get("SourceAccount"),
    }
    via_url = given.get("InvokedViaFunctionUrl")
    operators = {
        "StringEquals": {key: value for key, value in equals.items() if value is not None},
        "ArnLike": {"AWS:SourceArn": given["SourceArn"]} if "SourceArn" in given else {},
        "Bool": {} if via_url is None else {"lambda:InvokedViaFunctionUrl": str(via_url).lower()},
    }
    return {name: keys for name, keys in operators.items() if keys}
