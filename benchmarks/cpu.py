"""CPU time of a process and everything below it, including what has already been reaped."""

from __future__ import annotations

import resource

import psutil


def tree_cpu_s() -> float:
    """User + system seconds so far: this process, its live descendants, and the children that each of them reaped.

    The difference of two readings stays right when a process of the tree ends in between, since its parent then counts
    it. Lost is only what init reaped: processes whose own parent died first. Resolution is the kernel's tick (10 ms).
    """
    own = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own + sum(_with_reaped_s(child) for child in psutil.Process().children(recursive=True))


def _with_reaped_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def service_cpu_s(pid: int) -> float:
    """As `tree_cpu_s`, of another process that lives and everything below it; all by the kernel's tick."""
    process = psutil.Process(pid)
    return sum(_with_reaped_s(each) for each in (process, *process.children(recursive=True)))
