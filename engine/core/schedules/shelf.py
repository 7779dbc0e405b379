"""F3: where schedules outlive the engine: what has changed is gathered and written, one write after the other.

What is on disk of a schedule is always something that it was: the row is replaced whole. Who waits for a write that
fails is told, and the schedule becomes again what the disk has; what has happened anyway is written again until it is
there. A position comes with the event of its tick, and is not written ahead of that: a schedule whose tick is being
written is left until that is known, and the disk's position stays before a tick that is tried again.
"""

from __future__ import annotations

import logging
from asyncio import Future, get_running_loop
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from ...clock import Timing
from ...errors import EngineClosedError, ServiceException
from ...model import Schedule
from ...store.event_store import Step
from ..events.keeper import STEPS_BYTES, Keeper
from .ticks import Tick
from .written import schedule_as_text

AGAIN_S: Final = 1.0

log = logging.getLogger("engine.schedules")


class Kept(NamedTuple):
    """A schedule, and the last of its ticks that is accounted for."""

    schedule: Schedule
    position_ms: int


class Shelf:
    """See `timetable.Keep`. `later(call)` calls in the loop's next turn; `restore(name, kept)` has the schedule be what
    it was; None: there was none. `unwritten`: ticks whose events are not on disk, by schedule."""

    def __init__(
        self,
        keeper: Keeper,
        timing: Timing,
        later: Callable[..., object],
        unwritten: Mapping[str, Tick],
        *,
        restore: Callable[[str, Kept | None], None],
    ) -> None:
        self._keeper = keeper
        self._timing = timing
        self._later = later
        self._unwritten = unwritten
        self._restore = restore
        self._kept: dict[str, Kept] = {}
        self._changed: dict[str, Kept | None] = {}
        self._waiting: dict[str, list[Future[None]]] = {}
        self._in_hand: dict[str, list[Future[None]]] = {}  # who waits for the write that is under way
        self._due = self._writing = self._resting = self._closed = False

    def load(self, found: Mapping[str, Kept]) -> None:
        """What was on disk when the engine was opened."""
        self._kept.update(found)

    def put(self, schedule: Schedule, position_ms: int) -> None:
        before = self._changed.get(schedule.name)
        if before is not None:
            position_ms = max(position_ms, before.position_ms)
        self._changed[schedule.name] = Kept(schedule, position_ms)
        self.look()

    def delete(self, name: str) -> None:
        self._changed[name] = None
        self.look()

    def reached(self, name: str, position_ms: int) -> None:
        """This position came to the disk with an event."""
        for known in (self._kept, self._changed):
            kept = known.get(name)
            if kept is not None:
                known[name] = Kept(kept.schedule, max(kept.position_ms, position_ms))

    async def written(self, name: str) -> None:
        """Wait until what has just been done to this schedule is on disk. Raises ServiceException: it is undone."""
        told: Future[None] = get_running_loop().create_future()
        self._waiting.setdefault(name, []).append(told)
        self.look()
        await told

    def look(self) -> None:
        """Write what there is to write, soon."""
        if not self._due:
            self._due = True
            self._later(self._turn)

    def close(self) -> None:
        """Hand over what can be; who still waits is told that the engine was closed."""
        self._closed = True
        while (batch := self._batch())[0]:
            self._keeper.write(batch[0], batch[1], lambda *_: None)
        told = "the engine was closed while this schedule was written: open its data_dir again to see whether it was"
        for waiting in (*self._in_hand.values(), *self._waiting.values()):
            _tell(waiting, EngineClosedError(told))

    def _turn(self) -> None:
        self._due = False
        if self._writing or self._resting or self._closed:
            return
        steps, size, batch = self._batch()
        if not steps:
            return
        self._in_hand = {name: self._waiting.pop(name, []) for name in batch}
        self._writing = True
        self._keeper.write(steps, size, lambda error, _: self._answered(batch, error))

    def _batch(self) -> tuple[list[Step], int, dict[str, Kept | None]]:
        """What can be written now, about as much as goes into one message."""
        steps: list[Step] = []
        size, batch = 0, {}
        for name, changed in list(self._changed.items()):
            tick = self._unwritten.get(name)
            if tick is not None and (tick.in_hand or changed is None):
                continue
            batch[name] = kept = changed and self._bounded(changed, tick)
            text = "" if kept is None else schedule_as_text(kept.schedule)
            steps.append(("unschedule", name) if kept is None else ("schedule", name, text, kept.position_ms))
            del self._changed[name]
            size += len(text) + 64
            if size > STEPS_BYTES:
                break
        return steps, size, batch

    def _bounded(self, changed: Kept, tick: Tick | None) -> Kept:
        kept = self._kept.get(changed.schedule.name)
        position_ms = changed.position_ms if kept is None else max(changed.position_ms, kept.position_ms)
        return Kept(changed.schedule, position_ms if tick is None else min(position_ms, tick.scheduled_ms - 1))

    def _answered(self, batch: Mapping[str, Kept | None], error: str | None) -> None:
        waiting, self._in_hand = self._in_hand, {}
        self._writing = False
        for name, kept in batch.items():
            if error is None:
                self._note(name, kept)
                _tell(waiting[name], None)
            else:
                self._failed(name, kept, waiting[name], error)
        if error is not None:
            log.error("schedules could not be written: %s", error)
            self._resting = True
            self._timing.after(AGAIN_S, self._rested)
        elif self._changed:
            self.look()

    def _note(self, name: str, kept: Kept | None) -> None:
        if kept is None:
            self._kept.pop(name, None)
        else:
            self._kept[name] = kept

    def _failed(self, name: str, kept: Kept | None, waiting: list[Future[None]], error: str) -> None:
        if waiting and name not in self._changed:
            self._restore(name, self._kept.get(name))
        else:
            self._changed.setdefault(name, kept)
        _tell(waiting, ServiceException(error))

    def _rested(self) -> None:
        self._resting = False
        self.look()


def _tell(waiting: list[Future[None]], error: Exception | None) -> None:
    for told in waiting:
        if told.done():  # whoever waited was cancelled
            continue
        if error is None:
            told.set_result(None)
        else:
            told.set_exception(error)
