"""F5: one whole run against a target: open it, watch signals and CPU time, send, hand everything over for a report."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic_ns
from typing import Any

import uvloop

from .mix import Call
from .run import Limits, Run, Window
from .tally import Tally
from .targets import Target
from .timeline import bin_width_s

STOPS = (signal.SIGINT, signal.SIGTERM)
Watch = Callable[[Tally, Window, int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be sent. Exactly one of `calls` (closed loop) and `arrivals` (open loop) is given.

    settings: as they are reported. expected_interval_ns: of a closed-loop caller, for the corrected latencies; None is
    the median that is measured. notes: what the reader of a report must know about the load.
    """

    limits: Limits
    settings: dict[str, Any]
    calls: Iterator[Call] | None = None
    arrivals: Iterator[tuple[int, Call]] | None = None
    expected_interval_ns: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run was and what came of it. cpu_s: None where it is not known."""

    plan: Plan
    target: Target
    tally: Tally
    window: Window
    cpu_s: float | None


def run(target: Target, plan: Plan, watch: Watch) -> Outcome:
    """Open the target and put it under load. SIGINT and SIGTERM end the run early; a second one does not wait.

    `watch` is called four times a second.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(target, plan, watch))


async def _run(target: Target, plan: Plan, watch: Watch) -> Outcome:
    async with target:
        before_s = target.cpu_s()
        gc.collect()
        gc.freeze()  # what is there already is not looked through again during the run
        bin_ns = int(bin_width_s(plan.limits.duration_s) * 1e9)
        tally = Tally(target.names, monotonic_ns(), bin_ns)
        load = Run(target, tally, plan.limits, lambda outstanding: watch(tally, load.window, outstanding))
        try:
            with _stopped_by_signals(load.stop):
                window = await _send(load, plan)
        finally:
            gc.unfreeze()
        after_s = target.cpu_s()
        cpu_s = None if before_s is None or after_s is None else after_s - before_s
        return Outcome(plan, target, tally, window, cpu_s)


async def _send(load: Run, plan: Plan) -> Window:
    if plan.arrivals is not None:
        return await load.open(plan.arrivals)
    if plan.calls is None:
        raise ValueError("a plan has either calls or arrivals")
    return await load.closed(plan.calls)


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in STOPS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in STOPS:
            loop.remove_signal_handler(number)
