"""F0: time as a replaceable object: the host's clock, or a virtual one that a test moves by hand."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    def monotonic_ns(self) -> int:
        """Nanoseconds of CLOCK_MONOTONIC: the clock that environments stamp with."""

    def wall_ms(self) -> int:
        """Unix time in milliseconds."""


class HostClock:
    """The clock of this host."""

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000


class Timer(Protocol):
    def cancel(self) -> None:
        """Do not call any more. Idempotent."""


class Timing(Clock, Protocol):
    """A clock that also calls back."""

    def after(self, seconds: float, call: Callable[[], object], /) -> Timer:
        """Call then, once; never before this returns."""


class LoopTiming(HostClock):
    """The host's time, with calls on an event loop's thread. `call_later` is the loop's."""

    def __init__(self, call_later: Callable[[float, Callable[[], object]], Timer]) -> None:
        self.after = call_later


class _VirtualTimer:
    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        self.call = None


class VirtualClock:
    """A clock that stands still until `advance_ms` is called, which makes the calls that were due meanwhile."""

    def __init__(self, start_ms: int = 0) -> None:
        self._now_ns = start_ms * 1_000_000
        self._order = itertools.count()
        self._timers: list[tuple[int, int, _VirtualTimer]] = []

    def monotonic_ns(self) -> int:
        return self._now_ns

    def wall_ms(self) -> int:
        return self._now_ns // 1_000_000

    def after(self, seconds: float, call: Callable[[], object], /) -> Timer:
        timer = _VirtualTimer(call)
        heapq.heappush(self._timers, (self._now_ns + int(max(0.0, seconds) * 1e9), next(self._order), timer))
        return timer

    @property
    def next_ms(self) -> int | None:
        """When the next call is due; None where there is none."""
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        return -(-self._timers[0][0] // 1_000_000) if self._timers else None

    def advance_ms(self, step_ms: float) -> None:
        """Go on; each call on the way sees the time at which it was due."""
        if step_ms < 0:
            raise ValueError(f"a clock cannot go back: step_ms={step_ms}")
        until_ns = self._now_ns + int(step_ms * 1_000_000)
        while self._timers and self._timers[0][0] <= until_ns:
            due_ns, _, timer = heapq.heappop(self._timers)
            self._now_ns = max(self._now_ns, due_ns)
            call, timer.call = timer.call, None
            if call is not None:
                call()
        self._now_ns = until_ns
