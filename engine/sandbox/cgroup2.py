"""F1: limits by cgroup v2: one directory per cell. Where the engine's own directory comes from is `delegation.py`'s.

Cells are made ahead but not used twice: `memory.peak` cannot be reset before Linux 6.12, and making one costs little.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from engine.errors import EngineError

from .claim import gone
from .contract import CPU_PERIOD_US, CPU_QUOTA_MIN_US, KILL_WITHIN_S, MB, Gauges, Limits
from .control import ControlFiles, OpenFiles, OwnCgroups, counter, own_cgroups, pids_in
from .delegation import CONTROLLERS, Delegation
from .pool import CellPool, PoolStatistics
from .reaper import kill_all

_MISSING: Final = "cgroup v2 does not offer it in {place}"
_FREEZE: Final = "cgroup.freeze"
_PEAK: Final = "memory.peak"
_TASKS: Final = "pids.current"
_LIMITS: Final = ("memory.max", "pids.max", "cpu.max")


class Cgroup2Cell:
    """One directory."""

    def __init__(
        self,
        files: ControlFiles,
        directory: Path,
        controllers: tuple[str, ...],
        on_release: Callable[[Cgroup2Cell], None],
    ) -> None:
        self._files = files
        self._directory = directory
        self._controllers = controllers
        self._on_release = on_release
        self._entry: tuple[int, ...] = ()
        self._directory_fd: int | None = None
        self._open = OpenFiles(files)
        self._set("memory", "memory.swap.max", "0")
        try:
            self._open.open([directory / name for name in (_PEAK, _TASKS)], os.O_RDONLY)
            self._open.open([directory / name for name in (_FREEZE, *_LIMITS)], os.O_RDWR)
            self._entry = (os.open(directory / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC),)
            self._directory_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            self._close()
            raise

    def entry_fds(self) -> tuple[int, ...]:
        return self._entry

    def directory_fd(self) -> int | None:
        return self._directory_fd

    def seal(self) -> None:
        for descriptor in self._entry:
            os.close(descriptor)
        if self._directory_fd is not None:
            os.close(self._directory_fd)
        self._entry, self._directory_fd = (), None

    def attach(self, pid: int) -> None:
        """Nothing to do: the kernel knows who is inside."""

    def set_limits(self, limits: Limits) -> None:
        self._set("memory", "memory.max", str(limits.memory_mb * MB))
        self._set("pids", "pids.max", str(limits.pids_max))
        self.set_cpu(limits.cpu_share)
        self._open.close(_LIMITS)

    def set_cpu(self, vcpus: float | None) -> None:
        quota = "max" if vcpus is None else str(max(CPU_QUOTA_MIN_US, round(vcpus * CPU_PERIOD_US)))
        self._set("cpu", "cpu.max", f"{quota} {CPU_PERIOD_US}")
        # Where there is not enough for all, each gets in proportion.
        self._set("cpu", "cpu.weight", "100" if vcpus is None else str(min(10_000, max(1, round(vcpus * 100)))))

    def oom_kills(self) -> int:
        return counter(self._files, self._directory / "memory.events", "oom_kill")

    def overdrawn(self) -> bool:
        return False

    def memory_peak_mb(self) -> int | None:
        peak = self._open.get(_PEAK)  # from Linux 5.19 on
        return None if peak is None else -(-int(peak.read()) // MB)

    def gauges(self) -> Gauges:
        freezer_fd, tasks_fd, peak_fd = (self._open.descriptor(name) for name in (_FREEZE, _TASKS, _PEAK))
        return Gauges(freezer_fd, tasks_fd, peak_fd, b"1", b"0")

    def tasks(self) -> int | None:
        current = self._open.get(_TASKS)
        return None if current is None else int(current.read())

    def freeze(self) -> None:
        self._freeze("1")

    def thaw(self) -> None:
        self._freeze("0")

    def frozen(self) -> bool:
        return counter(self._files, self._directory / "cgroup.events", "frozen") > 0

    def throttled(self) -> int:
        return counter(self._files, self._directory / "cpu.stat", "nr_throttled")

    def kill(self) -> bool:
        try:
            self._files.write(self._directory / "cgroup.kill", "1")
        except FileNotFoundError:  # before Linux 5.14, or the directory is gone
            self._set("pids", "pids.max", "0")
            return kill_all(partial(pids_in, self._files, self._directory), KILL_WITHIN_S)
        return self._wait_empty(time.monotonic() + KILL_WITHIN_S)

    def release(self) -> None:
        self._on_release(self)

    def reset(self) -> bool:
        return False

    def remove(self) -> bool:
        self.seal()
        if self._directory.exists() and not self.kill():
            return False
        self._close()
        return gone(self._files, self._directory)

    def _close(self) -> None:
        self.seal()
        self._open.close()

    def _freeze(self, value: str) -> None:
        freeze = self._open.get(_FREEZE)  # from Linux 5.2 on
        if freeze is not None:
            freeze.write(value)

    def _wait_empty(self, deadline: float) -> bool:
        """`cgroup.events` wakes its pollers (POLLPRI) whenever `populated` changes."""
        with open(self._directory / "cgroup.events", encoding="ascii") as events:
            poller = select.poll()
            poller.register(events, select.POLLPRI)
            while "populated 0" not in events.read():
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return False
                poller.poll(left_s * 1_000)
                events.seek(0)
        return True

    def _set(self, controller: str, file: str, value: str) -> None:
        """Write one file; nothing where this kernel has no such controller or file (swap without accounting)."""
        held = self._open.get(file)
        if held is not None:
            held.write(value)
        elif controller in self._controllers:
            try:
                self._files.write(self._directory / file, value)
            except FileNotFoundError:
                if not self._directory.exists():
                    raise


class Cgroup2:
    """Limits by the v2 controllers that are delegated to this process; memory must be among them."""

    name = "cgroup2"

    def __init__(self, files: ControlFiles | None = None, own: OwnCgroups | None = None) -> None:
        """MechanismUnavailableError, with the reason, where no part of the v2 tree is ours to use."""
        self._files = ControlFiles() if files is None else files
        self._delegation = Delegation(self._files, own_cgroups() if own is None else own)
        place, controllers = self._delegation.directory, self._delegation.controllers
        freezes = (place / _FREEZE).exists()
        self.enforces = frozenset((*controllers, "freeze") if freezes else controllers)
        self.why = {
            name: f"v2 controller in {place}" if name in controllers else _MISSING.format(place=place)
            for name in CONTROLLERS
        }
        self.why["freeze"] = f"cgroup.freeze in {place}" if freezes else _MISSING.format(place=place)
        self._numbers = count()
        self._pool = CellPool(self._make)

    @property
    def thaw_after_death(self) -> None:
        return None

    def open_cell(self, limits: Limits | None = None) -> Cgroup2Cell:
        cell = self._pool.take()
        try:
            if limits is not None:
                cell.set_limits(limits)
        except OSError:
            self._pool.give_back(cell)
            raise
        return cell

    def statistics(self) -> PoolStatistics:
        return self._pool.statistics()

    def close(self) -> None:
        stuck = self._pool.close()
        if self._delegation.leave() or stuck:
            raise EngineError(f"something unkillable is left in {self._delegation.directory}")

    def _make(self) -> Cgroup2Cell:
        directory = self._delegation.directory / f"cell-{next(self._numbers)}"
        self._files.make(directory)
        try:
            return Cgroup2Cell(self._files, directory, self._delegation.controllers, self._pool.give_back)
        except OSError:
            gone(self._files, directory)
            raise
