"""Schedules on a disk that answers when a test says so, and fails when it says so. No real disk can be told to."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from timetables import MINUTE, START

from engine.clock import VirtualClock
from engine.core.schedules.registry import Schedules
from engine.core.schedules.written import schedule_of_text
from engine.errors import ResourceNotFoundException
from engine.model import FunctionConfiguration, Schedule, StoredCode
from engine.store.snapshot import Snapshot


class Disk:
    """Keeper, events and catalog in one, a minute before `START`. `rows`: what is written; `ran`: events that are."""

    def __init__(self) -> None:
        self.clock = VirtualClock(START - MINUTE)
        self.rows: dict[str, tuple[Schedule, int]] = {}
        self.ran: list[bytes] = []
        self.parcels: list[dict[str, Any]] = []
        self.asked: deque[tuple[Sequence[Any], Callable[..., object]]] = deque()
        self.writes = 0
        self.functions = {"f"}
        self.snapshot = Snapshot("us-east-1", "000000000000")
        self.deliveries = self.queues = self
        self.schedules: Any = self.opened()

    def opened(self) -> Schedules:
        here: Any = self
        return Schedules(here, self._lane, here, here, self.clock, lambda call: self.clock.after(0, call))

    def write(self, steps: Sequence[Any], size: int, answer: Callable[..., object]) -> None:
        self.asked.append((steps, answer))

    def accept(self, lane: str, function: str, _: None, payload: bytes, extra: bytes, waiting: Any, steps: Any) -> None:
        def answer(error: str | None, _: None) -> None:
            if error is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(OSError(error))

        self.write([*steps, ("append", payload)], 0, answer)

    def add(self, number: int, queue: int, body: dict[str, Any]) -> None:
        self.parcels.append(body)

    def new_number(self) -> int:
        return 1

    def resolve(self, reference: str) -> FunctionConfiguration:
        self._lane(reference)
        return FunctionConfiguration(reference, "app.handler", "python3.11", StoredCode("", 0, Path()))

    def _lane(self, reference: str) -> Any:
        if reference not in self.functions:
            raise ResourceNotFoundException(f"Function not found: {reference}")

    # --- what tests do ------------------------------------------------------------------------------------------------

    def answer(self, error: str | None = None) -> None:
        """To all that was asked, in order."""
        self.clock.advance_ms(0)
        while self.asked:
            steps, answer = self.asked.popleft()
            if error is None:
                self.writes += 1
                for step in steps:
                    self._apply(*step)
            answer(error, None)

    def _apply(self, what: str, name: Any, *rest: Any) -> None:
        if what == "schedule":
            self.rows[name] = schedule_of_text(name, rest[0]), rest[1]
        elif what == "unschedule":
            self.rows.pop(name, None)
        elif what == "append":
            self.ran.append(name)
        elif name in self.rows:
            self.rows[name] = self.rows[name][0], rest[0]

    async def after(self, work: Coroutine[Any, Any, Any], error: str | None = None) -> Any:
        """What comes of it once the disk has answered so."""
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0)
        assert not task.done() or task.exception() is not None, "it did not wait for the disk"
        self.answer(error)
        return await task

    def create(
        self, name: str = "s", expression: str = "cron(0 * * * ? *)", **settings: Any
    ) -> Coroutine[Any, Any, Any]:
        work: Coroutine[Any, Any, Any] = self.schedules.create(Schedule(name, expression, "f", **settings))
        return work

    def update(
        self, name: str = "s", expression: str = "cron(0 * * * ? *)", **settings: Any
    ) -> Coroutine[Any, Any, Any]:
        work: Coroutine[Any, Any, Any] = self.schedules.update(Schedule(name, expression, "f", **settings))
        return work

    def told(self, name: str = "s") -> tuple[int, int, int | None]:
        """Ticks fired and missed, and how long after `START` the next one is."""
        told = self.schedules.statistics()[name]
        return told["fired"], told["missed"], None if told["next_ms"] is None else told["next_ms"] - START

    def position(self, name: str = "s") -> int:
        """On disk, from `START` on."""
        return self.rows[name][1] - START
