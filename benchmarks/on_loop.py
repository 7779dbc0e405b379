"""A contender that lives on an asyncio program's own loop (uvloop), where its callers are coroutines."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import Generic, TypeVar

import uvloop

from .contract import Bound, Contender

Result = TypeVar("Result")


class OnLoop(Contender, Generic[Result]):
    """Has the loop and the callers; what is called, and how it starts, a subclass says."""

    @abstractmethod
    async def start(self) -> None:
        """As `open`, on the loop. Cleans up after itself where it fails."""

    @abstractmethod
    async def stop(self) -> None:
        """As `close`, on the loop."""

    @abstractmethod
    def asker(self) -> Callable[[], Awaitable[Result]]:
        """What makes one call, without a layer around it."""

    @abstractmethod
    def payload_of(self, result: Result) -> bytes:
        """Raises where the result is a failure."""

    def open(self) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        try:
            self._runner.run(self.start())
        except BaseException:
            self._runner.close()
            raise

    def close(self) -> None:
        try:
            self._runner.run(self.stop())
        finally:
            self._runner.close()

    def call(self) -> bytes:
        return self._runner.run(self._call())

    async def _call(self) -> bytes:
        return self.payload_of(await self.asker()())

    def timed(self, bound: Bound, pause_s: float = 0.0) -> list[int]:
        return self._runner.run(self._timed(bound, pause_s))

    async def _timed(self, bound: Bound, pause_s: float) -> list[int]:
        """As `Contender.timed`, within one coroutine, so that the loop is not started for each call."""
        ask, payload_of, samples = self.asker(), self.payload_of, list[int]()
        deadline_ns = perf_counter_ns() + int(bound.seconds * 1e9)
        while len(samples) < bound.count and perf_counter_ns() < deadline_ns:
            if pause_s:
                await asyncio.sleep(pause_s)
            start_ns = perf_counter_ns()
            result = await ask()
            samples.append(perf_counter_ns() - start_ns)
            payload_of(result)
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
        ask, payload_of, answered = self.asker(), self.payload_of, 0
        while answered < share:
            payload_of(await ask())
            answered += 1
            if perf_counter_ns() >= deadline_ns:
                break
        return answered
