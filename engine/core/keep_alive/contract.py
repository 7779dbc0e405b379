"""F3: what a keep-alive policy and an eviction order promise. Pure arithmetic: time comes in as an argument.

Neither is told of single invocations, which take microseconds. They learn from looks at counters every 10 ms
(`activity.py`), and are asked from time to time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

Key: TypeAlias = tuple[str, ...]  # a function's name and version; where it is one tenant's, also whose


@dataclass(frozen=True, slots=True)
class Windows:
    """When a function that is idle has an environment, counted from the end of its last invocation.

    prewarm_ns: until then it has none, and then one is started; 0: what it has stays. keep_alive_ns: for how long from
    there on it has one.
    """

    prewarm_ns: int
    keep_alive_ns: int

    @property
    def end_ns(self) -> int:
        return self.prewarm_ns + self.keep_alive_ns

    def holds(self, idle_ns: int) -> bool:
        """Whether there should be an environment after so much idle time."""
        return self.prewarm_ns <= idle_ns < self.end_ns

    def next_change_ns(self, idle_ns: int) -> int | None:
        """How much more idle time until `holds` says something else; None: that does not happen any more."""
        due = self.prewarm_ns if idle_ns < self.prewarm_ns else self.end_ns
        return due - idle_ns if idle_ns < due else None


class KeepAlive(Protocol):
    """Learns from idle times, and says what follows for the next one."""

    @property
    def look_every_ns(self) -> int:
        """While functions are busy, how often to ask: no window can come to its end sooner unnoticed."""

    def observe(self, key: Key, idle_ns: int, others: int = 0) -> None:
        """An invocation came after so much idle time, and `others` more right behind it."""

    def windows(self, key: Key) -> Windows:
        """For the idle time that has begun."""

    def forget(self, key: Key) -> None:
        """The function is no more."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An idle environment that could go. frequency: invocations of its function since it last had no environment."""

    key: Key
    serial: int
    used_ns: int
    frequency: int
    cold_ns: float
    memory_mb: int


class Eviction(Protocol):
    """Which idle environment goes first when memory is short."""

    def priority(self, candidate: Candidate) -> float:
        """The least goes first; of equals the one that was unused longest, then by function and age."""

    def evicted(self, priority: float, now_ns: int) -> None:
        """One of that priority went."""
