"""F0: time as a replaceable object: the host's clock, or a virtual one that a test moves by hand."""

from __future__ import annotations

import time
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


class VirtualClock:
    """A clock that stands still until `advance_ms` is called."""

    def __init__(self, start_ms: int = 0) -> None:
        self._now_ns = start_ms * 1_000_000

    def monotonic_ns(self) -> int:
        return self._now_ns

    def wall_ms(self) -> int:
        return self._now_ns // 1_000_000

    def advance_ms(self, step_ms: float) -> None:
        if step_ms < 0:
            raise ValueError(f"a clock cannot go back: step_ms={step_ms}")
        self._now_ns += int(step_ms * 1_000_000)
