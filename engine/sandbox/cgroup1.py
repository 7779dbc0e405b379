"""F1: limits by cgroup v1: one directory per cell in each of the memory, cpu, pids and freezer hierarchies.

The child moves itself in through descriptors of `tasks` opened beforehand: 138 µs after quiet, where writing its pid to
`cgroup.procs` waits for an RCU grace period of 5–17 ms.

The first frozen cgroup of a host has the kernel patch its own code, and the last that thaws has it patch back: 130 µs,
260 µs after quiet. So one empty cgroup stays frozen as long as the engine lives; then it is 1 µs, 30–45 µs after quiet.
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
from .contract import CPU_PERIOD_US, CPU_QUOTA_MIN_US, KILL_WITHIN_S, MB, Gauges, Limits, MechanismUnavailableError
from .control import FREEZER_STATE, ControlFiles, OpenFiles, counter, own_cgroups, pids_in
from .pool import CellPool, PoolStatistics
from .reaper import kill_all

CONTROLLERS: Final = ("memory", "cpu", "pids", "freezer")
_LIMIT_OF: Final = {"freezer": "freeze"}  # what a controller's limit is called where that is not its name
_MEMORY: Final = "memory.limit_in_bytes"
_MEMORY_AND_SWAP: Final = "memory.memsw.limit_in_bytes"
_SHARES: Final = "cpu.shares"  # where there is not enough for all, each gets in proportion
_SHARES_PER_VCPU: Final = 1_024
_QUOTA: Final = "cpu.cfs_quota_us"
_PEAK: Final = "memory.max_usage_in_bytes"
_READ: Final = (("memory", _PEAK), ("pids", "pids.current"))
_FIRST_LIMITS: Final = (("memory", _MEMORY), ("memory", _MEMORY_AND_SWAP), ("pids", "pids.max"), ("cpu", _QUOTA))
_ANCHOR: Final = "frozen"  # the empty cgroup that stays frozen
_GONE: Final = (errno.ENOENT, errno.ENODEV)  # a directory that somebody removed: by name, and by open descriptor
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
        self._open = OpenFiles(files)
        self._oom_before = 0
        self._set("memory", "memory.swappiness", "0")
        self._set("cpu", "cpu.cfs_period_us", str(CPU_PERIOD_US))
        try:
            self._open.open(self._paths(_READ), os.O_RDONLY)
            self._open.open(self._paths((("freezer", FREEZER_STATE),)), os.O_RDWR)
            self._open_entry()
        except OSError:
            self._close()
            raise

    def entry_fds(self) -> tuple[int, ...]:
        return self._entry

    def seal(self) -> None:
        for descriptor in self._entry:
            os.close(descriptor)
        self._entry = ()

    def attach(self, pid: int) -> None:
        """Nothing to do: the kernel knows who is inside."""

    def directory_fd(self) -> int | None:
        return None  # the kernel takes v2's only

    def set_limits(self, limits: Limits) -> None:
        self._set_memory(limits.memory_mb * MB)
        self._set("pids", "pids.max", str(limits.pids_max))
        self.set_cpu(limits.cpu_share)
        self._open.close(name for _, name in _FIRST_LIMITS)

    def set_cpu(self, vcpus: float | None) -> None:
        quota = -1 if vcpus is None else max(CPU_QUOTA_MIN_US, round(vcpus * CPU_PERIOD_US))
        self._set("cpu", _SHARES, str(_SHARES_PER_VCPU if vcpus is None else max(2, round(vcpus * _SHARES_PER_VCPU))))
        try:
            self._set("cpu", _QUOTA, str(quota))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # v1 refuses a child a larger share than its parent has: then the parent's is what binds anyway.
            self._set("cpu", _QUOTA, "-1")

    def oom_kills(self) -> int:
        return self._oom_total() - self._oom_before

    def overdrawn(self) -> bool:
        return False

    def memory_peak_mb(self) -> int | None:
        peak = self._open.get(_PEAK)
        return None if peak is None else -(-int(peak.read()) // MB)

    def gauges(self) -> Gauges:
        freezer_fd, tasks_fd, peak_fd = (self._open.descriptor(name) for name in (FREEZER_STATE, "pids.current", _PEAK))
        return Gauges(freezer_fd, tasks_fd, peak_fd, b"FROZEN", b"THAWED")

    def tasks(self) -> int | None:
        current = self._open.get("pids.current")
        return None if current is None else int(current.read())

    def freeze(self) -> None:
        self._set("freezer", FREEZER_STATE, "FROZEN")

    def thaw(self) -> None:
        self._set("freezer", FREEZER_STATE, "THAWED")

    def frozen(self) -> bool:
        state = self._open.get(FREEZER_STATE)
        return state is not None and state.read().strip() == "FROZEN"

    def throttled(self) -> int:
        if "cpu" not in self._directories:
            return 0
        return counter(self._files, self._directories["cpu"] / "cpu.stat", "nr_throttled")

    def kill(self) -> bool:
        try:
            self._set("pids", "pids.max", "0")  # a fork bomb cannot outrun the loop
            self.set_cpu(None)  # dying takes CPU time too
        except OSError as error:
            if error.errno not in _GONE:
                raise  # somebody removed one of our directories: empty the others all the same
        return kill_all(self._members, KILL_WITHIN_S, then=self._thaw_to_die)

    def release(self) -> None:
        self._on_release(self)

    def reset(self) -> bool:
        """Empty, uncharged, without limits and open for entry: the state in which it was made."""
        if not self.kill():
            return False
        self.thaw()  # also when it was frozen empty
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
        self._close()
        held = [directory for directory in self._directories.values() if not gone(self._files, directory)]
        return not held

    def _members(self) -> frozenset[int]:
        """All hierarchies' together: a child may have been killed halfway through moving in."""
        return frozenset().union(*(pids_in(self._files, directory) for directory in self._directories.values()))

    def _thaw_to_die(self) -> None:
        try:
            self.thaw()
        except OSError as error:
            if error.errno not in _GONE:
                raise

    def _open_entry(self) -> None:
        """What the first tenant and its first limits need; what is left of it is closed when they have it."""
        try:
            self._open.open(self._paths(_FIRST_LIMITS), os.O_RDWR)
            for directory in dict.fromkeys(self._directories.values()):
                self._entry += (os.open(directory / "tasks", os.O_WRONLY | os.O_CLOEXEC),)
        except OSError:
            self.seal()
            raise

    def _paths(self, files: tuple[tuple[str, str], ...]) -> list[Path]:
        return [self._directories[controller] / name for controller, name in files if controller in self._directories]

    def _close(self) -> None:
        self.seal()
        self._open.close()

    def _set_memory(self, limit: int) -> None:
        """Memory alone must never exceed memory + swap: to grow, the sum moves first; to shrink, memory does."""
        if "memory" not in self._directories:
            return
        order = [_MEMORY, _MEMORY_AND_SWAP]
        held = self._open.get(_MEMORY)
        now = self._files.read(self._directories["memory"] / _MEMORY) if held is None else held.read()
        if limit > int(now):
            order.reverse()
        for file in order:
            self._set("memory", file, str(limit))

    def _uncharge(self) -> None:
        if "memory" in self._directories:
            self._set_memory(_ALL_MEMORY)
            self._set("memory", "memory.force_empty", "0")  # the last tenant's page cache
            for file in (_PEAK, "memory.failcnt"):
                self._set("memory", file, "0")

    def _oom_total(self) -> int:
        if "memory" not in self._directories:
            return 0
        return counter(self._files, self._directories["memory"] / "memory.oom_control", "oom_kill")

    def _set(self, controller: str, file: str, value: str) -> None:
        """Write one file; nothing where this kernel has no such controller or file (memsw without swap accounting)."""
        held = self._open.get(file) if (controller, file) not in _READ else None
        if held is not None:
            held.write(value)
        elif controller in self._directories:
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
        # The freezer's first: what is frozen does not die, wherever it is killed.
        for place in dict.fromkeys(usable[name] for name in reversed(CONTROLLERS) if name in usable):
            remove_stale(self._files, place)
        self.enforces = frozenset(_LIMIT_OF.get(name, name) for name in usable)
        self.why = {
            _LIMIT_OF.get(name, name): f"v1 controller under {usable[name]}"
            if name in usable
            else _why_not(name, places)
            for name in CONTROLLERS
        }
        self._claim = Claim(self._files, usable)
        self._anchor: Path | None = None
        try:
            self._drop_anchor()
        except OSError as error:
            self._claim.release()
            raise MechanismUnavailableError(f"cannot freeze a cgroup in {usable['freezer']}: {error}") from error
        self._numbers = count()
        self._pool = CellPool(self._make)

    @property
    def thaw_after_death(self) -> Path | None:
        return self._claim.directories.get("freezer")

    def open_cell(self, limits: Limits | None = None) -> Cgroup1Cell:
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
        if self._anchor is not None:
            gone(self._files, self._anchor)
        if self._claim.release() or stuck:
            raise EngineError(f"something unkillable holds {sorted(map(str, self._claim.directories.values()))}")

    def _drop_anchor(self) -> None:
        if "freezer" in self._claim.directories:
            self._anchor = self._claim.directories["freezer"] / _ANCHOR
            self._files.make(self._anchor)
            self._files.write(self._anchor / FREEZER_STATE, "FROZEN")

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
