"""F3: what a tick of a schedule does: an event for its function, and the schedule's new position in the same commit.

A tick that cannot be handed over at all is refused: the timetable offers it again. One whose event could then not be
written is tried again from here, and until that is settled its schedule's next tick has to wait, so that positions are
written in order. What is given up goes to the schedule's dead-letter queue, where it has one.
"""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from ..._ext.lane import Lane
from ...clock import Timer, Timing
from ...errors import EngineError, LambdaError
from ...model import Schedule
from ...store.snapshot import Snapshot
from ..events.lifecycle import EventLifecycle, Told
from ..events.parcels import Attribute, Parcel
from ..events.records import attribute_text
from .event import schedule_arn, scheduled_event
from .timetable import NotYet, age_most_ms

AGAIN_S: Final = 1
AGAIN_MOST_S: Final = 60
NO_QUEUE: Final = 0  # a dead letter's event never lay in one

log = logging.getLogger("engine.schedules")


class Tick:
    """One tick whose event is not on disk. `in_hand`: it is being written; else it is tried again later."""

    __slots__ = ("failures", "forgotten", "in_hand", "payload", "schedule", "scheduled_ms", "timer")

    def __init__(self, schedule: Schedule, scheduled_ms: int) -> None:
        self.schedule = schedule
        self.scheduled_ms = scheduled_ms
        self.payload = b""
        self.in_hand = True
        self.forgotten = False
        self.failures = 0
        self.timer: Timer | None = None


class Ticks:
    """`written(name, scheduled_ms)` is told of each tick that is on disk, `lost(name, scheduled_ms)` of one that never
    will be; `settled()` when a try has ended in any way. `unwritten` is by schedule, and read by who gave it."""

    def __init__(
        self,
        events: EventLifecycle,
        lane: Callable[[str], Lane],
        snapshot: Callable[[], Snapshot],
        timing: Timing,
        unwritten: dict[str, Tick],
        *,
        written: Callable[[str, int], None],
        lost: Callable[[str, int], None],
        settled: Callable[[], None],
    ) -> None:
        self._events = events
        self._lane = lane
        self._snapshot = snapshot
        self._timing = timing
        self._unwritten = unwritten
        self._written = written
        self._lost = lost
        self._settled = settled
        self._closed = False
        self.lost: Counter[str] = Counter()  # fired, and given up all the same

    def fire(self, schedule: Schedule, scheduled_ms: int) -> None:
        """Have it accepted as an event. Raises what refuses it, and NotYet while the one before is unwritten."""
        if schedule.name in self._unwritten:
            raise NotYet(f"the last tick of {schedule.name} is still to be written")
        tick = self._unwritten[schedule.name] = Tick(schedule, scheduled_ms)
        try:
            self._hand_over(tick)
        except BaseException:
            del self._unwritten[schedule.name]
            raise

    def forget(self, name: str) -> None:
        """Its schedule was deleted: try it no more."""
        self.lost.pop(name, None)
        tick = self._unwritten.get(name)
        if tick is None:
            return
        tick.forgotten = True
        if tick.timer is not None:
            tick.timer.cancel()
            del self._unwritten[name]

    def close(self) -> None:
        """Nothing is tried any more: what is not on disk is made good when the engine is opened again."""
        self._closed = True
        for tick in self._unwritten.values():
            if tick.timer is not None:
                tick.timer.cancel()

    def _hand_over(self, tick: Tick) -> None:
        schedule = tick.schedule
        lane = self._lane(schedule.function)
        tick.payload = tick.payload or self._event(schedule, tick.scheduled_ms, str(uuid.uuid4()))
        steps = [("position", schedule.name, tick.scheduled_ms)]
        waiting = Told(lambda error: self._done(tick, error))
        self._events.accept(lane, schedule.function, None, tick.payload, b"", waiting, steps)

    def _event(self, schedule: Schedule, scheduled_ms: int, event_id: str) -> bytes:
        snapshot = self._snapshot()
        return scheduled_event(schedule, scheduled_ms, event_id, snapshot.region, snapshot.account_id)

    def _done(self, tick: Tick, error: BaseException | None) -> None:
        if self._closed:
            return
        name = tick.schedule.name
        if error is None:
            del self._unwritten[name]
            self._written(name, tick.scheduled_ms)
        elif tick.forgotten:
            del self._unwritten[name]
        else:
            self._failed(tick, error)
        self._settled()

    def _failed(self, tick: Tick, error: BaseException) -> None:
        wait_s = min(AGAIN_MOST_S, AGAIN_S << min(tick.failures, 16))
        tick.failures += 1
        age_ms = self._timing.wall_ms() + wait_s * 1_000 - tick.scheduled_ms
        if age_ms >= age_most_ms(tick.schedule):
            self._drop(tick, error)
            return
        log.error("a tick of schedule %s is tried again in %d s: %s", tick.schedule.name, wait_s, error)
        tick.in_hand = False
        tick.timer = self._timing.after(wait_s, lambda: self._again(tick))

    def _drop(self, tick: Tick, error: BaseException) -> None:
        name = tick.schedule.name
        del self._unwritten[name]
        self.lost[name] += 1
        self._lost(name, tick.scheduled_ms)
        self.give_up(tick.schedule, tick.scheduled_ms, error, tick.failures)

    def _again(self, tick: Tick) -> None:
        tick.in_hand, tick.timer = True, None
        try:
            self._hand_over(tick)
        except (EngineError, OSError) as error:
            self._done(tick, error)

    # --- giving up ----------------------------------------------------------------------------------------------------

    def give_up(self, schedule: Schedule, scheduled_ms: int, error: BaseException, tries: int) -> None:
        """It is not run any more."""
        log.error("a tick of schedule %s is given up after %d tries: %s", schedule.name, tries, error)
        if schedule.dead_letter_arn is None:
            return
        parcel = self._dead_letter(schedule, schedule.dead_letter_arn, scheduled_ms, error, tries)
        self._events.deliveries.add(
            self._events.queues.new_number(), NO_QUEUE, {**parcel.to_map(), "dead_letter": True}
        )

    def _dead_letter(
        self, schedule: Schedule, target_arn: str, scheduled_ms: int, error: BaseException, tries: int
    ) -> Parcel:
        """The event as it would have come, with Scheduler's own attributes of a dead-letter event.

        https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
        """
        snapshot, event_id = self._snapshot(), str(uuid.uuid4())
        most = schedule.maximum_retry_attempts
        told = {
            "ERROR_CODE": getattr(error, "type", type(error).__name__),
            "ERROR_MESSAGE": attribute_text(str(error)),
            "EXECUTION_ID": event_id,
            "EXHAUSTED_RETRY_CONDITION": (
                "MaximumRetryAttempts" if most is not None and tries > most else "MaximumEventAgeInSeconds"
            ),
            "IS_PAYLOAD_TRUNCATED": "false",
            "RETRY_ATTEMPTS": str(tries - 1),
            "SCHEDULED_TIME": datetime.fromtimestamp(scheduled_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "SCHEDULE_ARN": schedule_arn(schedule.name, snapshot.region, snapshot.account_id),
            "TARGET_ARN": _target_arn(snapshot, schedule.function),
        }
        attributes = {name: Attribute("String", text) for name, text in told.items() if text}
        return Parcel(target_arn, self._event(schedule, scheduled_ms, event_id), attributes)


def _target_arn(snapshot: Snapshot, function: str) -> str:
    try:
        return snapshot.arn(*snapshot.names(function))
    except LambdaError:  # another region's or account's: then it is a whole ARN
        return function
