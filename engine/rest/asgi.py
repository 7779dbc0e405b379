"""F5: reading requests and sending answers in ASGI's own terms, for paths that are too hot or too long for objects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs

from ..errors import InvalidParameterValueException, RequestTooLargeException

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = "Iterable[tuple[bytes, bytes]]"

QUERY_FIELDS_MAX: Final = 1_000
JSON: Final = (b"content-type", b"application/json")


class ClientLeft(Exception):
    """The client went away before its request was whole: nobody waits for an answer."""


async def read_body(receive: Receive, most: int, what: str) -> bytes:
    """The whole body. Raises RequestTooLargeException once it is over `most` bytes, ClientLeft."""
    message = await receive()
    if message["type"] != "http.request":
        raise ClientLeft
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False) and len(body) <= most:
        return body
    parts, size = [body], len(body)
    while message.get("more_body", False) and size <= most:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientLeft
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    if size > most:
        raise RequestTooLargeException(f"Request must be smaller than {most} bytes for the {what} operation")
    return b"".join(parts)


def read_query(query: bytes) -> dict[str, list[str]]:
    """Values of a query string by name. Raises InvalidParameterValueException for more than QUERY_FIELDS_MAX."""
    try:
        return parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
    except ValueError as error:
        raise InvalidParameterValueException(f"The query string has over {QUERY_FIELDS_MAX} parameters") from error


async def respond(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """A whole answer."""
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
