"""Ends, in every way that a process can, with whatever it has started still there."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any


def exits(*, status: int) -> None:
    os._exit(status)


def leaves_python(*, status: int) -> None:
    sys.exit(status)


def signals_itself(*, number: int) -> None:
    os.kill(os.getpid(), number)
    signal.pause()


def aborts() -> None:
    os.abort()


def reads_nowhere() -> None:
    ctypes.string_at(0)


def recurses_in_c() -> None:
    sys.setrecursionlimit(1 << 30)
    again = type("Again", (), {"__repr__": lambda self: repr(self)})()
    repr(again)


def hangs() -> None:
    signal.pause()


def leaves_a_crowd(*, then: str, children: int = 24) -> Any:
    """Children that are stopped, deaf, in sessions of their own, orphaned, and one inside vfork. Then the end."""
    for number in range(children):
        _in_child((_stays_stopped, _stays_deaf, _leaves_its_session, _is_orphaned)[number % 4])
    _blocks_in_vfork()
    if then == "exit":
        os._exit(3)
    if then == "answer":
        return len([name for name in os.listdir("/proc") if name.isdigit()])
    signal.pause()
    return None


def _in_child(role: Any) -> None:
    """Until the child says that it plays its part."""
    told, tell = os.pipe()
    if os.fork() == 0:
        role(tell)
        while True:
            signal.pause()
    os.close(tell)
    os.read(told, 1)
    os.close(told)


def _stays_stopped(tell: int) -> None:
    os.write(tell, b"!")
    os.kill(os.getpid(), signal.SIGSTOP)


def _stays_deaf(tell: int) -> None:
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    os.write(tell, b"!")


def _leaves_its_session(tell: int) -> None:
    os.setsid()
    os.write(tell, b"!")


def _is_orphaned(tell: int) -> None:
    if os.fork():
        os._exit(0)
    os.setsid()
    os.write(tell, b"!")


def _blocks_in_vfork() -> None:
    """A child of which the parent waits in the kernel, unkillable by anything but SIGKILL. vfork from a thread's C."""
    if os.fork() == 0:
        os.close(1)
        os.close(2)
        libc = ctypes.CDLL(None)
        if libc.vfork() == 0:
            libc.pause()
        os._exit(0)


def stops(*, pid: int) -> None:
    """SIGSTOP to another process, and no more."""
    os.kill(pid, signal.SIGSTOP)
