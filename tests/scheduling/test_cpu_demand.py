"""What the kernel says of how much CPU processes want, where there is too little of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from doors import PATIENCE_S

from engine.core.cpu_demand import CpuDemand

SPINS = "print(flush=True)\nwhile True: pass"
SLEEPS = "import sys\nprint(flush=True)\nsys.stdin.read()"
STARTS_ONE_THAT_SPINS = """
import os, sys
parent = os.getpid()
if os.fork():
    sys.stdin.read()
print(flush=True)
while os.getppid() == parent: pass
"""
RIVALS = 8
LOOKS = 20


@contextmanager
def on_one_cpu(code: str, count: int = 1) -> Iterator[list[int]]:
    """Processes that share a CPU and are past their start."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    argv = [sys.executable, "-P", "-c", code]
    started = [subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(count)]
    os.sched_setaffinity(0, before)
    try:
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.kill()
            process.communicate(timeout=PATIENCE_S)


def wait_asleep(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while psutil.Process(pid).status() != psutil.STATUS_SLEEPING:
        assert time.monotonic() < deadline
        os.sched_yield()


def shares(pid: int) -> list[float]:
    demand, found = CpuDemand(), list[float]()
    while len(found) < LOOKS:
        share = demand.share([pid], time.monotonic_ns())
        if share is not None:
            found.append(share)
    return found


def test_one_that_gets_no_cpu_for_a_while_still_wants_it_all() -> None:
    with on_one_cpu(SPINS, RIVALS) as pids:
        assert min(shares(pids[0])) > 0.9


def test_one_that_waits_wants_none() -> None:
    with on_one_cpu(SLEEPS) as pids:
        wait_asleep(pids[0])
        assert max(shares(pids[0])) < 0.1


def test_what_a_process_below_it_wants_counts() -> None:
    with on_one_cpu(STARTS_ONE_THAT_SPINS) as pids:
        assert min(shares(pids[0])) > 0.9


def test_one_that_is_gone_says_nothing() -> None:
    with on_one_cpu(SLEEPS) as pids:
        pass
    demand = CpuDemand()
    assert demand.share(pids, 0) is None
    assert demand.share(pids, 1_000_000_000) is None
