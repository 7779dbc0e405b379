"""Rows to keep, and the keeper's process with the face of a store: each method a request, and turns of a loop until it
is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.clock import LoopTiming
from engine.core.events.keeper import ProcessKeeper
from engine.errors import ServiceException
from engine.store.event_store import IN_TURN, Due, EventRow, Opening, ParcelRow, Step

PATIENCE_S = 60.0
ALL = 1 << 40  # more events, or bytes, than there are
START_MS = 1_767_225_600_000

Answered = tuple[str | None, Any]


def an_event(seq: int, queue: int = 1, *, payload: bytes = b"{}", extra: bytes = b"") -> EventRow:
    """As it is when it is accepted; `payload` and `extra` are what counts as its length."""
    return EventRow(seq, queue, IN_TURN, 0, START_MS + seq, seq.to_bytes(16, "big"), extra, payload)


def a_parcel(number: int, due_ms: int, queue: int = 1, *, attempts: int = 0, body: bytes = b"body") -> ParcelRow:
    return ParcelRow(number, queue, due_ms, attempts, START_MS + number, body)


# An event lies in a queue: one whose queue is gone goes when a store is opened.
QUEUE: Step = ("queue", 1, "f", "")


class ByProcess:
    """See `event_store.EventStore`. `ask` and `wait` are for more than one request at a time."""

    def __init__(self, path: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.keeper = ProcessKeeper(path, self.loop, LoopTiming(self.loop.call_later))
        self.faults: list[object] = []  # of what the loop called: of answers that came twice, too
        self.loop.set_exception_handler(lambda _, context: self.faults.append(context))
        self._closed = False
        try:
            self._found = self.keeper.open()
        except BaseException:
            self.loop.close()
            raise
        self.keeper.attach()

    def ask(self, method: str, *arguments: Any, size: int = 0) -> asyncio.Future[Answered]:
        """A request, sent; the future has an error's text or None, and what was answered."""
        asked: asyncio.Future[Answered] = self.loop.create_future()

        def answer(error: str | None, result: Any) -> None:
            asked.set_result((error, result))  # which fails where it is called twice

        if method == "write":
            self.keeper.write(arguments[0], size, answer)
        else:
            self.keeper.ask(method, arguments, answer)
        return asked

    def wait(self, *asked: asyncio.Future[Answered]) -> list[Answered]:
        """Until all of these are answered."""
        return self.loop.run_until_complete(asyncio.wait_for(asyncio.gather(*asked), PATIENCE_S))

    @property
    def pid(self) -> int:
        pid = self.keeper.pid
        assert pid is not None
        return pid

    def turn_until(self, condition: Callable[[], bool]) -> None:
        """Have the loop turn until it is so."""

        async def turn() -> None:
            while not condition():
                await asyncio.sleep(0.001)  # for the loop to wait; what is waited for may come between

        self.loop.run_until_complete(asyncio.wait_for(turn(), PATIENCE_S))

    def result(self, method: str, *arguments: Any) -> Any:
        [(error, result)] = self.wait(self.ask(method, *arguments))
        if error is not None:
            raise ServiceException(error)
        return result

    def opening(self) -> Opening:
        return self._found

    def write(self, steps: Sequence[Step]) -> None:
        self.result("write", steps)

    def next_events(self, queue: int, after: int, most: int, most_bytes: int) -> list[EventRow]:
        return [EventRow(*row) for row in self.result("next_events", queue, after, most, most_bytes)]

    def due_events(self, now_ms: int, most: int, most_bytes: int, but: Sequence[int]) -> Due:
        rows, next_ms = self.result("due_events", now_ms, most, most_bytes, but)
        return Due([EventRow(*row) for row in rows], next_ms)

    def due_parcels(self, now_ms: int, most: int, but: Sequence[int]) -> Due:
        rows, next_ms = self.result("due_parcels", now_ms, most, but)
        return Due([ParcelRow(*row) for row in rows], next_ms)

    def oldest_ms(self) -> dict[int, int]:
        found: dict[int, int] = self.result("oldest_ms")
        return found

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.keeper.detach()
            self.keeper.close()
            self.loop.close()
            assert self.faults == []
