"""F3: one function version's idle times and frequency, made of looks at counters that its lane keeps anyway.

Nothing is called per invocation. While a lane is active it is looked at on every tick (10 ms), and whatever comes makes
it active; so a look sees every invocation, but not when exactly it came. An idle time is therefore known to within one
tick at each end, and of several invocations that came between two looks all but the first came within a tick.
"""

from __future__ import annotations

from typing import NamedTuple


class Arrivals(NamedTuple):
    """What came since the last look. idle_ns: since the function was last seen busy; None before its first time."""

    idle_ns: int | None
    others: int


class Activity:
    """`busy_ns` is when the function was last seen busy; None: it never was."""

    __slots__ = ("_accepted", "busy_ns", "frequency")

    def __init__(self, accepted: int = 0) -> None:
        self._accepted = accepted
        self.busy_ns: int | None = None
        self.frequency = 0

    def look(self, accepted: int, outstanding: int, now_ns: int) -> Arrivals | None:
        """accepted: invocations ever, less those turned away; outstanding: those that are not answered yet."""
        came, self._accepted = accepted - self._accepted, accepted
        before_ns = self.busy_ns
        if came > 0 or outstanding > 0:
            self.busy_ns = now_ns
        if came <= 0:
            return None
        self.frequency += came
        return Arrivals(None if before_ns is None else now_ns - before_ns, came - 1)

    def restart(self) -> None:
        """The function has no environment any more, and none is planned: greedy-dual counts its uses from here on."""
        self.frequency = 0
