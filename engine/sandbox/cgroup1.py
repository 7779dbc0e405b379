"""F1: limits by cgroup v1: one directory per cell in each of the memory, cpu and pids hierarchies.

The child moves itself in through descriptors of `tasks` opened beforehand: 138 µs after quiet, where writing its pid to
`cgroup.procs` waits for an RCU grace period of 5–17 ms.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Final

from engine.errors import EngineError

from .claim import Claim, gone, remove_stale
from .contract import CPU_PERIOD_US, CPU_QUOTA_MIN_US, KILL_WITHIN_S, MB, Limits, MechanismUnavailableError
from .control import ControlFiles, counter, own_cgroups, pids_in
from .pool import CellPool, PoolStatistics
from .reaper import kill_all

CONTROLLERS: Final = ("memory", "cpu", "pids")
_ALL_MEMORY: Final = 1 << 62  # the kernel cuts it to its own largest value, which reads as no limit


class Cgroup1Cell:
    """One directory in each hierarchy that exists here."""

    def __init__(
        self, files: ControlFiles, directories: Mapping[str, Path], on_release: Callable[[Cgroup1Cell], None]
    ) -> None:
        self._files = files
        self._directories = directories
        self._on_release = on_release
        self._entry: tuple[int, ...] = ()
        self._oom_before = 0
        self._set("memory", "memory.swappiness", "0")
        self._set("cpu", "cpu.cfs_period_us", str(CPU_PERIOD_US))
        self._open_entry()

    def entry_fds(self) -> tuple[int, ...]:
        return self._entry

    def seal(self) -> None:
        for descriptor in self._entry:
            os.close(descriptor)
        self._entry = ()

    def attach(self, pid: int) -> None:
        """Nothing to do: the kernel knows who is inside."""

    def set_limits(self, limits: Limits) -> None:
        self._set_memory(limits.memory_mb * MB)
        self._set("pids", "pids.max", str(limits.pids_max))
        self.set_cpu(limits.cpu_share)

    def set_cpu(self, vcpus: float | None) -> None:
        quota = -1 if vcpus is None else max(CPU_QUOTA_MIN_US, round(vcpus * CPU_PERIOD_US))
        try:
            self._set("cpu", "cpu.cfs_quota_us", str(quota))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # v1 refuses a child a larger share than its parent has: then the parent's is what binds anyway.
            self._set("cpu", "cpu.cfs_quota_us", "-1")

    def oom_kills(self) -> int:
        return self._oom_total() - self._oom_before

    def overdrawn(self) -> bool:
        return False

    def memory_peak_mb(self) -> int | None:
        if "memory" not in self._directories:
            return None
        return -(-int(self._files.read(self._directories["memory"] / "memory.max_usage_in_bytes")) // MB)

    def throttled(self) -> int:
        if "cpu" not in self._directories:
            return 0
        return counter(self._files, self._directories["cpu"] / "cpu.stat", "nr_throttled")

    def kill(self) -> bool:
        try:
            self._set("pids", "pids.max", "0")  # a fork bomb cannot outrun the loop
            self.set_cpu(None)  # dying takes CPU time too
        except FileNotFoundError:
            pass  # somebody removed one of our directories: empty the others all the same
        return kill_all(self._members, KILL_WITHIN_S)

    def release(self) -> None:
        self._on_release(self)

    def reset(self) -> bool:
        """Empty, uncharged, without limits and open for entry: the state in which it was made."""
        if not self.kill():
            return False
        self._uncharge()
        self._set("pids", "pids.max", "max")
        self._oom_before = self._oom_total()
        self.seal()
        self._open_entry()
        return True

    def remove(self) -> bool:
        self.seal()
        if not self.kill():
            return False
        held = [directory for directory in self._directories.values() if not gone(self._files, directory)]
        return not held

    def _members(self) -> frozenset[int]:
        """All hierarchies' together: a child may have been killed halfway through moving in."""
        return frozenset().union(*(pids_in(self._files, directory) for directory in self._directories.values()))

    def _open_entry(self) -> None:
        try:
            for directory in dict.fromkeys(self._directories.values()):
                self._entry += (os.open(directory / "tasks", os.O_WRONLY | os.O_CLOEXEC),)
        except OSError:
            self.seal()
            raise

    def _set_memory(self, limit: int) -> None:
        """Memory alone must never exceed memory + swap: to grow, the sum moves first; to shrink, memory does."""
        if "memory" not in self._directories:
            return
        order = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
        if limit > int(self._files.read(self._directories["memory"] / order[0])):
            order.reverse()
        for file in order:
            self._set("memory", file, str(limit))

    def _uncharge(self) -> None:
        if "memory" in self._directories:
            self._set_memory(_ALL_MEMORY)
            self._set("memory", "memory.force_empty", "0")  # the last tenant's page cache
            for file in ("memory.max_usage_in_bytes", "memory.failcnt"):
                self._set("memory", file, "0")

    def _oom_total(self) -> int:
        if "memory" not in self._directories:
            return 0
        return counter(self._files, self._directories["memory"] / "memory.oom_control", "oom_kill")

    def _set(self, controller: str, file: str, value: str) -> None:
        """Write one file; nothing where this kernel has no such controller or file (memsw without swap accounting)."""
        if controller in self._directories:
            try:
                self._files.write(self._directories[controller] / file, value)
            except FileNotFoundError:
                if not self._directories[controller].exists():
                    raise


class Cgroup1:
    """Limits by the v1 controllers that this process can make directories in; memory must be among them."""

    name = "cgroup1"

    def __init__(self, files: ControlFiles | None = None, own: Mapping[str, Path] | None = None) -> None:
        """MechanismUnavailableError, with the reason, where v1's memory controller cannot be used."""
        self._files = ControlFiles() if files is None else files
        places = own_cgroups().v1 if own is None else own
        usable = {name: places[name] for name in CONTROLLERS if name in places and os.access(places[name], os.W_OK)}
        if "memory" not in usable:
            raise MechanismUnavailableError(_why_not("memory", places))
        for place in set(usable.values()):
            remove_stale(self._files, place)
        self.enforces = frozenset(usable)
        self.why = {
            name: f"v1 controller under {usable[name]}" if name in usable else _why_not(name, places)
            for name in CONTROLLERS
        }
        self._claim = Claim(self._files, usable)
        self._numbers = count()
        self._pool = CellPool(self._make)

    def prepare(self, cells: int) -> None:
        self._pool.prepare(cells)

    def open_cell(self, limits: Limits) -> Cgroup1Cell:
        cell = self._pool.take()
        try:
            cell.set_limits(limits)
        except OSError:
            self._pool.give_back(cell)
            raise
        return cell

    def statistics(self) -> PoolStatistics:
        return self._pool.statistics()

    def close(self) -> None:
        if self._pool.close() or self._claim.release():
            raise EngineError(f"something unkillable holds {sorted(map(str, self._claim.directories.values()))}")

    def _make(self) -> Cgroup1Cell:
        name = f"cell-{next(self._numbers)}"
        directories = {controller: place / name for controller, place in self._claim.directories.items()}
        made: list[Path] = []
        try:
            for directory in dict.fromkeys(directories.values()):
                self._files.make(directory)
                made.append(directory)
            return Cgroup1Cell(self._files, directories, self._pool.give_back)
        except OSError:
            for directory in made:
                gone(self._files, directory)
            raise


def _why_not(controller: str, places: Mapping[str, Path]) -> str:
    if controller not in places:
        return f"no v1 {controller} controller is mounted that shows this process"
    return f"{places[controller]} is not writable for uid {os.geteuid()}"
