"""F5: which function is called with which payload: weights, sizes, and the seeded stream of draws. No time here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat
from random import Random
from typing import Final, TypeAlias, TypeVar

from .. import config

T = TypeVar("T")
Call: TypeAlias = tuple[int, bytes]  # which function, by its place in the list, and the event

FUNCTIONS_MAX: Final = 256  # each keeps counts of its own, about 0.5 MB
SIZE_MIN_BYTES: Final = 2  # the shortest JSON string is two quotes
DRAWS: Final = 1_024  # drawn at once


@dataclass(frozen=True, slots=True)
class Weighted:
    """Something and how often it is drawn against the others."""

    what: str
    weight: float


def parse_weighted(text: str) -> Weighted:
    """`name=3`; without `=` the weight is 1. Raises ValueError, naming the value."""
    what, equals, weight_text = text.rpartition("=")
    if not equals:
        return Weighted(text, 1.0)
    try:
        weight = float(weight_text)
    except ValueError:
        weight = math.nan
    if not what or not 0 < weight < math.inf:
        raise ValueError(f"{text!r}: a weight is a number above 0, as in name=3")
    return Weighted(what, weight)


def sized_payload(size_bytes: int) -> bytes:
    """A JSON string that takes exactly `size_bytes`. Raises ValueError outside Lambda's range."""
    if not SIZE_MIN_BYTES <= size_bytes <= config.EVENT_MAX_BYTES:
        raise ValueError(f"{size_bytes} bytes: an event has {SIZE_MIN_BYTES} to {config.EVENT_MAX_BYTES:,} bytes")
    return b'"' + b"x" * (size_bytes - SIZE_MIN_BYTES) + b'"'


def parse_sizes(text: str) -> tuple[list[bytes], list[float]]:
    """`128,4096=3`: payloads of these sizes and their weights. Raises ValueError, naming the value."""
    parts = [parse_weighted(part.strip()) for part in text.split(",")]
    if wrong := [part.what for part in parts if not part.what.isdecimal()]:
        raise ValueError(f"{wrong[0]!r} is not a size: write whole bytes, as in 128,4096 or 128=9,4096=1")
    return [sized_payload(int(part.what)) for part in parts], [part.weight for part in parts]


class Mix:
    """Draws calls. The same seed gives the same calls in the same order."""

    def __init__(
        self, weights: Sequence[float], payloads: Sequence[bytes], payload_weights: Sequence[float], seed: int
    ) -> None:
        self._weights = weights
        self._payloads = payloads
        self._payload_weights = payload_weights
        self._seed = seed

    def calls(self) -> Iterator[Call]:
        """Endless: functions and payloads drawn by weight, independently."""
        functions = drawn(range(len(self._weights)), self._weights, Random(f"functions {self._seed}"))
        return zip(functions, self.payloads(), strict=True)

    def payloads(self) -> Iterator[bytes]:
        """Endless: payloads alone, for arrivals that name their function themselves."""
        return drawn(self._payloads, self._payload_weights, Random(f"payloads {self._seed}"))


def drawn(what: Sequence[T], weights: Sequence[float], rng: Random) -> Iterator[T]:
    """An endless stream of draws by weight."""
    if len(what) == 1:
        return repeat(what[0])
    return _drawn(what, list(accumulate(weights)), rng)


def _drawn(what: Sequence[T], up_to: list[float], rng: Random) -> Iterator[T]:
    while True:
        yield from rng.choices(what, cum_weights=up_to, k=DRAWS)
