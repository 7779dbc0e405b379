"""What it shares with the engine: its region, the region's bell, its log's pipe. Written over, filled, blocked."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
from typing import Any

from attempts import said

MAPPED = 64
SPILL_FROM = 8 << 20
FULL = (1 << 64) - 2


def fds() -> dict[str, int]:
    """Its channel: what is above the descriptors that it may have."""
    links = {int(fd): _link(fd) for fd in os.listdir("/proc/self/fd")}
    found = {"region": "memfd:engine-", "bell": "eventfd", "log": "pipe:"}
    return {name: next(fd for fd, link in links.items() if mark in link and fd > 2) for name, mark in found.items()}


def _link(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return ""


def closes_its_channel(*, then: str) -> Any:
    """All descriptors that there are. The memory stays mapped."""
    os.closerange(3, 1 << 16)
    for fd in range(3, 4096):
        said(lambda fd=fd: os.close(fd))
    return _then(then)


def blocks_the_bell(*, then: str) -> Any:
    """Full, so that one more ring waits, and no longer in the mode in which it would fail instead."""
    bell = fds()["bell"]
    os.set_blocking(bell, False)
    said(lambda: os.read(bell, 8))
    os.write(bell, FULL.to_bytes(8, "little"))
    os.set_blocking(bell, True)
    return _then(then)


def _then(then: str) -> Any:
    if then == "exit":
        os._exit(3)
    if then == "hang":
        signal.pause()
    return then


def changes_its_region() -> dict[str, str]:
    """Its size, its seals, who may open it."""
    region = fds()["region"]
    return {
        "shrink": said(lambda: os.ftruncate(region, 0)),
        "grow": said(lambda: os.ftruncate(region, 1 << 40)),
        "seal": said(lambda: fcntl.fcntl(region, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)),
        "open anew": said(lambda: os.close(os.open(f"/proc/self/fd/{region}", os.O_RDWR))),
        "read the log": said(lambda: os.close(os.open("/proc/self/fd/1", os.O_RDONLY | os.O_NONBLOCK))),
    }


def fills_its_region(*, mb: int, then: str = "answer") -> Any:
    """Memory in the place of large payloads, which the engine's end keeps alive."""
    region, piece = fds()["region"], b"\x5a" * (1 << 20)
    for number in range(mb):
        os.pwrite(region, piece, SPILL_FROM + number * len(piece))
    return _then(then)


def punches_its_region() -> Any:
    """Holes where the engine reads."""
    fallocate = ctypes.CDLL(None).fallocate
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)
    return fallocate(fds()["region"], 3, 0, SPILL_FROM)


def writes_over_its_region(*, fill: int) -> None:
    with open("/proc/self/maps") as maps:
        (line,) = (line for line in maps if "memfd:engine-" in line)
    start, end = (int(edge, 16) for edge in line.split()[0].split("-"))
    ctypes.memset(start, fill, end - start)
    signal.pause()


def shrinks_its_log() -> int:
    """The pipe as small as can be, in another mode, and then more than it holds."""
    log = fds()["log"]
    fcntl.fcntl(log, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(log, False)
    written = 0
    for _ in range(1000):
        try:
            written += os.write(1, b"w" * 99 + b"\n")
        except BlockingIOError:
            os.sched_yield()
    os.set_blocking(log, True)
    return written
