"""F3: orders in which idle environments make room: least recently used, and greedy-dual.

Greedy-dual as in FaasCache (Fuerst and Sharma, ASPLOS 2021): priority = clock + frequency * cold start / memory. The
clock is that of an environment's last use; it goes up to the priority of whatever is evicted, so that what was
precious once grows old. No use is reported here: the clock of a moment is looked up in the history of evictions.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from .contract import Candidate, Eviction

HISTORY_MAX: Final = 4_096  # evictions whose clock is known; what was last used before them has the oldest one's


class LeastRecentlyUsed:
    """The environment that was unused longest goes first."""

    def priority(self, candidate: Candidate) -> float:
        return float(candidate.used_ns)

    def evicted(self, priority: float, now_ns: int) -> None:
        pass  # nothing ages but by time


class GreedyDual:
    """What is seldom used, quick to start or large goes first."""

    def __init__(self) -> None:
        self._times_ns: list[int] = []
        self._clocks: list[float] = []
        self._oldest = 0.0

    def priority(self, candidate: Candidate) -> float:
        """In milliseconds of cold start saved per megabyte held."""
        worth = candidate.frequency * candidate.cold_ns / 1e6 / candidate.memory_mb
        return self.clock_at(candidate.used_ns) + worth

    def clock_at(self, time_ns: int) -> float:
        place = bisect_right(self._times_ns, time_ns)
        return self._clocks[place - 1] if place else self._oldest

    def evicted(self, priority: float, now_ns: int) -> None:
        clock = max(priority, self._clocks[-1] if self._clocks else self._oldest)
        if self._times_ns and self._times_ns[-1] >= now_ns:
            self._clocks[-1] = clock
            return
        self._times_ns.append(now_ns)
        self._clocks.append(clock)
        if len(self._clocks) > HISTORY_MAX:
            half = HISTORY_MAX // 2
            self._oldest = self._clocks[half - 1]
            del self._times_ns[:half], self._clocks[:half]


def victims(
    eviction: Eviction, candidates: Iterable[Candidate], now_ns: int, *, count: int = 0, memory_mb: int = 0
) -> list[Candidate]:
    """Those that go: as few, in order, as are `count` and hold `memory_mb`; all where that is not enough."""
    order = [(eviction.priority(each), each) for each in candidates]
    order.sort(key=lambda entry: (entry[0], entry[1].used_ns, entry[1].key, entry[1].serial))
    chosen: list[Candidate] = []
    freed_mb = 0
    for priority, candidate in order:
        if len(chosen) >= count and freed_mb >= memory_mb:
            break
        chosen.append(candidate)
        freed_mb += candidate.memory_mb
        eviction.evicted(priority, now_ns)
    return chosen
