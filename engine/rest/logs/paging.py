"""F5: tokens of pages: what a client gives back is read as strictly as if somebody had made it up."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import orjson

from ..codecs.contract import Refusal

T = TypeVar("T")


def page_of(
    items: Sequence[T], given: Mapping[str, Any], most: int, key: Callable[[T], str]
) -> tuple[Sequence[T], str | None]:
    """The items behind `nextToken`, at most `limit`, and the token of the rest. A token names the last item seen."""
    start = 0
    if given.get("nextToken"):
        last, place = read_token(given["nextToken"], str, int)
        found = next((number + 1 for number, item in enumerate(items) if key(item) == last), None)
        start = min(place, len(items)) if found is None else found
    end = start + min(int(given.get("limit") or most), most)
    return items[start:end], None if end >= len(items) else token_of(key(items[end - 1]), end)


def token_of(*parts: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode()


def read_token(token: str, *kinds: type) -> list[Any]:
    """The parts of a token, each of its kind; numbers are not negative. Raises Refusal."""
    try:
        parts = orjson.loads(base64.urlsafe_b64decode(token.encode("ascii")))
    except (ValueError, binascii.Error) as error:
        raise invalid_token() from error
    if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):
        raise invalid_token()
    if any(type(part) is int and part < 0 for part in parts):
        raise invalid_token()
    return parts


def invalid_token() -> Refusal:
    return Refusal("InvalidParameterException", "The specified nextToken is invalid.")
