"""F5: one mapping of a source to a function, whichever gateways are asked for it at once.

A claim is a document whose key is made of what tells mappings apart. It is put after its mapping, so one whose mapping
is not there, or maps something else by now, is left over and counts for nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from ...client.asynchronous import Client
from ...errors import (
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
    TooManyRequestsException,
)
from ...model import Resource
from ..documents import ATTEMPTS_MAX, change, find
from .event_sources import MAPPING, SQS, kind_of

CLAIM: Final = "event-source-claim"


async def check_free(client: Client, document: Mapping[str, Any], own_id: str) -> None:
    """Raises ResourceConflictException where another mapping is of the same source and function."""
    await _rival(client, await find(client, CLAIM, _key(document)), document, own_id)


async def claim(client: Client, made: Resource) -> None:
    """For a mapping that was put. Raises ResourceConflictException as above, TooManyRequestsException."""
    key = _key(made.document)
    for _ in range(ATTEMPTS_MAX):
        found = await find(client, CLAIM, key)
        await _rival(client, found, made.document, made.key)
        revision_id = None if found is None else found.revision_id
        try:
            await client.put_resource(CLAIM, key, {"UUID": made.key}, revision_id=revision_id, create=found is None)
            return
        except (PreconditionFailedException, ResourceConflictException, ResourceNotFoundException):
            continue
    raise TooManyRequestsException(f"The event source mapping {made.key} was made by others {ATTEMPTS_MAX} times over")


async def release(client: Client, document: Mapping[str, Any], own_id: str) -> None:
    """For a mapping that is gone, or was of this before."""

    def left(found: Resource | None) -> Mapping[str, Any] | None:
        return None if found is None or found.document["UUID"] == own_id else found.document

    await change(client, CLAIM, _key(document), left)


async def _rival(client: Client, found: Resource | None, document: Mapping[str, Any], own_id: str) -> None:
    if found is None or found.document["UUID"] == own_id:
        return
    other = await find(client, MAPPING, found.document["UUID"])
    if other is None or _key(other.document) != found.key:
        return
    source, function = document.get("EventSourceArn"), document["FunctionArn"].split(":", 6)[6]
    if kind_of(document) is SQS:
        told = f'An event source mapping with SQS arn (" {source} ") and function (" {function} ") already exists.'
    else:
        told = f'The event source arn (" {source} ") and function (" {function} ") provided mapping already exists.'
    raise ResourceConflictException(f"{told} Please update or delete the existing mapping with UUID {other.key}")


def _key(document: Mapping[str, Any]) -> str:
    parts = [document.get(part) for part in ("FunctionArn", *kind_of(document).identity)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
