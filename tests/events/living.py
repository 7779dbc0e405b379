"""An engine whose events live by a virtual clock: functions run in real time, waiting for retries takes none."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop
from doors import ONE_VCPU_MB, PATIENCE_S

import engine
from engine.clock import VirtualClock
from engine.core.events.lifecycle import EventLifecycle

CODE = Path(__file__).parent / "code"
START_MS = 1_800_000_000_000
SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
TURNS = 3  # of the loop in which nothing happens: an answer may be on its way from one part to another


class Life:
    """An open engine and its clock."""

    def __init__(self, inside: engine.Engine, clock: VirtualClock) -> None:
        self.engine = inside
        self.clock = clock

    async def deploy(self, name: str, handler: str, **settings: Any) -> None:
        given = {"code": CODE, "handler": f"behaves.{handler}", "memory_mb": ONE_VCPU_MB, "timeout_s": 60, **settings}
        await self.engine.create_function(name, **given)

    async def send(self, name: str, payload: object = None, **options: Any) -> str:
        """The request id of an event that was accepted."""
        result = await self.engine.invoke(name, payload, invocation_type="Event", **options)
        assert (result.status_code, result.payload) == (202, b"")
        return result.request_id

    async def until(self, met: Callable[[], object]) -> None:
        """Let the loop turn until something is so."""
        deadline = time.monotonic() + PATIENCE_S
        while not met():
            assert time.monotonic() < deadline, "it never came to be"
            await asyncio.sleep(0.001)

    async def quiet(self) -> None:
        """Until all is run that may be run now, and all delivered that is due."""
        turns = 0

        def is_still() -> bool:
            nonlocal turns
            turns = turns + 1 if _is_quiet(self.engine.events) else 0
            return turns > TURNS

        await self.until(is_still)

    async def pass_time(self, step_ms: int) -> None:
        """Let time pass, from one timer to the next, with all that each of them brings about."""
        await self.quiet()
        until_ms = self.clock.wall_ms() + step_ms
        while (next_ms := self.clock.next_ms) is not None and next_ms <= until_ms:
            self.clock.advance_ms(max(0, next_ms - self.clock.wall_ms()))
            await self.quiet()
        self.clock.advance_ms(until_ms - self.clock.wall_ms())
        await self.quiet()

    async def runs(self, name: str) -> list[str]:
        """Request ids of a function's invocations, in order."""
        return [line.request_id for line in await self.engine.logs(name) if line.message.startswith("REPORT")]

    async def said(self, name: str, word: str = "event ") -> list[str]:
        """What a function printed after this word."""
        lines = (line.message for line in await self.engine.logs(name))
        return [line.removeprefix(word) for line in lines if line.startswith(word)]

    async def records(self, name: str) -> list[dict[str, Any]]:
        """The events that `says` had."""
        return [json.loads(told) for told in await self.said(name)]

    async def counts(self, name: str, qualifier: str = "$LATEST") -> dict[str, Any]:
        told: dict[str, Any] = (await self.engine.stats(name))["functions"][name]["events"][qualifier]
        return told


def _is_quiet(events: EventLifecycle) -> bool:
    for queue in events.queues.all():
        if queue.in_flight or queue.reading or (queue.to_run and queue.pause is None):
            return False
    under_way = events.pen.unwritten(), events.deliveries._in_hand, getattr(events._keeper, "_unanswered", None)
    return not (any(under_way) or events.deliveries._asking or events.queues._asking or events.pen._due)


@asynccontextmanager
async def living(data_dir: Path | None = None, start_ms: int = START_MS, **settings: Any) -> AsyncIterator[Life]:
    """An engine of its own."""
    inside, clock = engine.Engine(data_dir, **settings), VirtualClock(start_ms)
    inside._timing = clock
    async with inside:
        yield Life(inside, clock)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A test that is a coroutine."""
    uvloop.run(test())
