"""F5: URL configurations in the core's catalog, and how a URL's id leads to one.

Two resources a URL: its configuration by function and alias, and a sign from its id to that key. The id is made of the
function's ARN, so a sign that was once seen stays true and is remembered here; the configuration is asked of the core
for each request. What was created, changed or deleted by anyone therefore holds for the next request of every gateway.
Signs stay until their function is deleted: one without a configuration leads nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from ...client.asynchronous import Client
from ...errors import ResourceNotFoundException
from ...model import Resource
from ...store.snapshot import arn
from ..call import Place
from . import address

URLS: Final = "function-url"
IDS: Final = "function-url-id"
REMEMBERED_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class FunctionUrl:
    """One URL. cors: as the service model's Cors; invoke_mode: None where its maker said none, which is BUFFERED."""

    function: str
    alias: str | None
    auth_type: str
    invoke_mode: str | None
    cors: Mapping[str, Any] | None
    created_ms: int
    modified_ms: int = 0

    @property
    def key(self) -> str:
        return key_of(self.function, self.alias)


class UrlLookup:
    """From ids to URLs, for one gateway."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._keys: dict[str, str] = {}

    async def find(self, url_id: str) -> FunctionUrl | None:
        """None: nobody has a URL with this id. Raises what a client raises where no engine answers."""
        try:
            key = self._keys.get(url_id) or await self._ask(url_id)
            return url_of(await self._client.get_resource(URLS, key))
        except ResourceNotFoundException:
            return None

    async def _ask(self, url_id: str) -> str:
        key = str((await self._client.get_resource(IDS, url_id)).document["key"])
        if len(self._keys) >= REMEMBERED_MAX:
            self._keys.clear()
        self._keys[url_id] = key
        return key


async def write(client: Client, url: FunctionUrl, url_id: str, *, create: bool) -> FunctionUrl:
    """Keep it. Raises ResourceConflictException for `create` where there is one, ResourceNotFoundException."""
    document = {
        "function": url.function,
        "alias": url.alias,
        "auth_type": url.auth_type,
        "invoke_mode": url.invoke_mode,
        "cors": None if url.cors is None else dict(url.cors),
        "created_ms": url.created_ms,
    }
    if create:  # first the sign: a URL that nothing leads to would be worse than a sign that leads nowhere
        await client.put_resource(IDS, url_id, {"key": url.key}, function=url.key)
    return url_of(await client.put_resource(URLS, url.key, document, function=url.key, create=create))


async def read(client: Client, function: str, alias: str | None) -> FunctionUrl:
    """Raises ResourceNotFoundException."""
    return url_of(await client.get_resource(URLS, key_of(function, alias)))


async def read_all(client: Client, function: str) -> list[FunctionUrl]:
    """Of the function and its aliases, by key."""
    return [url_of(each) for each in await client.list_resources(URLS, function=function)]


async def delete(client: Client, function: str, alias: str | None) -> None:
    """Raises ResourceNotFoundException."""
    await client.delete_resource(URLS, key_of(function, alias))


def url_of(resource: Resource) -> FunctionUrl:
    return FunctionUrl(**resource.document, modified_ms=resource.last_modified_ms)


def key_of(function: str, alias: str | None) -> str:
    return function if alias is None else f"{function}:{alias}"


def id_of(place: Place, function: str, alias: str | None) -> str:
    """Of a function's URL here."""
    return address.url_id(arn(place.region, place.account_id, function, alias))


def timestamp(ms: int) -> str:
    """ISO 8601, as the operations give times."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
