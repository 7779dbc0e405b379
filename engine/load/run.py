"""F5: sends the calls: in a closed loop, or in an open one that keeps to its schedule. Counting is `tally`'s.

Few tasks that live as long as the run: in a closed loop one per caller, in an open loop as many as there ever were
calls under way; one that has nothing to send is parked on a future, and taken before another is started.

The schedule of an open loop is absolute. What is late is sent in batches between which the loop may turn, and is never
left out because it is late; what is still due when the time is up, or finds `max_outstanding` calls under way, is not
sent and counted so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from time import monotonic_ns
from typing import Final, Literal, TypeAlias

from .alarm import Alarm
from .mix import Call
from .tally import Tally
from .targets import Target

EndedBy: TypeAlias = Literal["duration", "count", "arrivals", "interrupt"]

NS_PER_S: Final = 1_000_000_000
TICK_S: Final = 0.25
TURN_NS: Final = 2_000_000  # a target that answers at once never lets the loop turn by itself
SPIN_NS: Final = 20_000  # a shorter wait is not worth a timer
BATCH: Final = 64  # sends between two turns of the loop


@dataclass(frozen=True, slots=True)
class Limits:
    """Every run has all of them. drain_s: how long answers are waited for after the last call."""

    duration_s: float
    count: int
    outstanding: int
    drain_s: float


@dataclass(slots=True)
class Window:
    """What a run was, as opposed to what came of it."""

    start_ns: int
    sent: int = 0
    sending_s: float = 0.0
    elapsed_s: float = 0.0
    unanswered: int = 0
    ended_by: EndedBy = "duration"


class Run:
    """One run. `on_tick` is called four times a second with the calls under way."""

    def __init__(self, target: Target, tally: Tally, limits: Limits, on_tick: Callable[[int], None]) -> None:
        self._invoke, self._names, self._failures = target.invoke, target.names, target.failures
        self._tally, self._limits, self._on_tick = tally, limits, on_tick
        self._loop = asyncio.get_running_loop()
        self.window = Window(tally.timeline.start_ns)
        self._end_ns = self.window.start_ns + int(limits.duration_s * NS_PER_S)
        self._turned_ns = self._last_done_ns = self.window.start_ns
        self._outstanding = 0
        self._shared = limits.outstanding > 1
        self._ended = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: list[asyncio.Future[tuple[Call, int]]] = []
        self._alarm: Alarm | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._fault: BaseException | None = None

    async def closed(self, calls: Iterator[Call]) -> Window:
        """As many callers as may be outstanding, each sending its next call when its last one was answered."""
        self._tick()
        self._timers.append(self._loop.call_later(self._limits.duration_s, self._end, "duration"))
        for _ in range(self._limits.outstanding):
            self._start(self._caller(calls))
        return await self._finish()

    async def open(self, arrivals: Iterator[tuple[int, Call]]) -> Window:
        """Each call at its time after the start, whatever became of the others."""
        self._alarm = Alarm()
        try:
            ended_by = await self._pace(arrivals)
        except BaseException:
            self._cancel()
            raise
        finally:
            self._alarm.close()
            self._alarm = None
        self._end(ended_by)
        return await self._finish()

    def stop(self) -> None:
        """Send nothing more. A second time: wait for nothing more."""
        if self._ended:
            self._cancel()
        self._end("interrupt")

    # --- sending ------------------------------------------------------------------------------------------------------

    async def _caller(self, calls: Iterator[Call]) -> None:
        window, limit, done_ns = self.window, self._limits.count, self.window.start_ns
        while not self._ended:
            if done_ns >= self._end_ns:
                self._end("duration")
            elif window.sent >= limit:
                self._end("count")
            else:
                done_ns = await self._once(next(calls), None)

    async def _pace(self, arrivals: Iterator[tuple[int, Call]]) -> EndedBy:
        """Send each arrival when it is due, until one of the bounds."""
        self._tick()
        unbroken = 0
        for seen, (at_ns, call) in enumerate(arrivals):
            due_ns, now_ns = self.window.start_ns + at_ns, monotonic_ns()
            if due_ns >= self._end_ns:
                return "duration"
            if seen >= self._limits.count:
                return "count"
            if due_ns > now_ns:
                await self._until(due_ns)
                unbroken = 0
            elif unbroken >= BATCH:
                await asyncio.sleep(0)
                unbroken = 0
            if self._ended:
                return self.window.ended_by
            unbroken += 1
            if now_ns >= self._end_ns:
                self._tally.not_sent(call[0], due_ns)
            else:
                self._send(call, due_ns)
        return "arrivals"

    async def _until(self, due_ns: int) -> None:
        while (left_ns := due_ns - monotonic_ns()) > 0 and not self._ended:
            if left_ns > SPIN_NS and self._alarm is not None:
                await self._alarm.until(due_ns)
            else:
                await asyncio.sleep(0)

    def _send(self, call: Call, due_ns: int) -> None:
        if self._idle:
            self._idle.pop().set_result((call, due_ns))
        elif len(self._tasks) < self._limits.outstanding:
            self._start(self._sender(call, due_ns))
        else:
            self._tally.not_sent(call[0], due_ns)

    async def _sender(self, call: Call, due_ns: int) -> None:
        await self._once(call, due_ns)
        while not self._ended:
            parked: asyncio.Future[tuple[Call, int]] = self._loop.create_future()
            self._idle.append(parked)
            call, due_ns = await parked
            await self._once(call, due_ns)

    async def _once(self, call: Call, due_ns: int | None) -> int:
        """One call and what came of it. Returns when that was."""
        index, payload = call
        self._outstanding += 1
        self.window.sent = number = self.window.sent + 1
        sent_ns = monotonic_ns()
        try:
            result = await self._invoke(self._names[index], payload)
            done_ns = monotonic_ns()
            self._tally.answered(index, result, due_ns or sent_ns, sent_ns, done_ns)
        except self._failures as error:
            done_ns = monotonic_ns()
            self._tally.failed(index, error, due_ns or sent_ns, done_ns)
            await asyncio.sleep(0)  # a refusal may come without the loop having turned
        except asyncio.CancelledError:
            self.window.unanswered += 1
            raise
        self._outstanding -= 1
        self._last_done_ns = done_ns
        if number == self.window.sent and (self._shared or done_ns - self._turned_ns > TURN_NS):
            self._turned_ns = done_ns
            await asyncio.sleep(0)  # answered at once: others shall send as well
        return done_ns

    # --- beginning and ending -----------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        """A fault of the generator itself ends the run and is raised by it."""
        if not task.cancelled() and task.exception() is not None:
            self._fault = self._fault or task.exception()
            self._end("interrupt")
            self._cancel()

    def _end(self, why: EndedBy) -> None:
        """Send nothing more; give what is under way `drain_s`."""
        if self._ended:
            return
        self._ended, self.window.ended_by = True, why
        sending_ns = min(monotonic_ns(), self._end_ns) - self.window.start_ns
        self.window.sending_s = self._limits.duration_s if why == "duration" else sending_ns / NS_PER_S
        if self._alarm is not None:
            self._alarm.wake()
        for parked in self._idle:
            parked.cancel()
        self._timers.append(self._loop.call_later(self._limits.drain_s, self._cancel))

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _finish(self) -> Window:
        """Wait for every task, whoever ends it."""
        try:
            while running := [task for task in self._tasks if not task.done()]:
                await asyncio.wait(running)
        finally:
            self._cancel()
            for timer in self._timers:
                timer.cancel()
        if self._fault is not None:
            raise self._fault
        self._tally.flush()
        self._tally.timeline.close()
        elapsed_s = (self._last_done_ns - self.window.start_ns) / NS_PER_S
        self.window.elapsed_s = max(elapsed_s, self.window.sending_s)
        return self.window

    def _tick(self) -> None:
        self._tally.flush()
        self._on_tick(self._outstanding)
        timer = self._loop.call_later(TICK_S, self._tick)
        self._timers[:1] = [timer]
