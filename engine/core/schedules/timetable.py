"""F3: the schedules of one engine and their ticks: one timer for the earliest of all. What a tick does is the caller's.

All of it runs on the loop's thread. A schedule's position is the last tick that is accounted for, run or not, and only
grows: a wall clock that goes back makes no tick run twice. Ticks of one schedule come in their order and one at a time,
so that its position is all that a restart has to know.

Missed is a tick whose flexible window was over, and the next one's too, when its turn came: the engine was closed, the
host slept or its clock was set. Of such a run the latest is made good if it is younger than the schedule's maximum
event age; the others are counted and dropped. A tick that the caller refuses is offered again until the same holds, or
it was refused more often than the schedule has it tried again; then it is given up, which is counted as missed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Protocol

from ...clock import Timer, Timing
from ...config import SCHEDULE_EVENT_AGE_MAX_S
from ...errors import (
    EngineError,
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceNotFoundException,
    ValidationException,
)
from ...model import Schedule
from .grammar import Expression, Once, expression_of

SCHEDULES_MAX: Final = 10_000
STEPS_MOST: Final = 1_000  # of one wake-up; what is left follows at once, after whatever else waits for the loop
SLEEP_MOST_S: Final = (
    60.0  # since the wall clock may be set meanwhile, and monotonic time stands still in a host's sleep
)
REFUSED_AGAIN_MS: Final = 1_000
MINUTE_MS: Final = 60_000
NEVER: Final = Once(None)


class NotYet(EngineError):
    """No refusal: what was fired before is still being taken. The tick is offered again."""


class Keep(Protocol):
    """Where schedules outlive the engine. Neither waits; calls take effect in their order."""

    def put(self, schedule: Schedule, position_ms: int, /) -> None: ...

    def delete(self, name: str, /) -> None: ...


class Counts(NamedTuple):
    """Ticks of one schedule since the engine opened. Those given up are missed."""

    fired: int
    missed: int


class Row:
    """One schedule. `tick_ms` is the next tick; `turn` names its one valid entry on the heap, 0 is none.

    `refusal`: why that tick was refused the last time, if it was; `refusals`: how often.
    """

    __slots__ = (
        *("expression", "fired", "missed", "position_ms", "problem", "refusal", "refusals", "schedule", "tick_ms"),
        "turn",
    )

    def __init__(self, schedule: Schedule, expression: Expression, position_ms: int, problem: str = "") -> None:
        self.schedule = schedule
        self.expression = expression
        self.position_ms = position_ms
        self.problem = problem
        self.tick_ms: int | None = None
        self.fired = self.missed = self.turn = self.refusals = 0
        self.refusal: EngineError | None = None

    @property
    def window_ms(self) -> int:
        return self.schedule.flexible_window_minutes * MINUTE_MS

    @property
    def age_most_ms(self) -> int:
        return age_most_ms(self.schedule)

    @property
    def is_refused_for_good(self) -> bool:
        most = self.schedule.maximum_retry_attempts
        return most is not None and self.refusals > most

    @property
    def is_over(self) -> bool:
        """Nothing is to come, and the schedule asks to go then."""
        wanted = self.schedule.action_after_completion == "DELETE" and self.schedule.state == "ENABLED"
        return wanted and self.tick_ms is None and not self.problem


class Timetable:
    """All schedules of an engine, `SCHEDULES_MAX` at most.

    fire: take one tick, given its schedule and its time; makes it durable together with the position, which is that
    time. An EngineError refuses it. Never called from within a method here, always from the timer. jitter: how long a
    tick waits in its flexible window, given the window's length in milliseconds, which it must stay below. given_up: is
    told of a tick that was refused and is not offered again: its schedule, its time, why, and how often it was refused.
    """

    def __init__(
        self,
        timing: Timing,
        *,
        fire: Callable[[Schedule, int], None],
        keep: Keep,
        jitter: Callable[[int], int],
        given_up: Callable[[Schedule, int, EngineError, int], object] = lambda *_: None,
        sleep_most_s: float = SLEEP_MOST_S,
    ) -> None:
        self._timing = timing
        self._fire = fire
        self._keep = keep
        self._jitter = jitter
        self._given_up = given_up
        self._sleep_most_ms = int(sleep_most_s * 1000)
        self._rows: dict[str, Row] = {}
        self._heap: list[tuple[int, int, Row]] = []  # when it is due, its turn, whose it is
        self._turns = 0
        self._timer: Timer | None = None
        self._wake_ms = 0
        self._closed = False

    def load(self, items: Iterable[tuple[Schedule, int]]) -> None:
        """Take up schedules as they were kept, each with its position.

        One that cannot be read any more, as when the host lost its time zones, stays and does not tick: `problems`.
        """
        for schedule, position_ms in items:
            row = self._rows[schedule.name] = self._read(schedule, position_ms)
            self._plan(row)
            self._finish(row)
        self._arm()

    def create(self, schedule: Schedule) -> None:
        """It ticks from now on. Raises ResourceConflictException, InvalidParameterValueException, ValidationException.

        With nothing to come, as `at(…)` of the past, it stays until the next opening whatever it asks for then.
        """
        if schedule.name in self._rows:
            raise ResourceConflictException(f"Schedule {schedule.name} already exists.")
        if len(self._rows) >= SCHEDULES_MAX:
            raise InvalidParameterValueException(
                f"There are {SCHEDULES_MAX} schedules, which is the most: delete one before {schedule.name} is created."
            )
        row = Row(schedule, expression_of(schedule), first_position_ms(schedule, self._timing.wall_ms()))
        self._rows[schedule.name] = row
        self._keep.put(schedule, row.position_ms)
        self._plan(row)
        self._arm()

    def update(self, schedule: Schedule) -> None:
        """Put this in the place of the one of its name; what it changes in time holds from now on.

        Raises ResourceNotFoundException, ValidationException.
        """
        row = self._row(schedule.name)
        expression = expression_of(schedule)
        if row.problem or _time_of(schedule) != _time_of(row.schedule):
            row.position_ms = max(row.position_ms, self._timing.wall_ms())
        row.schedule, row.expression, row.problem = schedule, expression, ""
        self._keep.put(schedule, row.position_ms)
        self._plan(row)
        self._arm()

    def delete(self, name: str) -> None:
        """Raises ResourceNotFoundException."""
        self._remove(self._row(name))

    def get(self, name: str) -> Schedule:
        """Raises ResourceNotFoundException."""
        return self._row(name).schedule

    def list(self) -> tuple[Schedule, ...]:
        """All of them, by name."""
        return tuple(self._rows[name].schedule for name in sorted(self._rows))

    def next_ms(self, name: str) -> int | None:
        """The time of its next tick, flexible window aside; None where none is to come. Raises as `get`."""
        return self._row(name).tick_ms

    def statistics(self) -> dict[str, Counts]:
        return {name: Counts(row.fired, row.missed) for name, row in self._rows.items()}

    def problems(self) -> dict[str, str]:
        """Why schedules that were kept cannot tick, or whose tick is refused, by name."""
        told = ((name, row.problem or str(row.refusal or "")) for name, row in self._rows.items())
        return {name: why for name, why in told if why}

    def close(self) -> None:
        """No tick from now on."""
        self._closed = True
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _row(self, name: str) -> Row:
        row = self._rows.get(name)
        if row is None:
            raise ResourceNotFoundException(f"Schedule {name} does not exist.")
        return row

    def _read(self, schedule: Schedule, position_ms: int) -> Row:
        try:
            return Row(schedule, expression_of(schedule), position_ms)
        except ValidationException as error:
            return Row(schedule, NEVER, position_ms, error.message)

    def _plan(self, row: Row) -> None:
        """Find the next tick and give it its turn."""
        row.refusal, row.refusals = None, 0
        enabled = row.schedule.state == "ENABLED"
        row.tick_ms = row.expression.next_after_ms(row.position_ms) if enabled else None
        row.turn = 0
        if row.tick_ms is not None:
            self._push(row, row.tick_ms + (self._jitter(row.window_ms) if row.window_ms else 0))

    def _push(self, row: Row, due_ms: int) -> None:
        if len(self._heap) > 2 * len(self._rows) + 64:  # mostly entries of what was updated or deleted
            self._heap = [entry for entry in self._heap if entry[2].turn == entry[1]]
            heapq.heapify(self._heap)
        self._turns += 1
        row.turn = self._turns
        heapq.heappush(self._heap, (due_ms, row.turn, row))

    def _head(self) -> tuple[int, Row] | None:
        """Whose turn is next, and when."""
        while self._heap:
            due_ms, turn, row = self._heap[0]
            if row.turn == turn:
                return due_ms, row
            heapq.heappop(self._heap)
        return None

    def _arm(self) -> None:
        head = self._head()
        if self._closed or head is None:
            return
        now_ms = self._timing.wall_ms()
        wait_ms = min(max(0, head[0] - now_ms), self._sleep_most_ms)
        if self._timer is not None:
            if self._wake_ms <= now_ms + wait_ms:
                return  # it wakes early and looks again
            self._timer.cancel()
        self._wake_ms = now_ms + wait_ms
        self._timer = self._timing.after(wait_ms / 1000, self._wake)

    def _wake(self) -> None:
        self._timer = None
        now_ms = self._timing.wall_ms()
        try:
            for _ in range(STEPS_MOST):
                head = self._head()
                if head is None or head[0] > now_ms:
                    break
                self._step(head[1], now_ms)
        finally:
            self._arm()

    def _step(self, row: Row, now_ms: int) -> None:
        """A tick's turn has come: run it, or what it has become by now."""
        row.turn = 0
        passed_ms = now_ms - row.window_ms  # ticks up to then have had their time
        tick_ms = self._coalesced(row, passed_ms)
        if tick_ms is None:
            self._keep.put(row.schedule, max(row.position_ms, passed_ms))
            self._settle(row, passed_ms)
        elif self._taken(row, tick_ms, now_ms):
            row.fired += 1
            self._settle(row, tick_ms)

    def _coalesced(self, row: Row, passed_ms: int) -> int | None:
        """The tick to run: the planned one, or the latest that was missed, or None where all are too old."""
        tick_ms = row.tick_ms
        assert tick_ms is not None, "a turn is for a tick"
        following_ms = row.expression.next_after_ms(tick_ms)
        oldest_ms = passed_ms - row.age_most_ms
        if tick_ms > oldest_ms and (following_ms is None or following_ms > passed_ms):
            return tick_ms
        latest_ms = row.expression.latest_ms(max(tick_ms - 1, oldest_ms), passed_ms)
        row.missed += row.expression.count(tick_ms - 1, passed_ms if latest_ms is None else latest_ms - 1)
        if latest_ms != tick_ms:
            self._tell_given_up(row, tick_ms)
        row.tick_ms = latest_ms
        return latest_ms

    def _taken(self, row: Row, tick_ms: int, now_ms: int) -> bool:
        try:
            self._fire(row.schedule, tick_ms)
        except NotYet:
            self._offer_again(row, now_ms)
        except EngineError as error:
            row.refusal, row.refusals = error.with_traceback(None), row.refusals + 1
            if self._is_current(row) and row.is_refused_for_good:
                row.missed += 1
                self._tell_given_up(row, tick_ms)
                self._keep.put(row.schedule, tick_ms)
                self._settle(row, tick_ms)
            else:
                self._offer_again(row, now_ms)
        except Exception:
            self._offer_again(row, now_ms)
            raise
        else:
            return True
        return False

    def _offer_again(self, row: Row, now_ms: int) -> None:
        if self._is_current(row):
            self._push(row, now_ms + REFUSED_AGAIN_MS)

    def _is_current(self, row: Row) -> bool:
        """Whether it is still there and has no other turn: `fire` may have changed that."""
        return not self._closed and self._rows.get(row.schedule.name) is row and row.turn == 0

    def _tell_given_up(self, row: Row, tick_ms: int) -> None:
        refusal, refusals = row.refusal, row.refusals
        row.refusal, row.refusals = None, 0
        if refusal is not None:
            self._given_up(row.schedule, tick_ms, refusal, refusals)

    def _settle(self, row: Row, position_ms: int) -> None:
        """All up to there is accounted for."""
        row.position_ms = max(row.position_ms, position_ms)
        if not self._closed and self._rows.get(row.schedule.name) is row:  # else `fire` removed it
            self._plan(row)
            self._finish(row)

    def _finish(self, row: Row) -> None:
        if row.is_over:
            self._remove(row)

    def _remove(self, row: Row) -> None:
        del self._rows[row.schedule.name]
        row.turn = 0
        self._keep.delete(row.schedule.name)


def age_most_ms(schedule: Schedule) -> int:
    """How old a tick may become before it is taken."""
    age_s = schedule.maximum_event_age_s
    return (SCHEDULE_EVENT_AGE_MAX_S if age_s is None else age_s) * 1000


def first_position_ms(schedule: Schedule, now_ms: int) -> int:
    """Just before the schedule's making: a rate that has no first moment ticks at once, which is Scheduler's way."""
    made_ms = schedule.created_ms
    return (made_ms if now_ms - MINUTE_MS < made_ms <= now_ms else now_ms) - 1


def _time_of(schedule: Schedule) -> tuple[object, ...]:
    """What says when it ticks."""
    return schedule.expression, schedule.timezone, schedule.start_ms, schedule.created_ms, schedule.state
