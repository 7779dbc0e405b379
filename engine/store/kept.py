"""F1: settings that Lambda has and this engine only gives back: what may be kept of them, and how changes join them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from ..errors import InvalidParameterValueException

KEPT_MAX_BYTES: Final = 65_536  # of one version's, as JSON
DEPTH_MAX: Final = 16
_INT_MOST: Final = 1 << 63  # what travels by MessagePack


def merged(before: Mapping[str, object], given: object) -> Mapping[str, object]:
    """What was kept, with what is given in its place by key; None takes a key away. Shares nothing with `given`.

    Raises InvalidParameterValueException for what is no JSON, lies too deep or is too much.
    """
    if not isinstance(given, Mapping):
        raise InvalidParameterValueException(
            f"kept={given!r:.200}: give a mapping of settings by their names in Lambda"
        )
    problem = next(_problems(given, DEPTH_MAX), None)
    if problem is not None:
        raise InvalidParameterValueException(f"kept: {problem}")
    kept = {name: value for name, value in {**before, **given}.items() if value is not None}
    text = json.dumps(kept)
    if len(text.encode()) > KEPT_MAX_BYTES:
        raise InvalidParameterValueException(
            f"kept has {len(text.encode()):,} bytes as JSON, and at most {KEPT_MAX_BYTES:,} are taken: leave some out"
        )
    return MappingProxyType(json.loads(text))


def _problems(value: object, depth: int) -> Iterator[str]:
    if depth == 0:
        yield f"its values lie more than {DEPTH_MAX} deep"
    elif isinstance(value, Mapping):
        for name, each in value.items():
            if not isinstance(name, str):
                yield f"{name!r:.200} is a key that is not text"
            yield from _problems(each, depth - 1)
    elif isinstance(value, list):
        for each in value:
            yield from _problems(each, depth - 1)
    elif not _is_plain(value):
        yield f"{value!r:.200} is no JSON value"


def _is_plain(value: object) -> bool:
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int):
        return -_INT_MOST <= value < _INT_MOST
    if isinstance(value, float):
        return abs(value) < float("inf")
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)
