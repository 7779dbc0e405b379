"""F5: resource policies as documents: statements added and removed by their id, within Lambda's bounds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...client.asynchronous import Client
from ...errors import (
    PolicyLengthExceededException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from ...model import Resource
from ...store.snapshot import LATEST
from ...validation import ALIAS_PATTERN
from ..call import Call
from ..documents import change
from .names import function_and_qualifier, function_arn

FUNCTION_POLICY: Final = "policy"  # kinds of documents
LAYER_POLICY: Final = "layer-policy"
POLICY_MAX_BYTES: Final = 20_480
NO_POLICY: Final = "No policy is associated with the given resource."
ACCOUNT_ID: Final = re.compile(r"\d{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PolicyPlace:
    """What a policy is of: its key, which owns it too, its ARN, and the revision that it has while it has none."""

    key: str
    arn: str
    revision_id: str


async def policy_place(call: Call) -> PolicyPlace:
    """Of `FunctionName`. Raises ResourceNotFoundException for a function, version or alias that is not there."""
    name, qualifier = function_and_qualifier(call)
    if qualifier is not None and re.fullmatch(ALIAS_PATTERN, qualifier, re.ASCII):
        await call.client.get_function(name)
        alias = await call.client.get_alias(name, qualifier)
        return PolicyPlace(function_key(name, qualifier), function_arn(call.place, name, qualifier), alias.revision_id)
    found = await call.client.get_function(name, qualifier=qualifier)
    qualifier = None if qualifier == LATEST else qualifier
    return PolicyPlace(function_key(name, qualifier), function_arn(call.place, name, qualifier), found.revision_id)


def with_statement(policy: Resource | None, statement: Mapping[str, Any]) -> dict[str, Any]:
    """Raises ResourceConflictException for an id that is taken, PolicyLengthExceededException."""
    there = _statements(policy)
    sid = statement["Sid"]
    if any(each.get("Sid") == sid for each in there):
        raise ResourceConflictException(
            f"The statement id ({sid}) provided already exists. Please provide a new statement id, or remove the "
            "existing statement."
        )
    made = _policy([*there, statement])
    check_size(made)
    return made


def check_size(document: Mapping[str, Any]) -> None:
    """Raises PolicyLengthExceededException."""
    size = len(as_text(document).encode())
    if size > POLICY_MAX_BYTES:
        raise PolicyLengthExceededException(
            f"The final policy size ({size}) is bigger than the limit ({POLICY_MAX_BYTES})."
        )


def without_statement(policy: Resource | None, sid: str) -> dict[str, Any] | None:
    """None when it was the last. Raises ResourceNotFoundException for a policy or statement that is not there."""
    if policy is None:
        raise ResourceNotFoundException(NO_POLICY)
    there = _statements(policy)
    left = [each for each in there if each.get("Sid") != sid]
    if len(left) == len(there):
        raise ResourceNotFoundException(f"Statement {sid} is not found in resource policy.")
    return _policy(left) if left else None


def check_revision(current: str | None, given: str | None, operation: str) -> None:
    """Raises PreconditionFailedException where a revision is given that is not the current one."""
    if given is not None and given != current:
        raise PreconditionFailedException(
            "The Revision Id provided does not match the latest Revision Id. "
            f"Call the {operation} API to retrieve the latest Revision Id"
        )


def account_principal(account_id: str) -> dict[str, str]:
    """An account is written as its root."""
    return {"AWS": f"arn:aws:iam::{account_id}:root"}


def function_key(name: str, qualifier: str | None) -> str:
    """Of the policy of a function, a version or an alias."""
    return name if qualifier in (None, LATEST) else f"{name}:{qualifier}"


def layer_key(layer: str, version: int) -> str:
    """Of the policy of a layer's version. layer: a name or an ARN."""
    return f"{layer.rpartition(':')[2]}:{version}"


async def forget_layer_policy(client: Client, layer: str, version: int) -> None:
    """The policy of a version that is deleted."""
    await change(client, LAYER_POLICY, layer_key(layer, version), lambda _: None)


def as_text(document: Mapping[str, Any]) -> str:
    """A policy or a statement, as Lambda's answers have it: JSON in a string."""
    return json.dumps(dict(document), separators=(",", ":"), ensure_ascii=False)


def _policy(statements: list[Mapping[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Id": "default", "Statement": statements}


def _statements(policy: Resource | None) -> list[Mapping[str, Any]]:
    return [] if policy is None else list(policy.document["Statement"])
