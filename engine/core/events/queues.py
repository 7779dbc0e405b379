"""F3: all queues of one engine: found by reference, filled from disk, and events whose time has come.

IN MEMORY OR ON DISK. A queue's `window` holds the next events to run, in order; `tail` is the highest number that ever
came into it. Where it has no room, events stay on disk only: `left` is the highest number of those. So all numbers up
to `tail` are in memory, in flight, put off or done, and what lies between `tail` and `left` must be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from ..._ext.event import Event, EventQueue, Traffic
from ...clock import Timer, Timing
from ...store.event_store import QueueRow
from .keeper import Keeper
from .pen import Pen

WINDOW_EVENTS: Final = 1_024  # of one queue in memory
WINDOWS_BYTES: Final = 67_108_864  # of all queues
READ_EVENTS: Final = 256
READ_BYTES: Final = 8_388_608
PUT_OFF_MAX: Final = 4_096  # in memory, of those whose time has come
AGAIN_S: Final = 1.0
WAIT_MOST_S: Final = 60.0
REFERENCES_MAX: Final = 65_536


class EventQueues:
    """`feed(queue)` is called when a queue has events to run. `names(reference, qualifier)`: the bare name of a
    function and its qualifier."""

    def __init__(
        self,
        traffic: Traffic,
        keeper: Keeper,
        pen: Pen,
        timing: Timing,
        *,
        feed: Callable[[EventQueue], None],
        names: Callable[[str, str | None], tuple[str, str | None]],
    ) -> None:
        self._traffic = traffic
        self._keeper = keeper
        self._pen = pen
        self._timing = timing
        self._feed = feed
        self._names = names
        self._by_id: dict[int, EventQueue] = {}
        self._by_key: dict[tuple[str, str], EventQueue] = {}
        self._by_reference: dict[tuple[str, str | None], EventQueue] = {}
        self._last_id = 0  # never given twice: events of a queue that was dropped may still be on their way to disk
        self._next_due_ms: int | None = None
        self._asking = self._closed = False
        self._timer: Timer | None = None

    @property
    def events(self) -> int:
        """Accepted and not done."""
        return self._traffic.events

    def load(self, last: int, rows: Iterable[QueueRow]) -> None:
        """What a store held when it was opened."""
        self._traffic.last = last
        for row in rows:
            queue = self._add(EventQueue(row.id, row.function, row.qualifier))
            self._traffic.counted(queue, row.events, row.bytes)
            queue.put_off = row.put_off
            queue.left = last if row.events else 0

    def begin(self) -> None:
        """Run what was found."""
        for queue in self.all():
            self.fill(queue)
        if self.events:
            self.ask_due()

    def all(self) -> list[EventQueue]:
        return list(self._by_id.values())

    def by_id(self, number: int) -> EventQueue | None:
        return self._by_id.get(number)

    def new_number(self) -> int:
        """For a parcel: higher than any before."""
        self._traffic.last += 1
        return self._traffic.last

    def queue(self, reference: str, qualifier: str | None) -> EventQueue:
        """The queue of a function that exists."""
        found = self._by_reference.get((reference, qualifier))
        if found is None:
            name, given = self._names(reference, qualifier)
            found = self._by_key.get((name, given or ""))
            if found is None:
                found = self._add(EventQueue(self._last_id + 1, name, given or ""))
                self._pen.step("queue", found.id, found.function, found.qualifier)
            if len(self._by_reference) >= REFERENCES_MAX:
                self._by_reference.clear()
            self._by_reference[reference, qualifier] = found
        return found

    def _add(self, queue: EventQueue) -> EventQueue:
        self._last_id = max(self._last_id, queue.id)
        self._by_id[queue.id] = self._by_key[queue.function, queue.qualifier] = queue
        return queue

    def drop(self, queue: EventQueue) -> int:
        """Its function is no more: forget it with all its events; how many they were."""
        lost = queue.events
        while queue.window:
            self._traffic.put_off.discard(self._traffic.take(queue).seq)
        self._traffic.counted(queue, -queue.events, -queue.length)
        queue.dropped = True
        if queue.pause is not None:
            queue.pause.cancel()
        self._by_id.pop(queue.id, None)
        self._by_key.pop((queue.function, queue.qualifier), None)
        self._by_reference.clear()
        self._pen.step("drop", queue.id)
        return lost

    # --- in turn ------------------------------------------------------------------------------------------------------

    def fill(self, queue: EventQueue) -> None:
        """Read what was left on disk, where there is room for it."""
        if queue.reading or queue.left <= queue.tail or len(queue.window) > WINDOW_EVENTS - READ_EVENTS:
            return
        if self._closed or (self._traffic.window_bytes > WINDOWS_BYTES and queue.window):
            return
        queue.reading = True
        self._keeper.ask(
            "next_events",
            (queue.id, queue.tail, READ_EVENTS, READ_BYTES),
            lambda error, rows: self._filled(queue, error, rows),
        )

    def _filled(self, queue: EventQueue, error: str | None, rows: list[Any]) -> None:
        queue.reading = False
        if error is not None:
            self._timing.after(AGAIN_S, lambda: self.fill(queue))
            return
        if queue.dropped:
            return
        for row in rows:
            self._traffic.read(queue, row)
        if not rows:
            queue.tail = max(queue.tail, queue.left)
        self._feed(queue)
        self.fill(queue)

    # --- put off ------------------------------------------------------------------------------------------------------

    def put_off(self, event: Event, due_ms: int) -> None:
        """Try it again then. It leaves memory."""
        self._pen.delay(event.seq, event.attempts, due_ms)
        self._traffic.put_off.discard(event.seq)
        event.queue.put_off += 1
        if self._next_due_ms is None or due_ms < self._next_due_ms:
            self._next_due_ms = due_ms
            self._set_timer()

    def ask_due(self) -> None:
        """Take in what was put off until now."""
        if self._asking or self._closed:
            return
        if self._traffic.window_bytes > WINDOWS_BYTES or len(self._traffic.put_off) > PUT_OFF_MAX:
            self._timing.after(AGAIN_S, self.ask_due)
            return
        self._asking = True
        self._pen.flush()  # so that what was put off just now is seen
        in_memory = list(self._traffic.put_off)
        self._keeper.ask("due_events", (self._timing.wall_ms(), READ_EVENTS, READ_BYTES, in_memory), self._due)

    def _due(self, error: str | None, answer: Any) -> None:
        self._asking = False
        if error is not None:
            self._timing.after(AGAIN_S, self.ask_due)
            return
        rows, self._next_due_ms = answer
        fed: dict[int, EventQueue] = {}
        for row in reversed(rows):
            queue = self._by_id.get(row[1])
            if queue is None:
                self._pen.remove([row[0]])
                continue
            self._traffic.read(queue, row, first=True)
            queue.put_off = max(0, queue.put_off - 1)
            fed[queue.id] = queue
        for queue in fed.values():
            self._feed(queue)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._next_due_ms is not None:
            wait_ms = max(0, self._next_due_ms - self._timing.wall_ms())
            self._timer = self._timing.after(min(wait_ms / 1_000, WAIT_MOST_S), self.ask_due)

    def close(self) -> None:
        """Nothing is read any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for queue in self.all():
            if queue.pause is not None:
                queue.pause.cancel()
