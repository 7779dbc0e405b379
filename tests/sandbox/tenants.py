"""Real processes that move themselves into a cell, the mechanisms that work on this host, and what they left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from engine.sandbox.cgroup1 import Cgroup1
from engine.sandbox.cgroup2 import Cgroup2
from engine.sandbox.contract import Cell, Limits, Mechanism, MechanismUnavailableError
from engine.sandbox.control import own_cgroups
from engine.sandbox.polling import Polling

LIMITS = Limits(memory_mb=64, cpu_share=None, pids_max=64)

ENTER = """
import ctypes, os, signal, sys, time
for descriptor in [int(text) for text in sys.argv[1].split(",") if text]:
    os.write(descriptor, b"0")
    os.close(descriptor)
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER, as a worker does
def say(text):
    os.write(1, f"{text}\\n".encode())
def wait():
    os.read(0, 1)
say("in")
"""

HOG = "held = b'x' * (128 << 20); say('held'); wait()"

DAEMON = """
if os.fork() == 0:
    os.setsid()
    between = os.getpid()
    if os.fork() == 0:
        while os.getppid() == between:
            os.sched_yield()
        say(os.getpid())
        signal.pause()
    os._exit(0)
os.wait()
wait()
"""

FORK_LOOP = """
made = 0
try:
    for _ in range(200):
        if os.fork() == 0:
            signal.pause()
        made += 1
except BlockingIOError:
    pass
say(made)
wait()
"""

COUNT = """
import mmap
with open(FILE, "r+b") as file:
    counted = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
def count():
    while True:
        counted[0] += 1
count()
"""
COUNT_IN_A_THREAD = COUNT.replace("\ncount()", "\nimport threading\nthreading.Thread(target=count).start()\nwait()")
COUNT_IN_A_CHILD = COUNT.replace("\ncount()", "\nif os.fork() == 0:\n    count()\nwait()")

CROWD = """
import threading
both = threading.Barrier(2)
threading.Thread(target=lambda: (both.wait(), signal.pause()), daemon=True).start()
both.wait()
for _ in range(2):
    if os.fork() == 0:
        signal.pause()
say("all here")
wait()
"""

BURN = """
while os.read(0, 1) == b"b":
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    say("burnt")
"""


class Tenant:
    """A child process that runs `body` after it has entered the cell."""

    def __init__(self, cell: Cell, body: str) -> None:
        descriptors = cell.entry_fds()
        argv = [sys.executable, "-I", "-S", "-c", ENTER + body, ",".join(map(str, descriptors))]
        self._process = subprocess.Popen(
            argv, pass_fds=descriptors, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.pid = self._process.pid
        cell.attach(self.pid)
        assert self.line() == "in"

    def line(self) -> str:
        """The next line it says; empty when it has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()

    def poke(self, text: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text)

    def wait(self) -> int:
        return self._process.wait(timeout=30)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


def works(make: Callable[[], Mechanism]) -> bool:
    try:
        make().close()
    except MechanismUnavailableError:
        return False
    return True


MECHANISMS: dict[str, Callable[[], Mechanism]] = {
    make.__name__.lower(): make for make in (Cgroup1, Cgroup2, Polling) if works(make)
}


def leftovers() -> list[Path]:
    """Directories of engines of this process, in every hierarchy."""
    own = own_cgroups()
    places = {*own.v1.values(), *((own.v2, *own.v2.parents) if own.v2 else ())}
    return [found for place in places for found in place.glob(f"invocation-engine-{os.getpid()}-*")]


def cell_directories(pid: int) -> set[Path]:
    """The cells that a process is in, one per hierarchy."""
    own = own_cgroups(Path("/proc", str(pid)))
    return {place for place in (*own.v1.values(), own.v2) if place and place.name.startswith("cell-")}
