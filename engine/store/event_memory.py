"""F1: events in memory, for an engine that ends with its process. The same contract as `event_db`'s, less the disk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final

from .event_store import IN_TURN, Due, EventRow, Opening, ParcelRow, Step


class EventMemory:
    """See `event_store.EventStore`. Nothing of it can fail, and nothing of it lasts."""

    def __init__(self) -> None:
        self._events: dict[int, EventRow] = {}
        self._queues: defaultdict[int, dict[int, None]] = defaultdict(dict)  # seqs in order
        self._delayed: dict[int, int] = {}
        self._parcels: dict[int, ParcelRow] = {}

    def opening(self) -> Opening:
        return Opening(0, [], 0, [])

    def write(self, steps: Sequence[Step]) -> None:
        for name, *arguments in steps:
            _STEPS[name](self, *arguments)

    def next_events(self, queue: int, after: int, most: int, most_bytes: int) -> list[EventRow]:
        rows = (self._events[seq] for seq in self._queues.get(queue, ()) if seq > after)
        return _up_to(most_bytes, islice((row for row in rows if row.due_ms == IN_TURN), most))

    def due_events(self, now_ms: int, most: int, most_bytes: int, but: Sequence[int]) -> Due:
        taken = set(but)
        waiting = sorted((due_ms, seq) for seq, due_ms in self._delayed.items() if seq not in taken)
        due = [seq for due_ms, seq in waiting if due_ms <= now_ms][:most]
        rows = _up_to(most_bytes, (self._events[seq] for seq in due))
        return Due(rows, waiting[len(rows)][0] if len(waiting) > len(rows) else None)

    def due_parcels(self, now_ms: int, most: int, but: Sequence[int]) -> Due:
        taken = set(but)
        left = sorted((row.due_ms, row.id) for row in self._parcels.values() if row.id not in taken)
        ready = [self._parcels[number] for due_ms, number in left if due_ms <= now_ms][:most]
        return Due(ready, left[len(ready)][0] if len(left) > len(ready) else None)

    def oldest_ms(self) -> dict[int, int]:
        return {queue: self._events[next(iter(seqs))].accepted_ms for queue, seqs in self._queues.items() if seqs}

    def close(self) -> None:
        """Nothing is held."""

    def _append(self, rows: Sequence[Sequence[Any]]) -> None:
        for given in rows:
            row = EventRow(*given)
            self._events[row.seq] = row
            self._queues[row.queue][row.seq] = None

    def _remove(self, seqs: Sequence[int]) -> None:
        for seq in seqs:
            row = self._events.pop(seq, None)
            self._delayed.pop(seq, None)
            if row is not None:
                del self._queues[row.queue][seq]

    def _delay(self, rows: Sequence[tuple[int, int, int]]) -> None:
        for seq, attempts, due_ms in rows:
            if seq in self._events:
                self._events[seq] = self._events[seq]._replace(attempts=attempts, due_ms=due_ms)
                self._delayed.pop(seq, None)
                if due_ms > 0:
                    self._delayed[seq] = due_ms

    def _drop(self, queue: int) -> None:
        self._remove(list(self._queues.get(queue, {})))
        self._queues.pop(queue, None)

    def _send(self, rows: Sequence[Sequence[Any]]) -> None:
        for given in rows:
            row = ParcelRow(*given)
            self._parcels[row.id] = row

    def _sent(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._parcels.pop(number, None)

    def _forget(self, *_: object) -> None:
        """Queues and schedules are only read back by who opens a store anew."""


_STEPS: Final[dict[str, Callable[..., None]]] = {
    "queue": EventMemory._forget,
    "append": EventMemory._append,
    "remove": EventMemory._remove,
    "delay": EventMemory._delay,
    "drop": EventMemory._drop,
    "send": EventMemory._send,
    "sent": EventMemory._sent,
    "schedule": EventMemory._forget,
    "position": EventMemory._forget,
    "unschedule": EventMemory._forget,
}


def _up_to(most_bytes: int, rows: Any) -> list[EventRow]:
    taken: list[EventRow] = []
    length = 0
    for row in rows:
        taken.append(row)
        length += len(row.payload) + len(row.extra)
        if length >= most_bytes:
            break
    return taken
