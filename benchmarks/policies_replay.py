"""A day replayed in virtual time through the engine's own keep-alive policies and eviction orders.

One environment per function, as in the simulations of both papers: a spell of invocations is warm when there is one,
else its first invocation is a cold start. What a cold start takes delays nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.core.keep_alive.contract import Candidate, Eviction, KeepAlive, Key, Windows

from .policies_trace import Day

HOUR_NS: Final = 3_600_000_000_000
DAY_NS: Final = 24 * HOUR_NS
NEVER: Final = 1 << 62
PERCENTILES: Final = (50, 75, 99)


@dataclass(frozen=True, slots=True)
class Contestant:
    """A policy with, where memory is bounded, an order of eviction; made anew for every replay."""

    title: str
    keep_alive: Callable[[], KeepAlive]
    eviction: Callable[[], Eviction] | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a day was like. wasted_share: of the memory-time held, that in which nothing ran. cold_shares: the 50th,
    75th and 99th percentile over functions of the share of their invocations that were cold starts, in percent."""

    title: str
    invocations: int
    cold_starts: int
    cold_start_hours: float
    held_gb_hours: float
    peak_gb: float
    wasted_share: float
    prewarms: int
    prewarms_used: int
    evictions: int
    cold_shares: dict[str, float]


class Replay:
    """The state of every function by its number; `None` and -1 stand for what is not there."""

    def __init__(self, day: Day, contestant: Contestant, budget_mb: int | None) -> None:
        functions = len(day.sizes_mb)
        self.day = day
        self.policy = contestant.keep_alive()
        self.eviction = contestant.eviction() if contestant.eviction else None
        self.budget_mb = budget_mb if self.eviction else None
        self.title = contestant.title
        self.keys: list[Key] = [(str(number), "$LATEST") for number in range(functions)]
        self.held_since = [-1] * functions
        self.ended = [-1] * functions  # the end of the last spell
        self.used = [False] * functions  # since it was started
        self.windows: list[Windows] = [Windows(0, 0)] * functions
        self.due = [NEVER] * functions  # when to look at it again; its entry among the timers
        self.frequency = [0] * functions
        self.stamps = [0] * functions  # entries among the victims that are of an older use are void
        self.cold = [0] * functions
        self.invocations = [0] * functions
        self.timers: list[tuple[int, int]] = []
        self.busy: list[tuple[int, int, int]] = []
        self.idle: list[tuple[float, int, int, int]] = []
        self.held_mb = self.peak_mb = 0
        self.held_mb_ns = self.busy_mb_ns = self.cold_ns = 0
        self.prewarms = self.prewarms_used = self.evictions = 0

    def run(self) -> Told:
        day = self.day
        spells = zip(*(each.tolist() for each in (day.functions, day.begins_ns, day.ends_ns, day.counts, day.busy_ns)),
                     strict=True)  # fmt: skip
        for function, begin_ns, end_ns, count, busy_ns in spells:
            self._pass_time(begin_ns)
            self._arrive(function, begin_ns, end_ns, count)
            self.busy_mb_ns += busy_ns * day.sizes_mb[function]
        self._pass_time(DAY_NS)
        for function, since_ns in enumerate(self.held_since):
            if since_ns >= 0:
                self._let_go(function, max(DAY_NS, since_ns))
        return self._told()

    # --- invocations --------------------------------------------------------------------------------------------------

    def _arrive(self, function: int, begin_ns: int, end_ns: int, count: int) -> None:
        before_ns = self.ended[function]
        if self.held_since[function] < 0:
            self.cold[function] += 1
            self.cold_ns += self.day.cold_ns[function]
            self._make_room(function, begin_ns)
            self._start(function, begin_ns)
        elif not self.used[function]:
            self.prewarms_used += 1
        self.used[function] = True
        self.invocations[function] += count
        self.frequency[function] += count
        key = self.keys[function]
        if before_ns >= 0:
            self.policy.observe(key, max(0, begin_ns - before_ns), count - 1)
        elif count > 1:
            self.policy.observe(key, 0, count - 2)
        self.ended[function] = max(end_ns, before_ns)
        self.windows[function] = windows = self.policy.windows(key)
        self._look_again(function, self.ended[function] + (0 if windows.prewarm_ns else windows.keep_alive_ns))
        if self.budget_mb is not None:
            self._rest(function)

    def _look_again(self, function: int, due_ns: int) -> None:
        """A timer that comes too soon is put off when it comes."""
        if due_ns < self.due[function]:
            self.due[function] = due_ns
            heapq.heappush(self.timers, (due_ns, function))

    # --- time ---------------------------------------------------------------------------------------------------------

    def _pass_time(self, until_ns: int) -> None:
        while self.timers and self.timers[0][0] <= until_ns:
            now_ns, function = heapq.heappop(self.timers)
            if now_ns == self.due[function]:
                self.due[function] = NEVER
                self._look_over(function, now_ns)

    def _look_over(self, function: int, now_ns: int) -> None:
        """As the engine's own housekeeping does it, at the very moment."""
        windows, idle_ns = self.windows[function], now_ns - self.ended[function]
        if idle_ns < 0:
            self._look_again(function, self.ended[function] + (0 if windows.prewarm_ns else windows.keep_alive_ns))
            return
        held = self.held_since[function] >= 0
        if held and not windows.holds(idle_ns):
            self._let_go(function, now_ns, for_good=idle_ns >= windows.end_ns)
        elif not held and windows.prewarm_ns and windows.holds(idle_ns):
            self._prewarm(function, now_ns)
        change_ns = windows.next_change_ns(idle_ns)
        if change_ns is not None and (windows.prewarm_ns or self.held_since[function] >= 0):
            self._look_again(function, now_ns + change_ns)

    def _prewarm(self, function: int, now_ns: int) -> None:
        if self.budget_mb is None or self.held_mb + self.day.sizes_mb[function] <= self.budget_mb:
            self.prewarms += 1
            self.used[function] = False
            self._start(function, now_ns)
            if self.budget_mb is not None:
                self._rest(function)

    # --- memory -------------------------------------------------------------------------------------------------------

    def _start(self, function: int, now_ns: int) -> None:
        self.held_since[function] = now_ns
        self.held_mb += self.day.sizes_mb[function]
        self.peak_mb = max(self.peak_mb, self.held_mb)

    def _let_go(self, function: int, now_ns: int, *, for_good: bool = True) -> None:
        size_mb = self.day.sizes_mb[function]
        self.held_mb_ns += (now_ns - self.held_since[function]) * size_mb
        self.held_mb -= size_mb
        self.held_since[function] = -1
        self.frequency[function] *= not for_good
        self.stamps[function] += 1

    def _rest(self, function: int) -> None:
        """It can be a victim from the end of its use on."""
        self.stamps[function] += 1
        used_ns = max(self.ended[function], self.held_since[function])
        heapq.heappush(self.busy, (used_ns, function, self.stamps[function]))

    def _rank(self, eviction: Eviction, now_ns: int) -> None:
        """Give those whose use has ended their places among the victims."""
        while self.busy and self.busy[0][0] <= now_ns:
            used_ns, function, stamp = heapq.heappop(self.busy)
            if stamp == self.stamps[function]:
                candidate = Candidate(
                    self.keys[function], 1, used_ns, self.frequency[function],
                    self.day.cold_ns[function], self.day.sizes_mb[function],
                )  # fmt: skip
                heapq.heappush(self.idle, (eviction.priority(candidate), used_ns, function, stamp))

    def _make_room(self, function: int, now_ns: int) -> None:
        """Those that are busy stay; where that is not enough the budget is passed, as in the engine."""
        if self.budget_mb is None or self.eviction is None:
            return
        self._rank(self.eviction, now_ns)
        while self.held_mb + self.day.sizes_mb[function] > self.budget_mb and self.idle:
            priority, _, victim, stamp = heapq.heappop(self.idle)
            if stamp == self.stamps[victim]:
                self._let_go(victim, now_ns)
                self.eviction.evicted(priority, now_ns)
                self.evictions += 1

    def _told(self) -> Told:
        invocations = np.array(self.invocations)
        shares = 100 * np.array(self.cold)[invocations > 0] / invocations[invocations > 0]
        return Told(
            self.title,
            int(invocations.sum()),
            sum(self.cold),
            self.cold_ns / HOUR_NS,
            self.held_mb_ns / HOUR_NS / 1024,
            self.peak_mb / 1024,
            1 - self.busy_mb_ns / self.held_mb_ns,
            self.prewarms,
            self.prewarms_used,
            self.evictions,
            {f"p{percent}": float(np.percentile(shares, percent)) for percent in PERCENTILES},
        )
