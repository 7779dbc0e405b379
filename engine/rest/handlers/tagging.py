"""F5: tags of whatever has an ARN, as the handlers that make such things put and drop them. Who may is `tags`'."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from ...client.asynchronous import Client
from ...errors import InvalidParameterValueException
from ...model import Resource
from ..documents import change, find

KIND: Final = "tags"
TAGS_MAX: Final = 50  # of one resource


def check_tags(tags: Mapping[str, str]) -> None:
    """Raises InvalidParameterValueException. Lengths and characters are the model's, and were checked with it."""
    if len(tags) > TAGS_MAX:
        raise InvalidParameterValueException("Number of tags exceeds resource tag limit.")
    reserved = next((key for key in tags if key.lower().startswith("aws:")), None)
    if reserved is not None:
        raise InvalidParameterValueException(
            f"aws: prefixed tag key names are not allowed for external use, and {reserved!r} is one."
        )


async def put_tags(client: Client, arn: str, tags: Mapping[str, str], function: str | None = None) -> None:
    """Add tags, in the place of those with the same keys. function: the bare name, where `arn` is a function's.

    Raises InvalidParameterValueException, ResourceNotFoundException where the function is gone.
    """
    check_tags(tags)

    def added(there: Resource | None) -> dict[str, str]:
        together = {**({} if there is None else there.document), **tags}
        check_tags(together)
        return together

    if tags:
        await change(client, KIND, arn, added, function=function)


async def drop_tags(client: Client, arn: str, keys: Collection[str] | None = None, function: str | None = None) -> None:
    """Remove the tags with these keys, or all; keys that are not there are no error."""

    def left(there: Resource | None) -> dict[str, str] | None:
        if there is None or keys is None:
            return None
        return {key: value for key, value in there.document.items() if key not in keys} or None

    await change(client, KIND, arn, left, function=function)


async def tags_of(client: Client, arn: str) -> dict[str, str]:
    """By key; empty where there are none."""
    found = await find(client, KIND, arn)
    return {} if found is None else dict(found.document)
