"""F5: when calls are meant to be sent, as pure endless streams of nanoseconds since the start. Nothing waits here.

Every time is computed from the start, so that nothing drifts however late a reader of the stream is.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Final

NS_PER_S: Final = 1_000_000_000


def constant(rate: float) -> Iterator[int]:
    """`rate` arrivals per second, evenly spaced, the first at 0."""
    return (int(number * NS_PER_S / rate) for number in count())


def poisson(rate: float, rng: Random) -> Iterator[int]:
    """A Poisson process: independent gaps, exponentially distributed with mean 1/rate seconds."""
    at_s = 0.0
    while True:
        at_s += rng.expovariate(rate)
        yield int(at_s * NS_PER_S)


def bursts(size: int, every_s: float) -> Iterator[int]:
    """`size` arrivals at once, every `every_s` seconds, the first burst at 0."""
    for number in count():
        at_ns = int(number * every_s * NS_PER_S)
        for _ in range(size):
            yield at_ns
