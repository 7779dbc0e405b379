"""Leaves something where another function could find it, and looks for what another one left."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from typing import Any

KEY = 0x5E5A3E
IPC_CREAT = 0o1000
LIBC = ctypes.CDLL(None, use_errno=True)


def leaves_everything() -> list[str]:
    """Shared memory, semaphores, queues, files, a daemon."""
    done = {
        "shm": LIBC.shmget(KEY, 4096, IPC_CREAT | 0o666),
        "sem": LIBC.semget(KEY, 1, IPC_CREAT | 0o666),
        "msg": LIBC.msgget(KEY, IPC_CREAT | 0o666),
        "mq": LIBC.mq_open(b"/sesame", os.O_CREAT | os.O_RDWR, 0o666, None),
    }
    with open("/tmp/sesame", "w") as file:
        file.write("left here")
    os.chmod("/tmp/sesame", 0o666)
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        signal.pause()
    return sorted(name for name, result in done.items() if result >= 0)


def looks_for_remains() -> dict[str, Any]:
    asked = {
        "shm": lambda: LIBC.shmget(KEY, 0, 0),
        "sem": lambda: LIBC.semget(KEY, 0, 0),
        "msg": lambda: LIBC.msgget(KEY, 0),
        "mq": lambda: LIBC.mq_open(b"/sesame", os.O_RDONLY),
    }
    found: dict[str, Any] = {}
    for name, ask in asked.items():
        ctypes.set_errno(0)
        found[name] = "found" if ask() >= 0 else errno.errorcode[ctypes.get_errno()]
    found["tmp"] = os.listdir("/tmp")
    found["shared memory folder"] = os.path.exists("/dev/shm")
    found["processes"] = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    found["own"] = os.getpid()
    found["uid"] = os.getuid()
    return found
