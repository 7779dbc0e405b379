"""The one contract of a contender. To add a peer: one file in contenders/, one line in contenders/__init__.py."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import ClassVar, Final, TypeVar

from engine.load.cpu import tree_cpu_s

from .work import check

Ticket = TypeVar("Ticket")

COUNT_MAX: Final = 500_000  # invocations in one measurement, however fast the contender
WARM_UP_CALLS: Final = 50


class NotMeasured(Exception):
    """This contender has no such figure."""


@dataclass(frozen=True, slots=True)
class Bound:
    """When a measurement ends: whichever comes first."""

    seconds: float
    count: int = COUNT_MAX


class Contender(ABC):
    """Something that answers `work.PAYLOAD`. Opened and closed in every round; alone on the machine in between."""

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def open(self) -> None:
        """Starts processes and makes a first call possible."""

    @abstractmethod
    def close(self) -> None:
        """Ends every process that `open` started."""

    @abstractmethod
    def call(self) -> bytes:
        """One call, waited for."""

    def flood(self, outstanding: int, bound: Bound) -> int:
        """Keeps `outstanding` calls in flight until `bound`, waits for the rest; how many were answered."""
        raise NotMeasured(f"{self.name} has no calls in flight")

    def pipeline(self, outstanding: int, bound: Bound) -> int:
        """As `flood`, over one connection."""
        raise NotMeasured(f"{self.name} has no connection to hold several calls")

    def own_figures(self, bound: Bound) -> dict[str, float]:
        """Figures by key that a load client of the contender's own measures."""
        return {}

    def warm_up(self) -> None:
        """Calls before anything is measured, each one checked in full."""
        for _ in range(WARM_UP_CALLS):
            check(self.call())

    def cpu_s(self) -> float:
        """CPU seconds so far of every process that serves: all of this tree, unless the caller can be told apart."""
        return tree_cpu_s(os.getpid())

    def timed(self, bound: Bound, pause_s: float = 0.0) -> list[int]:
        """Nanoseconds of calls made one after the other, `pause_s` of quiet before each (not counted)."""
        call, samples = self.call, list[int]()
        deadline_ns = perf_counter_ns() + int(bound.seconds * 1e9)
        while len(samples) < bound.count and perf_counter_ns() < deadline_ns:
            if pause_s:
                time.sleep(pause_s)
            start_ns = perf_counter_ns()
            call()
            samples.append(perf_counter_ns() - start_ns)
        return samples


def slide(submit: Callable[[], Ticket], wait: Callable[[Ticket], object], outstanding: int, bound: Bound) -> int:
    """A window of `outstanding` calls over an interface of tickets: the oldest is waited for, a new one follows it."""
    window = deque(submit() for _ in range(outstanding))
    deadline_ns = perf_counter_ns() + int(bound.seconds * 1e9)
    answered = 0
    while answered + outstanding < bound.count and perf_counter_ns() < deadline_ns:
        wait(window.popleft())
        window.append(submit())
        answered += 1
    for ticket in window:
        wait(ticket)
    return answered + outstanding
