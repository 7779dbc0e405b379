"""F3: what one turn of the loop has to be written, gathered, so that the keeper commits it together.

Steps that could not be written are tried again: what they say has happened. Only appended events are refused instead.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from ..._ext.event import Event, rows_of
from ...clock import Timer, Timing
from ...store.event_store import ParcelRow, Step
from .keeper import STEPS_BYTES, Keeper

AGAIN_S: Final = 1.0
ROW_BYTES: Final = 64
LAZY_S: Final = 0.005  # for which a kill may have an event that was done run again
Written = Callable[[str | None], object]
Appended = Callable[[list[Event], str | None], object]

log = logging.getLogger("engine.events")


class Pen:
    """`later(call)` calls on the loop's thread, in its next turn. `on_appended` is told of new events: that they are on
    disk, or why not."""

    def __init__(self, keeper: Keeper, timing: Timing, later: Callable[..., object], *, on_appended: Appended) -> None:
        self._on_appended = on_appended
        self._keeper = keeper
        self._timing = timing
        self._later = later
        self._events: list[Event] = []
        self._unwritten: deque[list[Event]] = deque()  # in the order of their answers
        self._with_events: list[Step] = []
        self._done: list[int] = []
        self._delays: list[tuple[int, int, int]] = []
        self._parcels: list[ParcelRow] = []
        self._sent: list[int] = []
        self._others: list[Step] = []
        self._told: list[Written] = []
        self._size = 0
        self._due = False
        self._lazy: Timer | None = None

    def append(self, event: Event, steps: Sequence[Step] = ()) -> None:
        """A new event, and steps that are written if it is."""
        self._events.append(event)
        if steps:
            self._with_events += steps
        self._size += len(event.payload) + ROW_BYTES
        if not self._due:
            self._due = True
            self._later(self._turn)
        if self._size >= STEPS_BYTES:
            self.flush()

    def remove(self, seqs: Sequence[int]) -> None:
        """Events are done."""
        self._done += seqs
        self._grow(8 * len(seqs), waits=True)

    def delay(self, seq: int, attempts: int, due_ms: int) -> None:
        """An event is to be tried again then."""
        self._delays.append((seq, attempts, due_ms))
        self._grow(24, waits=True)

    def send(self, parcel: ParcelRow) -> None:
        """A parcel is to be delivered."""
        self._parcels.append(parcel)
        self._grow(len(parcel.body) + 48)

    def sent(self, number: int) -> None:
        """A parcel is done."""
        self._sent.append(number)
        self._grow(8, waits=True)

    def step(self, *step: Any) -> None:
        """Anything else that `event_store.OPERATIONS` names."""
        self._others.append(step)
        self._grow(64)

    def then(self, call: Written) -> None:
        """Call when all that was gathered so far is written, or with the text of an error."""
        self._told.append(call)
        self._grow(0)

    def _grow(self, size: int, *, waits: bool = False) -> None:
        """What `waits` goes with the next commit that somebody waits for, or soon."""
        self._size += size
        if self._size >= STEPS_BYTES:
            self.flush()
        elif waits:
            if not self._due and self._lazy is None:
                self._lazy = self._timing.after(LAZY_S, self._late)
        elif not self._due:
            self._due = True
            self._later(self._turn)

    def _turn(self) -> None:
        self._due = False
        self.flush()

    def _late(self) -> None:
        self._lazy = None
        self.flush()

    def flush(self) -> None:
        """Hand over what there is, now."""
        steps: list[Step] = list(self._others)  # queues before the events that lie in them
        lasting: list[Step] = list(self._others)
        kinds = ("delay", self._delays), ("send", self._parcels), ("remove", self._done), ("sent", self._sent)
        for name, changed in kinds:
            if changed:
                lasting.append((name, changed))
                steps.append((name, changed))
        if self._events:
            steps += [*self._with_events, ("append", rows_of(self._events))]
            self._unwritten.append(self._events)
        events, told, size = self._events, self._told, self._size
        if not steps and not told:
            return
        self._events, self._done, self._delays, self._parcels, self._sent = [], [], [], [], []
        self._with_events, self._others, self._told, self._size = [], [], [], 0

        def answered(error: str | None, _: object) -> None:
            if error is not None and lasting:
                log.error("%s; it is tried again", error)
                self._timing.after(AGAIN_S, lambda: self._again(lasting))
            if events:
                self._unwritten.popleft()
                self._on_appended(events, error)
            for call in told:
                call(error)

        self._keeper.write(steps, size, answered)

    def unwritten(self) -> list[Event]:
        """New events that were not answered yet."""
        return [*(event for events in self._unwritten for event in events), *self._events]

    def _again(self, steps: list[Step]) -> None:
        def answered(error: str | None, _: object) -> None:
            if error is not None:
                self._timing.after(AGAIN_S, lambda: self._again(steps))

        self._keeper.write(steps, 0, answered)
