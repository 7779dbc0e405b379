"""A timetable in virtual time whose ticks, and what it keeps, are written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.clock import VirtualClock
from engine.core.schedules.timetable import Timetable
from engine.model import Schedule

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
START = 1_767_225_600_000  # 2026-01-01T00:00:00Z


class SettableClock(VirtualClock):
    """A wall clock that may be set while timers go on by monotonic time, as on a host."""

    def __init__(self, start_ms: int) -> None:
        super().__init__(0)
        self.off_ms = start_ms

    def wall_ms(self) -> int:
        return super().wall_ms() + self.off_ms


class Bench:
    """One timetable, and what it did. `kept` is what a restart would find."""

    def __init__(self, now_ms: int = START) -> None:
        self.clock = SettableClock(now_ms)
        self.fired: list[tuple[str, int, int]] = []  # name, time of the tick, when it came
        self.kept: dict[str, tuple[Schedule, int]] = {}
        self.windows: list[int] = []
        self.jitter: Callable[[int], int] = lambda limit_ms: 0
        self.refuse: Exception | None = None
        self.on_fire: Callable[[Schedule], object] = lambda schedule: None
        self.table = self.opened()

    def opened(self, **settings: Any) -> Timetable:
        return Timetable(self.clock, fire=self._fire, keep=self, jitter=self._jitter, **settings)

    def restart(self, after_ms: int) -> None:
        self.table.close()
        self.clock.advance_ms(after_ms)
        self.table = self.opened()
        self.table.load(list(self.kept.values()))

    def create(self, expression: str, name: str = "a", **settings: Any) -> Schedule:
        settings.setdefault("created_ms", self.clock.wall_ms())
        schedule = Schedule(name, expression, "f", **settings)
        self.table.create(schedule)
        return schedule

    def ticks(self, name: str = "a") -> list[int]:
        """Times of the ticks that were run, from `START` on."""
        return [tick - START for whose, tick, _ in self.fired if whose == name]

    def put(self, schedule: Schedule, position_ms: int) -> None:
        self.kept[schedule.name] = schedule, position_ms

    def delete(self, name: str) -> None:
        del self.kept[name]

    def _fire(self, schedule: Schedule, scheduled_ms: int) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.fired.append((schedule.name, scheduled_ms, self.clock.wall_ms()))
        self.kept[schedule.name] = schedule, scheduled_ms
        self.on_fire(schedule)

    def _jitter(self, limit_ms: int) -> int:
        self.windows.append(limit_ms)
        return self.jitter(limit_ms)
