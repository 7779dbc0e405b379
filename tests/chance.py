"""How far a count may lie from what is to be expected before it is no chance any more."""

from __future__ import annotations

from math import exp, lgamma, log, log1p
from typing import Final

FALSE_ALARM: Final = 1e-9


def binomial_bounds(tries: int, share: float, false_alarm: float = FALSE_ALARM) -> tuple[int, int]:
    """The least and the most hits of so many tries, each with this chance, but for one case in 1 / `false_alarm`.

    share: between 0 and 1, neither of them.
    """
    masses = [
        exp(_log_ways(tries, hits) + hits * log(share) + (tries - hits) * log1p(-share)) for hits in range(tries + 1)
    ]
    return _tail(masses, false_alarm / 2), tries - _tail(masses[::-1], false_alarm / 2)


def _log_ways(tries: int, hits: int) -> float:
    """The logarithm of how many ways there are to hit so often."""
    return lgamma(tries + 1) - lgamma(hits + 1) - lgamma(tries - hits + 1)


def _tail(masses: list[float], most: float) -> int:
    """How many outcomes at this end are, together, less likely than `most`."""
    total = 0.0
    for count, mass in enumerate(masses):
        total += mass
        if total >= most:
            return count
    return len(masses)
