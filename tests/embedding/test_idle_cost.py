"""What an engine costs that has nothing to do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from doors import Gate

import engine

CODE = Path(__file__).parent / "code"
ENVIRONMENTS = 100
WINDOW_S = 3.0
SHARE_MAX = 0.005  # of one CPU, for everything the engine is: host, zygote, environments and their inits, blanks
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pids: list[int]) -> float:
    """CPU time so far, user and system."""
    return sum(psutil.Process(pid).cpu_times().user + psutil.Process(pid).cpu_times().system for pid in pids)


def test_a_hundred_idle_environments_cost_next_to_nothing(run: Callable[..., Any], gate: Gate) -> None:
    """The one test that looks at a stretch of time: idling has no event to wait for."""

    async def main() -> None:
        async with engine.Engine(scaling="lambda") as opened:
            await opened.create_function("waits", code=CODE, handler="hosted.waits", timeout_s=60)
            calls = [asyncio.create_task(opened.invoke("waits", gate.address)) for _ in range(ENVIRONMENTS)]
            await asyncio.to_thread(gate.wait_entered, ENVIRONMENTS)
            gate.open()
            assert len({(await call).json() for call in calls}) == ENVIRONMENTS
            births = opened._supervisor.births
            while opened._scheduler.active or not all(blank.own_pid > 0 for blank in births._stock):
                await asyncio.sleep(0.01)  # until the engine itself says that it has nothing to watch over or to fork
            family = psutil.Process(births.zygote.pid).children(recursive=True)
            assert len(family) == 2 * (ENVIRONMENTS + len(births._stock))  # each with its init
            pids = [os.getpid(), births.zygote.pid, *[process.pid for process in family]]
            before = cpu_s(pids)
            await asyncio.sleep(WINDOW_S)
            assert cpu_s(pids) - before <= SHARE_MAX * WINDOW_S + TICK_S

    run(main())
