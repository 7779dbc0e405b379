"""F3: the events of one function reference that are in memory, and what is known of those that are not.

IN MEMORY OR ON DISK. `window` holds the next events to run, in order; `tail` is the highest number that ever came into
it. Where it has no room, events stay on disk only: `left` is the highest number of those. So all numbers up to `tail`
are in memory, in flight, put off or done, and what lies between `tail` and `left` must be read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from ..._ext.lane import Lane
from ..._ext.meter import Histogram, Quota
from ...clock import Timer
from ...store.event_store import EventRow
from .rules import Terms

Ended: TypeAlias = "Callable[[Event, object], None]"


class Event:
    """One accepted event in memory, and whoever waits for its invocation: `set_result` and `set_exception` are called
    by a lane, in any thread and in the midst of something."""

    __slots__ = ("accepted_ms", "attempts", "extra", "on_ended", "payload", "queue", "request_id", "seq", "was_put_off")

    def __init__(self, row: EventRow, queue: EventQueue, on_ended: Ended) -> None:
        self.seq = row.seq
        self.request_id = row.request_id
        self.accepted_ms = row.accepted_ms
        self.attempts = row.attempts
        self.was_put_off = row.due_ms > 0
        self.extra = row.extra
        self.payload = row.payload
        self.queue = queue
        self.on_ended = on_ended

    @property
    def size(self) -> int:
        return len(self.payload) + len(self.extra)

    def set_result(self, result: object) -> None:
        self.on_ended(self, result)

    def set_exception(self, error: BaseException) -> None:
        self.on_ended(self, error)


class Counts:
    """What happened since the engine was opened. AsyncEventsReceived and its like in `statistics`."""

    __slots__ = (
        "ages",
        "delivered",
        "dropped",
        "received",
        "recursive",
        "retries",
        "throttles",
        "undelivered",
        "unletter",
    )

    def __init__(self) -> None:
        self.received = self.retries = self.throttles = self.dropped = self.recursive = 0
        self.delivered = self.undelivered = self.unletter = 0
        self.ages = Histogram()


class EventQueue:
    """Events of `function`, called by `qualifier` ("" where there was none)."""

    def __init__(self, number: int, function: str, qualifier: str) -> None:
        self.id = number
        self.function = function
        self.qualifier = qualifier
        self.events = 0  # accepted and not done, wherever they are
        self.bytes = 0
        self.put_off = 0  # those of them that wait for their time
        self.in_flight = 0
        self.lane: Lane | None = None  # in which they are
        self.quota: Quota | None = None  # under which they are
        self.window: deque[Event] = deque()
        self.tail = 0
        self.left = 0
        self.reading = False
        self.failures = 0  # throttles and errors of the system since the last invocation that began
        self.pause: Timer | None = None
        self.counts = Counts()
        self.terms = Terms()
        self.terms_of: Any = None  # the catalog's snapshot that `terms` were taken from

    @property
    def waiting(self) -> int:
        """Events that are to be run as soon as there is room."""
        return self.events - self.put_off - self.in_flight

    @property
    def reference(self) -> str | None:
        """The qualifier, for looking the function up."""
        return self.qualifier or None
