"""F5: long lists in pages: `Marker` in, `NextMarker` out, as Lambda's List operations have them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from ...errors import InvalidParameterValueException

ITEMS_MAX: Final = 50  # of a page when nothing is said, and the most that Lambda gives of functions

T = TypeVar("T")


def page(
    items: Sequence[T], given: Mapping[str, Any], key: Callable[[T], str], most: int = ITEMS_MAX
) -> tuple[Sequence[T], str | None]:
    """The items behind `Marker`, at most `MaxItems`, and the marker of the rest: None where there is none.

    A marker names the last item that was seen by its `key`, so a page neither repeats nor leaves out what was there all
    the while. Items are in an order of their own that stays. Raises InvalidParameterValueException.
    """
    start = 0
    marker = given.get("Marker")
    if marker:
        start = _place_behind(items, _read(marker), key)
    size = min(int(given.get("MaxItems") or most), most)
    taken = items[start : start + size]
    more = start + size < len(items)
    return taken, _write(key(taken[-1]), start + size) if more else None


def _place_behind(items: Sequence[T], marker: tuple[str, int], key: Callable[[T], str]) -> int:
    seen, place = marker
    for number, item in enumerate(items):
        if key(item) == seen:
            return number + 1
    return min(place, len(items))  # it was removed meanwhile: what stood behind it has moved up by about one


def _write(seen: str, place: int) -> str:
    return base64.urlsafe_b64encode(f"{place}:{seen}".encode()).decode()


def _read(marker: str) -> tuple[str, int]:
    try:
        place, _, seen = base64.urlsafe_b64decode(marker.encode()).decode().partition(":")
        return seen, max(0, int(place) - 1)
    except (ValueError, binascii.Error) as error:
        raise InvalidParameterValueException(f"Marker={marker!r} is none that this service gave") from error
