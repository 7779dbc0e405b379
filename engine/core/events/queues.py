"""F3: all queues of one engine: found by reference, bounded, filled from what was accepted and from disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from ...clock import Timing
from ...config import EVENT_QUEUE_BYTES, EVENTS_MAX
from ...errors import TooManyRequestsException
from ...store.event_store import EventRow, QueueRow
from .keeper import Keeper
from .pen import Pen
from .queue import Event, EventQueue

WINDOW_EVENTS: Final = 1_024  # of one queue in memory
WINDOWS_BYTES: Final = 67_108_864  # of all queues
READ_EVENTS: Final = 256
READ_BYTES: Final = 8_388_608
WAITING_BYTES: Final = 268_435_456  # accepted and not written yet
AGAIN_S: Final = 1.0
REFERENCES_MAX: Final = 65_536


class EventQueues:
    """`feed(queue)` is called when a queue has events to run; `on_ended` is what each event tells its end to."""

    def __init__(
        self,
        keeper: Keeper,
        pen: Pen,
        timing: Timing,
        *,
        feed: Callable[[EventQueue], None],
        on_ended: Callable[[Event, object], None],
        names: Callable[[str, str | None], tuple[str, str | None]],
    ) -> None:
        """`names(reference, qualifier)`: the bare name of a function and its qualifier."""
        self._keeper = keeper
        self._pen = pen
        self._timing = timing
        self._feed = feed
        self._on_ended = on_ended
        self._names = names
        self._by_id: dict[int, EventQueue] = {}
        self._by_key: dict[tuple[str, str], EventQueue] = {}
        self._by_reference: dict[tuple[str, str | None], EventQueue] = {}
        self._put_off: set[int] = set()  # in memory or in flight, and once put off
        self._next_due_ms: int | None = None
        self._asking = False
        self._timer: Any = None
        self._last = 0
        self.events = 0
        self.bytes = 0
        self.window_bytes = 0

    def load(self, last: int, rows: Iterable[QueueRow]) -> None:
        """What a store held when it was opened."""
        self._last = last
        for row in rows:
            queue = self._add(EventQueue(row.id, row.function, row.qualifier))
            queue.events, queue.bytes, queue.put_off = row.events, row.bytes, row.put_off
            queue.left = last if row.events else 0
            self.events += row.events
            self.bytes += row.bytes

    def begin(self) -> None:
        """Run what was found."""
        for queue in self.all():
            self.fill(queue)
        self.ask_due()

    def all(self) -> list[EventQueue]:
        return list(self._by_id.values())

    def by_id(self, number: int) -> EventQueue | None:
        return self._by_id.get(number)

    def new_number(self) -> int:
        """For an event or a parcel: higher than any before."""
        self._last += 1
        return self._last

    def queue(self, reference: str, qualifier: str | None) -> EventQueue:
        """The queue of a function that exists."""
        found = self._by_reference.get((reference, qualifier))
        if found is None:
            name, given = self._names(reference, qualifier)
            found = self._by_key.get((name, given or ""))
            if found is None:
                found = self._add(EventQueue(max(self._by_id, default=0) + 1, name, given or ""))
                self._pen.step("queue", found.id, found.function, found.qualifier)
            if len(self._by_reference) >= REFERENCES_MAX:
                self._by_reference.clear()
            self._by_reference[reference, qualifier] = found
        return found

    def _add(self, queue: EventQueue) -> EventQueue:
        self._by_id[queue.id] = self._by_key[queue.function, queue.qualifier] = queue
        return queue

    def drop(self, queue: EventQueue) -> int:
        """Its function is no more: forget it with all its events; how many they were."""
        lost = queue.events
        for event in queue.window:
            self.window_bytes -= event.size
            self._put_off.discard(event.seq)
        queue.window.clear()
        self.events -= queue.events
        self.bytes -= queue.bytes
        queue.events = queue.bytes = queue.put_off = queue.left = 0
        if queue.pause is not None:
            queue.pause.cancel()
        self._by_id.pop(queue.id, None)
        self._by_key.pop((queue.function, queue.qualifier), None)
        self._by_reference.clear()
        self._pen.step("drop", queue.id)
        return lost

    def is_known(self, queue: EventQueue) -> bool:
        return self._by_id.get(queue.id) is queue

    # --- counting -----------------------------------------------------------------------------------------------------

    def admit(self, queue: EventQueue, size: int) -> None:
        """Count one more. Raises TooManyRequestsException at the bounds, of which one function may have half."""
        if (
            self.events >= EVENTS_MAX
            or self.bytes + size > EVENT_QUEUE_BYTES
            or queue.events >= EVENTS_MAX // 2
            or queue.bytes + size > EVENT_QUEUE_BYTES // 2
            or self._keeper.waiting_bytes > WAITING_BYTES
        ):
            raise TooManyRequestsException("Rate Exceeded.", reason="CallerRateLimitExceeded")
        queue.events += 1
        queue.bytes += size
        self.events += 1
        self.bytes += size

    def dismiss(self, event: Event) -> None:
        """An event is done: it counts no more."""
        queue, size = event.queue, event.size
        if self.is_known(queue):
            queue.events -= 1
            queue.bytes -= size
            self.events -= 1
            self.bytes -= size
        if event.was_put_off:
            self._put_off.discard(event.seq)

    # --- in turn ------------------------------------------------------------------------------------------------------

    def written(self, event: Event) -> None:
        """A new event is on disk: into the window, where there is room and nothing before it was left out."""
        queue = event.queue
        if event.seq <= queue.tail:
            return  # it was read back already
        full = len(queue.window) >= WINDOW_EVENTS or self.window_bytes > WINDOWS_BYTES
        if full or queue.left > queue.tail:
            queue.left = event.seq
            self.fill(queue)
            return
        queue.tail = event.seq
        queue.window.append(event)
        self.window_bytes += event.size

    def take(self, queue: EventQueue) -> Event:
        """The next event to run."""
        event = queue.window.popleft()
        self.window_bytes -= event.size
        return event

    def put_back(self, event: Event) -> None:
        """It could not be run: it is the next again."""
        event.queue.window.appendleft(event)
        self.window_bytes += event.size

    def fill(self, queue: EventQueue) -> None:
        """Read what was left on disk, where there is room for it."""
        if queue.reading or queue.left <= queue.tail or len(queue.window) > WINDOW_EVENTS - READ_EVENTS:
            return
        if self.window_bytes > WINDOWS_BYTES and queue.window:
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
        if not self.is_known(queue):
            return
        for given in rows:
            event = Event(EventRow(*given), queue, self._on_ended)
            queue.tail = event.seq
            queue.window.append(event)
            self.window_bytes += event.size
        if not rows:
            queue.tail = max(queue.tail, queue.left)
        self._feed(queue)
        self.fill(queue)

    # --- put off ------------------------------------------------------------------------------------------------------

    def put_off(self, event: Event, due_ms: int) -> None:
        """Try it again then. It leaves memory."""
        queue = event.queue
        self._pen.delay(event.seq, event.attempts, due_ms)
        self._put_off.discard(event.seq)
        queue.put_off += 1
        if self._next_due_ms is None or due_ms < self._next_due_ms:
            self._next_due_ms = due_ms
            self._set_timer()

    def ask_due(self) -> None:
        """Take in what was put off until now."""
        if self._asking:
            return
        if self.window_bytes > WINDOWS_BYTES:
            self._timing.after(AGAIN_S, self.ask_due)
            return
        self._asking = True
        self._pen.flush()  # so that what was put off just now is seen
        now_ms = self._timing.wall_ms()
        self._keeper.ask("due_events", (now_ms, READ_EVENTS, READ_BYTES, list(self._put_off)), self._due)

    def _due(self, error: str | None, answer: Any) -> None:
        self._asking = False
        if error is not None:
            self._timing.after(AGAIN_S, self.ask_due)
            return
        rows, self._next_due_ms = answer
        fed: dict[int, EventQueue] = {}
        for given in reversed(rows):
            row = EventRow(*given)
            queue = self._by_id.get(row.queue)
            if queue is None:
                self._pen.remove(row.seq)
                continue
            event = Event(row, queue, self._on_ended)
            self._put_off.add(event.seq)
            queue.put_off = max(0, queue.put_off - 1)
            self.put_back(event)
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
            self._timer = self._timing.after(min(wait_ms / 1_000, 60.0), self.ask_due)

    def close(self) -> None:
        """Nothing is read any more."""
        if self._timer is not None:
            self._timer.cancel()
        for queue in self.all():
            if queue.pause is not None:
                queue.pause.cancel()
