"""F5: CPU time of a process and everything below it, and whose process a unix socket's is."""

from __future__ import annotations

import os
import resource
import socket

import psutil

from ..wire.peer import peer_of


def tree_cpu_s(pid: int) -> float:
    """User + system seconds so far of a process, its live descendants, and the children each of them reaped.

    The difference of two readings stays right when a process of the tree ends in between, since its parent then counts
    it. Lost is only what init reaped: processes whose own parent died first. Resolution is the kernel's tick (10 ms),
    but for this process itself. Raises psutil.Error where the process cannot be read.
    """
    root = psutil.Process(pid)
    own_s = _of_this_process_s() if pid == os.getpid() else _with_reaped_s(root)
    return own_s + sum(_with_reaped_s(process) for process in root.children(recursive=True))


def _of_this_process_s() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _with_reaped_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def peer_pid(path: str) -> int | None:
    """The process that listens on a unix socket; None where it is in another pid namespace or gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
            return peer_of(probe).pid or None
        except OSError:
            return None
