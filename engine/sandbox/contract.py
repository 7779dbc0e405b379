"""F1: what a limits mechanism promises. Mechanisms live beside this file; which of them to use is `choose.py`'s.

An environment is put in a *cell*; the cell's limits hold for every process that descends from it. A cell only counts
memory kills: the kernel picks one victim (v2's `memory.oom.group` stays off, v1 has none), and the supervisor that sees
`oom_kills()` step decides what becomes of the rest. Charged to a cell: private memory, the page cache it faults in, and
tmpfs it fills. Not charged: pages still shared with the process it was forked from.

Between `freeze` and `thaw` nothing in a cell runs. A system call that a freeze interrupts may answer EINTR once thawed.
On v1 a frozen process that is sent SIGKILL dies only when it is thawed: `kill` sees to that, a bare signal does not.

A mechanism and its cells belong to one thread at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from engine.errors import SandboxUnavailableError

CPU_PERIOD_US: Final = 20_000  # 100 ms gives 512 MB a tenth less than its share; 10 ms cannot express 128 MB
CPU_QUOTA_MIN_US: Final = 1_000  # the kernel's own floor: 0.05 vCPU at this period
KILL_WITHIN_S: Final = 2.0
CELLS_MAX: Final = 4_096  # open at once in one mechanism; past it `open_cell` raises
MB: Final = 1_048_576


class MechanismUnavailableError(SandboxUnavailableError):
    """One mechanism cannot work on this host; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one environment may use. `cpu_share` is in vCPUs, None for no quota; `pids_max` counts threads too."""

    memory_mb: int
    cpu_share: float | None
    pids_max: int

    def __post_init__(self) -> None:
        if self.memory_mb < 1:
            raise ValueError(f"memory_mb={self.memory_mb}: a cell needs at least 1 MB")
        if self.cpu_share is not None and self.cpu_share <= 0:
            raise ValueError(f"cpu_share={self.cpu_share}: give vCPUs above 0, or None for no quota")
        if self.pids_max < 1:
            raise ValueError(f"pids_max={self.pids_max}: a cell needs at least 1 process")


class Gauges(NamedTuple):
    """Descriptors of a cell for compiled code, -1 where there is none. They stay the cell's.

    tasks_fd and peak_fd answer pread with a decimal number: processes and threads inside, peak memory in bytes. Into
    freezer_fd the word `freeze` or `thaw` is written at offset 0.
    """

    freezer_fd: int = -1
    tasks_fd: int = -1
    peak_fd: int = -1
    freeze: bytes = b""
    thaw: bytes = b""


class Cell(Protocol):
    """What one environment is put in."""

    def entry_fds(self) -> tuple[int, ...]:
        """Descriptors into which the child itself writes `b"0"` right after the fork, in order, to move in.

        They stay the cell's. The child closes its copies before user code runs: permission follows the opener.
        """

    def seal(self) -> None:
        """Close the entry descriptors: the child is in, nobody enters any more until the cell is released."""

    def attach(self, pid: int) -> None:
        """Name the environment's first process. Only mechanisms that cannot see inside by themselves need it."""

    def directory_fd(self) -> int | None:
        """A descriptor for `clone3(CLONE_INTO_CGROUP)`: the child is born inside. None where there is no such thing.

        It stays the cell's, and is closed by `seal`. A child born inside needs no entry descriptors.
        """

    def set_limits(self, limits: Limits) -> None:
        """Write limits into the cell, its first or others. OSError (EBUSY) when more memory than that is held.

        All hold when this returns. The first time costs a write each; later the files are found by name again.
        """

    def set_cpu(self, vcpus: float | None) -> None:
        """Set the CPU quota in vCPUs; None lifts it, as during init. Below 0.05 vCPU the kernel's floor holds."""

    def oom_kills(self) -> int:
        """How many processes of this cell were killed for want of memory since it was opened."""

    def overdrawn(self) -> bool:
        """Whether the supervisor must kill the cell for its memory now; always False where the kernel does that."""

    def memory_peak_mb(self) -> int | None:
        """The most memory held at once since the cell was opened, in MB rounded up; None where nobody counts."""

    def gauges(self) -> Gauges:
        """What compiled code watches and freezes the cell by: not to be used after `release`."""

    def tasks(self) -> int | None:
        """How many processes and threads are inside; the dead count until they are waited for. None: nobody counts."""

    def freeze(self) -> None:
        """Stop everything inside, without waiting until it has stopped. Nothing where "freeze" is not enforced."""

    def thaw(self) -> None:
        """Let it run again. Also of a cell that is not frozen."""

    def frozen(self) -> bool:
        """Whether everything inside has stopped. False for a while after `freeze`, and in a cell without it."""

    def throttled(self) -> int:
        """In how many CPU periods the quota stopped the cell. It may include earlier tenants: take differences."""

    def kill(self) -> bool:
        """SIGKILL everything inside and wait until it is empty, at most `KILL_WITHIN_S`; False when it is not.

        What is frozen dies without having run again.
        Nothing starts in the cell afterwards: it can only be released.
        """

    def release(self) -> None:
        """Empty the cell and give it back for reuse, or remove it. The cell must not be used again. Idempotent."""


class Mechanism(Protocol):
    """One way to enforce limits. `enforces` is a subset of {"memory", "cpu", "pids", "freeze"}; `why` tells how or why
    not."""

    @property
    def name(self) -> str: ...

    @property
    def enforces(self) -> frozenset[str]: ...

    @property
    def why(self) -> dict[str, str]:
        """For each of memory, cpu, pids and freeze: by what it is enforced, or why it is not."""

    @property
    def thaw_after_death(self) -> Path | None:
        """Where a survivor has to `thaw_below` should the engine be killed: on v1 what is frozen cannot die.

        None where the kernel needs no such help. Without a survivor the next engine on this host does it.
        """

    def open_cell(self, limits: Limits | None = None) -> Cell:
        """A cell with these limits, its CPU quota included. EngineError at `CELLS_MAX` or after `close`.

        None: without any yet, for a process that enters before it is known what for; `set_limits` comes before that
        process runs anybody's code.
        """

    def close(self) -> None:
        """Kill what is left, remove every cell and the engine's own directory. Idempotent.

        EngineError names the directories that could not be removed: something unkillable is in them. The next engine
        on this host tries again.
        """
