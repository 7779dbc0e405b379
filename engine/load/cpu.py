"""F5: CPU time of a process and everything below it, and whose process a unix socket's is."""

from __future__ import annotations

import socket
import struct
from typing import Final

import psutil

UCRED: Final = struct.Struct("3i")  # pid, uid, gid


def tree_cpu_s(pid: int) -> float | None:
    """User + system seconds so far of a process, its live descendants, and the children each of them reaped.

    The difference of two readings stays right when a process of the tree ends in between, since its parent then counts
    it. None where the process cannot be read.
    """
    try:
        root = psutil.Process(pid)
        return sum(_with_reaped_s(process) for process in (root, *root.children(recursive=True)))
    except psutil.Error:
        return None


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
            pid: int = UCRED.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))[0]
        except OSError:
            return None
    return pid or None
