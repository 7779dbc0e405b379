"""F1: limits without cgroups: memory by looking at the process tree now and then; CPU and process counts not at all.

A hog can take more than its limit between two looks. A daemon that forked twice is still seen when a look came in
between, or when the environment made itself its descendants' reaper (PR_SET_CHILD_SUBREAPER), which workers should.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil

from engine.errors import EngineError

from .contract import CELLS_MAX, KILL_WITHIN_S, MB, Gauges, Limits
from .reaper import kill_all

_SEEN_MAX: Final = 4_096  # processes remembered per cell; past it the dead are forgotten, then nothing is added


class PollingCell:
    """A process tree, known by its first process. Memory is the sum of proportional set sizes (PSS)."""

    def __init__(self, limits: Limits | None, on_release: Callable[[PollingCell], None]) -> None:
        self._limit = None if limits is None else limits.memory_mb * MB
        self._on_release = on_release
        self._seen: dict[int, psutil.Process] = {}
        self._peak = self._kills = 0

    def entry_fds(self) -> tuple[int, ...]:
        return ()

    def seal(self) -> None:
        """Nothing is open."""

    def directory_fd(self) -> int | None:
        return None

    def attach(self, pid: int) -> None:
        """Follow this process and what descends from it. A process that has ended already is followed as nothing."""
        try:
            self._seen[pid] = psutil.Process(pid)
        except psutil.NoSuchProcess:
            return

    def set_limits(self, limits: Limits) -> None:
        self._limit = limits.memory_mb * MB

    def set_cpu(self, vcpus: float | None) -> None:
        """Not enforced."""

    def oom_kills(self) -> int:
        return self._kills

    def overdrawn(self) -> bool:
        """Look at the tree. True once it held more than the limit; the first True counts as one memory kill."""
        held = sum(_pss_bytes(pid) for pid in self._members())
        self._peak = max(self._peak, held)
        self._kills = int(self._limit is not None and self._peak > self._limit)
        return self._kills > 0

    def memory_peak_mb(self) -> int | None:
        return -(-self._peak // MB) if self._peak else None

    def gauges(self) -> Gauges:
        return Gauges()

    def tasks(self) -> int | None:
        return None

    def freeze(self) -> None:
        """Not enforced: the tenant could see a SIGSTOP, and another of its processes could undo it."""

    def thaw(self) -> None:
        """Nothing is frozen."""

    def frozen(self) -> bool:
        return False

    def throttled(self) -> int:
        return 0

    def kill(self) -> bool:
        # Stopped first, so that nothing forks while the tree is listed, and orphans still reach their reaper.
        stopped: frozenset[int] = frozenset()
        for _ in range(_SEEN_MAX):
            members = self._members()
            if members <= stopped:
                break
            for pid in members - stopped:
                self._stop(pid)
            stopped |= members
        return kill_all(self._members, KILL_WITHIN_S)

    def release(self) -> None:
        if self._seen:
            self.kill()
        self._seen.clear()
        self._on_release(self)

    def _stop(self, pid: int) -> None:
        try:
            self._seen[pid].send_signal(signal.SIGSTOP)
        except psutil.NoSuchProcess:
            return

    def _members(self) -> frozenset[int]:
        """Everything alive that was seen in this tree, and all its descendants, whoever their parent is now."""
        for process in list(self._seen.values()):
            if not _alive(process):
                del self._seen[process.pid]
                continue
            for child in _descendants(process):
                if len(self._seen) < _SEEN_MAX:
                    self._seen.setdefault(child.pid, child)
        return frozenset(pid for pid, process in self._seen.items() if _alive(process))


class Polling:
    """Memory by looking; for hosts where no cgroup can be made."""

    name = "polling"
    enforces: frozenset[str] = frozenset({"memory"})

    def __init__(self, no_better: str = "") -> None:
        """`no_better`: why no cgroup is used, for `why`."""
        self._out: set[PollingCell] = set()
        self._closed = False
        told = f" ({no_better})" if no_better else ""
        self.why = {
            "memory": f"by polling: a process tree over its limit is killed at the next look{told}",
            "cpu": f"no cgroup controller to set a quota with{told}",
            "pids": f"no cgroup controller to count processes with{told}",
            "freeze": f"no cgroup to freeze; a stop signal can be seen and undone from inside{told}",
        }

    @property
    def thaw_after_death(self) -> None:
        return None

    def open_cell(self, limits: Limits | None = None) -> PollingCell:
        if self._closed:
            raise EngineError("this limits mechanism was closed: open another")
        if len(self._out) >= CELLS_MAX:
            raise EngineError(f"{CELLS_MAX} cells are open: release one before opening another")
        cell = self._make(limits)
        self._out.add(cell)
        return cell

    def close(self) -> None:
        self._closed = True
        for cell in list(self._out):
            cell.release()

    def _make(self, limits: Limits | None) -> PollingCell:
        return PollingCell(limits, self._out.discard)


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _pss_bytes(pid: int) -> int:
    """PSS where the kernel lets us read it, resident size otherwise, 0 once the process has ended."""
    try:
        for line in Path("/proc", str(pid), "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1_024
    except (ProcessLookupError, FileNotFoundError):
        return 0
    except PermissionError:
        pass
    try:
        return int(Path("/proc", str(pid), "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (ProcessLookupError, FileNotFoundError):
        return 0
