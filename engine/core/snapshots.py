"""F3: snapshots of published versions: one template's memory, from which that version's environments begin.

A snapshot is made once, when the version is published or first wanted, and is good for as long as the zygote lives that
its template was forked from. Environments that are wanted before it is there wait for it. Where none can be made the
version starts by its init, hooks included, and `stats` and the log say why. All of it runs on the loop's thread.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

import psutil

from .._ext.environment import Environment
from .._ext.result import STARTS
from ..config import LOG_PER_INVOCATION_BYTES
from ..errors import EngineError
from ..model import FunctionState
from ..sandbox.contract import MB, Limits
from ..sandbox.scratch import Scratch
from .births import Births
from .pools import PROCESSES_MAX, SNAPSHOT, Pool
from .scratches import Scratches

COUNT_MAX: Final = 64  # snapshots held at once; past it, or past the bytes, the least recently used goes
MEMORY_SHARE: Final = 0.25  # of the host's memory, for all of them together
COLD: Final = STARTS.index("cold")
REPORT_BYTES: Final = 65_536
INTERNAL: Final = "InternalError"  # Lambda's words for whose fault it was
FUNCTION: Final = "FunctionError"
INIT_TIMEOUT: Final = "FunctionError.InitTimeout"
SPARE_MB: Final = 64
# Against all writing but through shared mappings that are there already: a template that has ended has none. To seal
# those as well (F_SEAL_WRITE) fails while the kernel itself holds a page for a moment, as it does to move or to age it.
F_SEAL_FUTURE_WRITE: Final = 0x10  # linux/fcntl.h, since 5.1
SEALS: Final = F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

Timer = Any  # asyncio.TimerHandle, or a loop's own
After = Callable[[float, Callable[[], None]], Timer]


@dataclass(slots=True, eq=False)
class Snapshot:
    """`files`: its memory, and what was in /tmp. `waiting`: environments that begin once it is ready or failed."""

    status: Literal["making", "ready", "failed"] = "making"
    reason: str = ""
    files: tuple[int, ...] = ()
    held_bytes: int = 0
    init_ns: int = 0
    ready_ns: int = 0
    used_ns: int = 0
    restored: int = 0
    reason_code: str = ""  # Lambda's StateReasonCode
    struck: bool = False  # its template took too long
    outlived: bool = False  # its template's zygote ended before it was made
    waiting: list[Environment] = field(default_factory=list)

    def close(self) -> None:
        for fd in self.files:
            os.close(fd)
        self.files = ()


class Snapshots:
    """`on_settled(pool, waiting)` is called when environments that waited can be ordered, one way or the other."""

    def __init__(
        self,
        births: Births,
        scratches: Scratches,
        *,
        on_settled: Callable[[Pool, list[Environment]], None],
        after: After,
    ) -> None:
        self._births = births
        self._scratches = scratches
        self._on_settled = on_settled
        self._after = after
        self._by_pool: dict[int, tuple[Pool, Snapshot]] = {}
        self._bytes_most = int(psutil.virtual_memory().total * MEMORY_SHARE)

    def prepare(self, pool: Pool) -> Snapshot:
        """A pool's snapshot, which is being made from now on if there was none."""
        found = self._by_pool.get(id(pool))
        if found is not None:
            return found[1]
        snapshot = Snapshot()
        self._by_pool[id(pool)] = pool, snapshot
        self._scratches.claim(pool, None, partial(self._make_with, pool, snapshot))
        return snapshot

    def must_wait(self, pool: Pool, environment: Environment) -> bool:
        """Whether this environment is to be ordered later: `on_settled` names it then."""
        if not pool.configuration.starts_from_snapshot or not _begins_by_init(environment):
            return False
        snapshot = self.prepare(pool)
        if snapshot.status == "making":
            snapshot.waiting.append(environment)
            return True
        return False

    def copy_for(self, pool: Pool, environment: Environment) -> tuple[int, ...]:
        """The files of the snapshot that an environment is to begin from; none when it begins by its init."""
        found = self._by_pool.get(id(pool))
        if found is None or found[1].status != "ready" or not _begins_by_init(environment):
            return ()
        snapshot = found[1]
        environment.start_code = SNAPSHOT
        snapshot.used_ns = time.monotonic_ns()
        snapshot.restored += 1
        return snapshot.files

    def forsake(self, environment: Environment) -> Pool | None:
        """Take it off those that wait. Its pool when it did."""
        for pool, snapshot in self._by_pool.values():
            if environment in snapshot.waiting:
                snapshot.waiting.remove(environment)
                return pool
        return None

    def distrust(self, pool: Pool, environment: Environment, reason: str) -> None:
        """A copy did not come up: from now on the version begins by its init.

        Unless it was ordered before this snapshot was there, from one of a zygote that is gone.
        """
        found = self._by_pool.get(id(pool))
        if found is not None and found[1].status == "ready" and environment.spawned_ns >= found[1].ready_ns:
            self._fail(pool, found[1], reason, FUNCTION)

    def forget(self, pool: Pool) -> None:
        """The pool is gone."""
        found = self._by_pool.pop(id(pool), None)
        if found is not None:
            found[1].close()

    def forget_all(self) -> None:
        """The zygote is gone that all of them belong to: each is made anew from its successor, when it is wanted."""
        for pool, snapshot in list(self._by_pool.values()):
            if snapshot.status == "making":
                snapshot.outlived = True
            else:
                self.forget(pool)

    def statistics(self, pool: Pool | None) -> dict[str, Any] | None:
        """Of one version: status, reason, held_mb, init_ms of the template, restored; None where it has none."""
        found = None if pool is None else self._by_pool.get(id(pool))
        if found is None:
            return None
        snapshot = found[1]
        return {
            "status": snapshot.status,
            "reason": snapshot.reason or None,
            "held_mb": round(snapshot.held_bytes / MB, 1),
            "init_ms": snapshot.init_ns / 1e6,
            "restored": snapshot.restored,
        }

    def state(self, pool: Pool | None) -> FunctionState:
        """Of one version, as Lambda says it; one whose snapshot went is Active, as it was: the next makes another."""
        found = None if pool is None else self._by_pool.get(id(pool))
        if found is None or found[1].status == "ready":
            return FunctionState()
        if found[1].status == "making":
            return FunctionState("Pending", "The function is being created.", "Creating")
        return FunctionState("Failed", found[1].reason, found[1].reason_code)

    def close(self) -> None:
        """Give all of them back."""
        for _, snapshot in self._by_pool.values():
            snapshot.close()
        self._by_pool.clear()

    # --- making -------------------------------------------------------------------------------------------------------

    def _make_with(self, pool: Pool, snapshot: Snapshot, scratch: Scratch | None, failure: str) -> None:
        """Once there is a folder for its template's /tmp, or there cannot be one."""
        try:
            if failure:
                raise EngineError(f"no folder for its /tmp could be made: {failure}")
            if id(pool) not in self._by_pool:
                raise EngineError("the version is gone")
            self._make(pool, snapshot, scratch)
        except (OSError, EngineError) as error:
            if scratch is not None:
                self._scratches.give_back(scratch)
            self._fail(pool, snapshot, f"no template could be started: {error}", INTERNAL)

    def _make(self, pool: Pool, snapshot: Snapshot, scratch: Scratch | None) -> None:
        files = [_file(name) for name in ("log", "report", "memory", "tmp")]
        stream = pool.new_stream()

        def ended(status: int, failure: str) -> None:
            try:
                self._settle(pool, snapshot, files, stream, status, failure)
            finally:
                for fd in files[:2] if snapshot.status == "ready" else files:
                    os.close(fd)

        # Its memory is written to a file that counts as its own: room for both.
        limits = Limits(2 * pool.configuration.memory_mb + SPARE_MB, None, PROCESSES_MAX)
        try:
            template = self._births.order_template(pool, stream, files, limits, scratch, ended)
        except BaseException:
            for fd in files:
                os.close(fd)
            raise

        def too_long() -> None:
            snapshot.struck = True
            self._births.strike(template)

        self._after(pool.init_ahead_limit_s, too_long)

    def _settle(self, pool: Pool, snapshot: Snapshot, files: list[int], stream: str, status: int, failure: str) -> None:
        """The template has ended: what it left is a snapshot, or says why there is none."""
        log_fd, report_fd, memory_fd, _ = files
        pool.note(stream, os.pread(log_fd, LOG_PER_INVOCATION_BYTES, 0).decode("utf-8", "replace"))
        told = _told(report_fd)
        if id(pool) not in self._by_pool:
            snapshot.status = "failed"
            return
        if snapshot.outlived:
            self._make_again(pool, snapshot)
            return
        held = sum(os.fstat(fd).st_size for fd in files[2:])
        if status != 0 or failure or told.get("error_type") or not told:
            ended = failure or f"the template ended with wait status {status}"
            why = f"{told['error_type']}: {told.get('message')}" if told.get("error_type") else ended
            self._fail(pool, snapshot, why, INIT_TIMEOUT if snapshot.struck else FUNCTION)
        elif os.fstat(memory_fd).st_size > pool.configuration.memory_mb * MB:
            self._fail(
                pool, snapshot, f"its memory is larger than the function's {pool.configuration.memory_mb} MB", FUNCTION
            )
        else:
            for fd in files[2:]:
                fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
            snapshot.files, snapshot.held_bytes = tuple(files[2:]), held
            snapshot.init_ns = int(told.get("init_ns") or 0)
            snapshot.ready_ns = snapshot.used_ns = time.monotonic_ns()
            snapshot.status = "ready"
            self._make_room()
            self._tell_waiting(pool, snapshot)

    def _make_again(self, pool: Pool, old: Snapshot) -> None:
        old.status = "failed"
        self.forget(pool)
        if old.waiting:
            new = self.prepare(pool)
            new.waiting, old.waiting = old.waiting, []
            if new.status != "making":
                self._tell_waiting(pool, new)

    def _fail(self, pool: Pool, snapshot: Snapshot, reason: str, reason_code: str) -> None:
        snapshot.close()
        snapshot.reason_code = reason_code
        snapshot.status, snapshot.reason, snapshot.held_bytes = "failed", reason[:REPORT_BYTES], 0
        pool.note(pool.new_stream(), f"[engine] no snapshot of this version: {snapshot.reason}")
        self._tell_waiting(pool, snapshot)

    def _tell_waiting(self, pool: Pool, snapshot: Snapshot) -> None:
        waiting, snapshot.waiting = snapshot.waiting, []
        self._on_settled(pool, waiting)

    def _make_room(self) -> None:
        """Past the bounds the least recently used go; their versions make another when they need it."""
        ready = sorted(
            ((snapshot.used_ns, pool) for pool, snapshot in self._by_pool.values() if snapshot.status == "ready"),
            key=lambda entry: entry[0],
        )
        held = sum(snapshot.held_bytes for _, snapshot in self._by_pool.values())
        for count, (_, pool) in enumerate(ready[:-1]):
            if len(ready) - count <= COUNT_MAX and held <= self._bytes_most:
                return
            held -= self._by_pool[id(pool)][1].held_bytes
            self.forget(pool)


def _begins_by_init(environment: Environment) -> bool:
    """Unless it is given a snapshot: not one that is provisioned, or whose init belongs to an invocation."""
    return environment.start_code == COLD and not environment.late


def _file(name: str) -> int:
    return os.memfd_create(f"engine-snapshot-{name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def _told(report_fd: int) -> dict[str, Any]:
    """What the template says of itself, which is no more than a claim of the function's."""
    text = os.pread(report_fd, REPORT_BYTES, 0)
    try:
        told = json.loads(text)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
