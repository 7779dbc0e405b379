"""F5: documents that the gateway keeps in the core's catalog: read, changed, written; again if another came first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from ..client.asynchronous import Client
from ..errors import (
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
    TooManyRequestsException,
)
from ..model import Resource

ATTEMPTS_MAX: Final = 32  # one of those who write at once succeeds each time, so this many writers all do

# From what is there, or None, to what is to be there: None is nothing.
Change: TypeAlias = Callable[[Resource | None], Mapping[str, Any] | None]


async def find(client: Client, kind: str, key: str) -> Resource | None:
    """One document, or None."""
    try:
        return await client.get_resource(kind, key)
    except ResourceNotFoundException:
        return None


async def change(
    client: Client, kind: str, key: str, changed: Change, *, function: str | None = None
) -> Resource | None:
    """Put `changed` of a document in its place; what was written between reading and writing is not lost.

    function: a bare name, or `name:qualifier`, with which it goes. What `changed` raises is raised. Raises
    ResourceNotFoundException for a function that is not there, TooManyRequestsException.
    """
    for _ in range(ATTEMPTS_MAX):
        found = await find(client, kind, key)
        document = changed(found)
        try:
            return await _write(client, kind, key, found, document, function)
        except (PreconditionFailedException, ResourceConflictException):
            continue
        except ResourceNotFoundException:
            if found is None:
                raise
    raise TooManyRequestsException(f"The {kind} of {key} was changed by others {ATTEMPTS_MAX} times over: try again")


async def _write(
    client: Client,
    kind: str,
    key: str,
    found: Resource | None,
    document: Mapping[str, Any] | None,
    function: str | None,
) -> Resource | None:
    if document is not None:
        revision_id = None if found is None else found.revision_id
        return await client.put_resource(
            kind, key, document, function=function, revision_id=revision_id, create=found is None
        )
    if found is not None:
        await client.delete_resource(kind, key, revision_id=found.revision_id)
    return None
