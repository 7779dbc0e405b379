"""F1: the contract between the engine and whatever keeps its events: what is written, what is read back. No rules.

An event lies in the queue of one function reference. `due_ms` says when it may be tried: IN_TURN in the order of `seq`,
which is the order of acceptance, else a Unix time. A parcel is a result on its way to a destination, kept until it is
delivered or given up. Every step can be written again: who does not know whether a write was done repeats it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

IN_TURN: Final = 0

# One step of a write: a name of `OPERATIONS` and its arguments, as MessagePack can say them.
Step: TypeAlias = Sequence[Any]
OPERATIONS: Final = (
    "queue",  # id, function, qualifier: a queue that events will name
    "append",  # rows
    "remove",  # seqs of events that are done
    "delay",  # rows of (seq, attempts, due_ms)
    "drop",  # id of a queue: it goes, with all that is in it
    "send",  # rows of parcels; one that is there already is replaced
    "sent",  # ids of parcels that are done
    "schedule",  # name, body, position_ms
    "position",  # name, position_ms
    "unschedule",  # name
)


class EventRow(NamedTuple):
    """One event. `request_id` is 16 bytes; `extra` is what goes to the environment beside the payload."""

    seq: int
    queue: int
    due_ms: int
    attempts: int
    accepted_ms: int
    request_id: bytes
    extra: bytes
    payload: bytes


class ParcelRow(NamedTuple):
    """One parcel. Its id comes from the same numbers as events'; `body` is opaque here."""

    id: int
    queue: int
    due_ms: int
    attempts: int
    created_ms: int
    body: bytes


class QueueRow(NamedTuple):
    """A queue and what is in it: events, bytes of their payloads and extras, and how many events are put off."""

    id: int
    function: str
    qualifier: str
    events: int
    bytes: int
    put_off: int


class Opening(NamedTuple):
    """What a store held when it was opened. `last` is the highest number that any event or parcel had."""

    last: int
    queues: list[QueueRow]
    parcels: int
    schedules: list[tuple[str, str, int]]


class Due(NamedTuple):
    """Rows whose time has come, and when the next one's will; None: there is none."""

    rows: list[Any]
    next_ms: int | None


class EventStore(Protocol):
    """Keeps events. One caller at a time. Every method raises `ServiceException` where the disk fails."""

    def opening(self) -> Opening:
        """What there is. Called once, first."""

    def write(self, steps: Sequence[Step]) -> None:
        """Return once all of it will be found by every later `opening`, or raise: then none of it was written."""

    def next_events(self, queue: int, after: int, most: int, most_bytes: int) -> list[EventRow]:
        """Events of a queue that are in turn, with a higher seq than `after`: at most so many, and about so long."""

    def due_events(self, now_ms: int, most: int, most_bytes: int, but: Sequence[int]) -> Due:
        """Events that waited for a time that has come, of all queues, but for these."""

    def due_parcels(self, now_ms: int, most: int, but: Sequence[int]) -> Due:
        """Parcels whose time has come, but for these."""

    def oldest_ms(self) -> dict[int, int]:
        """By queue: when its oldest event was accepted."""

    def close(self) -> None:
        """Idempotent."""
