from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ..clock import Timer
from .lane import Lane
from .meter import Histogram, Quota
from .scheduler import Scheduler

class EventQueue:
    id: int
    function: str
    qualifier: str
    events: int
    length: int
    put_off: int
    in_flight: int
    tail: int
    left: int
    age_ms: int
    dropped: bool
    keeps_success: bool
    reading: bool
    failures: int
    pause: Timer | None
    lane: Lane | None
    quota: Quota | None
    terms: Any
    terms_of: object
    window: deque[Event]
    received: int
    retries: int
    throttles: int
    lost: int
    recursive: int
    delivered: int
    undelivered: int
    undead: int
    ages: Histogram
    ages_lately: Histogram
    def __init__(self, number: int, function: str, qualifier: str) -> None: ...
    @property
    def reference(self) -> str | None: ...
    @property
    def to_run(self) -> int: ...

class Event:
    seq: int
    accepted_ms: int
    due_ms: int
    attempts: int
    request_id: bytes
    extra: bytes
    payload: bytes
    queue: EventQueue
    lane: Lane | None
    waiting: Any
    def set_result(self, result: object) -> None: ...
    def set_exception(self, error: BaseException) -> None: ...

def rows_of(events: list[Event]) -> list[tuple[int, int, int, int, int, bytes, bytes, bytes]]: ...

class Traffic:
    last: int
    events: int
    length: int
    window_bytes: int
    in_flight: int
    put_off: set[int]
    def __init__(
        self,
        scheduler: Scheduler,
        on_ended: Callable[[], object],
        *,
        events_most: int,
        bytes_most: int,
        window_events: int,
        window_bytes_most: int,
    ) -> None: ...
    def accept(
        self,
        queue: EventQueue,
        lane: Lane,
        payload: bytes,
        extra: bytes,
        now_ms: int,
        waiting: object,
    ) -> Event: ...
    def counted(self, queue: EventQueue, events: int, size: int) -> None: ...
    def written(self, events: list[Event]) -> list[EventQueue]: ...
    def read(self, queue: EventQueue, row: Sequence[Any], *, first: bool = False) -> Event: ...
    def put_back(self, event: Event) -> None: ...
    def take(self, queue: EventQueue) -> Event: ...
    def dismiss(self, event: Event) -> None: ...
    def run(self, queue: EventQueue, lane: Lane, room: int, now_ms: int) -> Event | None: ...
    def run_one(self, event: Event, lane: Lane, now_ms: int) -> None: ...
    def settle(self, done: list[int], others: list[tuple[Event, object]]) -> list[EventQueue]: ...
