"""This engine on an asyncio program's own loop (uvloop), with default settings: billing, logs and limits on."""

from __future__ import annotations

import asyncio
from time import perf_counter_ns

import uvloop

from engine import Engine

from ..contract import Bound, Contender
from ..work import CODE, PAYLOAD
from .engine_settings import FUNCTION, HANDLER, MEMORY_MB, answer_of


class EngineAsync(Contender):
    name = "engine-async"
    title = "engine,\nasync"

    def open(self) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        try:
            self._runner.run(self._open())
        except BaseException:
            self._runner.close()
            raise

    async def _open(self) -> None:
        self._engine = await Engine().__aenter__()
        try:
            await self._engine.create_function(FUNCTION, code=CODE, handler=HANDLER, memory_mb=MEMORY_MB)
        except BaseException:
            await self._close()
            raise

    def close(self) -> None:
        try:
            self._runner.run(self._close())
        finally:
            self._runner.close()

    async def _close(self) -> None:
        await self._engine.__aexit__(None, None, None)

    def call(self) -> bytes:
        return self._runner.run(self._call())

    async def _call(self) -> bytes:
        return answer_of(await self._engine.invoke(FUNCTION, PAYLOAD))

    def timed(self, bound: Bound, pause_s: float = 0.0) -> list[int]:
        return self._runner.run(self._timed(bound, pause_s))

    async def _timed(self, bound: Bound, pause_s: float) -> list[int]:
        """As `Contender.timed`, within one coroutine, so that the loop is not started for each call."""
        invoke, samples = self._engine.invoke, list[int]()
        deadline_ns = perf_counter_ns() + int(bound.seconds * 1e9)
        while len(samples) < bound.count and perf_counter_ns() < deadline_ns:
            if pause_s:
                await asyncio.sleep(pause_s)
            start_ns = perf_counter_ns()
            result = await invoke(FUNCTION, PAYLOAD)
            samples.append(perf_counter_ns() - start_ns)
            answer_of(result)
        return samples

    def flood(self, outstanding: int, bound: Bound) -> int:
        return self._runner.run(self._flood(outstanding, bound))

    async def _flood(self, outstanding: int, bound: Bound) -> int:
        deadline_ns = perf_counter_ns() + int(bound.seconds * 1e9)
        share = max(1, bound.count // outstanding)
        callers = (self._caller(deadline_ns, share) for _ in range(outstanding))
        return sum(await asyncio.gather(*callers))

    async def _caller(self, deadline_ns: int, share: int) -> int:
        """One of the callers in flight: calls again as soon as it is answered; how many answers it had."""
        invoke, answered = self._engine.invoke, 0
        while answered < share:
            answer_of(await invoke(FUNCTION, PAYLOAD))
            answered += 1
            if perf_counter_ns() >= deadline_ns:
                break
        return answered
