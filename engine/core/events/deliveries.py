"""F3: parcels on their way: kept until they are delivered, tried again while that fails, given up and counted at last.

A parcel's body on disk is MessagePack of what it is (`Parcel.to_map`), with "dead_letter" where it is one; one that
goes to a function here has "function" and "payload" instead, and "trace" for the chain that it continues.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import msgpack

from ...clock import Timing
from ...store.event_store import ParcelRow
from .couriers import Courier
from .keeper import Keeper
from .parcels import Parcel
from .pen import Pen
from .rules import DELIVERY_AGE_MAX_S, back_off_s

TOGETHER: Final = 64
AGAIN_S: Final = 1.0
WAIT_MOST_S: Final = 60.0

log = logging.getLogger("engine.events")


class Deliveries:
    """`invoke(body, done)` has a function here invoked with a record: `done` is told None once that is accepted.

    `count(queue id, is dead letter, delivered)` is told what became of each parcel.
    """

    def __init__(
        self,
        keeper: Keeper,
        pen: Pen,
        timing: Timing,
        courier: Courier,
        *,
        invoke: Callable[[dict[str, Any], Callable[[str | None], None]], None],
        count: Callable[[int, bool, bool], None],
    ) -> None:
        self._keeper = keeper
        self._pen = pen
        self._timing = timing
        self._courier = courier
        self._invoke = invoke
        self._count = count
        self._in_hand: dict[int, ParcelRow] = {}
        self._asking = self._asked_again = self._closed = False
        self._timer: Any = None
        self.waiting = 0  # kept, in hand or not

    def begin(self, waiting: int) -> None:
        """So many were found."""
        self.waiting = waiting
        if waiting:
            self.look()

    def add(self, number: int, queue: int, body: dict[str, Any]) -> None:
        """Keep one, and deliver it once it is kept."""
        now_ms = self._timing.wall_ms()
        self._pen.send(ParcelRow(number, queue, now_ms, 0, now_ms, msgpack.packb(body)))
        self.waiting += 1
        self._pen.then(lambda _: self.look())

    def look(self) -> None:
        """Take in hand what is due."""
        if self._asking or self._closed or len(self._in_hand) >= TOGETHER:
            self._asked_again = True
            return
        self._asking, self._asked_again = True, False
        self._pen.flush()
        self._keeper.ask(
            "due_parcels",
            (self._timing.wall_ms(), TOGETHER - len(self._in_hand), list(self._in_hand)),
            self._taken,
        )

    def _taken(self, error: str | None, answer: Any) -> None:
        self._asking = False
        if error is not None:
            self._timing.after(AGAIN_S, self.look)
            return
        rows, next_ms = answer
        for given in rows:
            row = ParcelRow(*given)
            self._in_hand[row.id] = row
            self._deliver(row)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._asked_again:
            self.look()
        elif next_ms is not None:
            wait_ms = max(0, next_ms - self._timing.wall_ms())
            self._timer = self._timing.after(min(wait_ms / 1_000, WAIT_MOST_S), self.look)

    def _deliver(self, row: ParcelRow) -> None:
        body = msgpack.unpackb(row.body, raw=False)
        if "function" in body:
            self._invoke(body, lambda error: self._done(row, body, error))
        else:
            self._courier.send(Parcel.from_map(body), lambda error: self._done(row, body, error))

    def _done(self, row: ParcelRow, body: dict[str, Any], error: str | None) -> None:
        if self._closed:
            return  # it is kept, and delivered when the engine is opened again
        del self._in_hand[row.id]
        now_ms, attempts = self._timing.wall_ms(), row.attempts + 1
        due_ms = now_ms + back_off_s(attempts) * 1_000
        is_dead_letter = bool(body.get("dead_letter"))
        if error is not None and due_ms - row.created_ms < DELIVERY_AGE_MAX_S * 1_000:
            log.warning("%s; it is tried again", error)
            self._pen.send(row._replace(attempts=attempts, due_ms=due_ms))
        else:
            self._pen.sent(row.id)
            self.waiting -= 1
            self._count(row.queue, is_dead_letter, error is None)
            if error is not None:
                log.error("%s; it was tried %d times and is given up", error, attempts)
        self.look()

    def close(self) -> None:
        """Deliver no more; what is not delivered is kept."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._courier.stop()
