"""F3: provisioned concurrency: environments initialised before anyone asks, and replaced when they end.

Who may have it is `store/provisioning.py`'s, what it costs the ledger's. All of it runs on the loop's thread.

An environment that ends is replaced at once, unless it ended without having been of use: then the next one waits, twice
as long each time, so that a function that cannot start is never started in a hot loop.
"""

from __future__ import annotations

import time
from typing import Final, Literal

from .._ext import repair
from .._ext.environment import Environment
from ..errors import EngineError
from ..model import ProvisionedConcurrencyConfig
from ..states import State
from ..store.catalog import Catalog
from .dispatch import Dispatch
from .pools import Pool, is_provisioned
from .snapshots import After, Timer
from .supervisor import Supervisor

STARTING_MAX: Final = 16  # of one version at once: inits that share the host's CPUs
FAILURES_MAX: Final = 3  # in a row; then the status is FAILED, until one succeeds
BACK_OFF_FIRST_S: Final = 0.1
BACK_OFF_MOST_S: Final = 60.0
STEADY_NS: Final = 60_000_000_000  # one that was ready for so long was of use
INIT_FAILURE: Final = "FUNCTION_ERROR_INIT_FAILURE"  # Lambda's word
NO_ROOM: Final = "the host is short of memory, or the version has as many environments as it can have"

Status = Literal["IN_PROGRESS", "READY", "FAILED"]
STATUSES: Final[tuple[Status, ...]] = ("FAILED", "IN_PROGRESS", "READY")  # of several versions the first that holds


class Allocation:
    """The provisioned environments of one version. At most `requested`, and `STARTING_MAX` of them starting."""

    def __init__(self, pool: Pool, supervisor: Supervisor, after: After) -> None:
        self.pool = pool
        self.requested = 0
        self._supervisor = supervisor
        self._after = after
        self._members: set[Environment] = set()
        self._ordering = False
        self._timer: Timer | None = None
        self._setbacks = 0
        self._reason = ""
        meter = pool.lane.meter
        self._before = meter.invocations, meter.provisioned
        pool.on_environment = self._noticed

    def ask(self, requested: int) -> None:
        """Have so many from now on."""
        if requested != self.requested:
            self.requested = requested
            self._setbacks = 0
            self._stop_waiting()
        for environment in self._surplus():
            self._members.discard(environment)
            self._supervisor.retire(self.pool, environment)
        self._fill()

    def release(self) -> None:
        """Have none any more. What runs finishes."""
        self.ask(0)
        self.pool.on_environment = None

    @property
    def available(self) -> int:
        """Environments that are ready, busy or not."""
        return sum(environment.state is State.READY for environment in self._members)

    @property
    def status(self) -> tuple[Status, str | None]:
        if self.available >= self.requested:
            return "READY", None
        return ("FAILED", self._reason) if self._setbacks >= FAILURES_MAX else ("IN_PROGRESS", None)

    def statistics(self) -> dict[str, float]:
        """Now, and since there is an allocation: Lambda's metrics of these names in snake case."""
        idle = set(repair.idle_environments(self.pool.lane))
        ready = [environment for environment in self._members if environment.state is State.READY]
        in_use = sum(environment not in idle for environment in ready)
        meter = self.pool.lane.meter
        invocations, here = meter.invocations - self._before[0], meter.provisioned - self._before[1]
        return {
            "requested": self.requested,
            "available": len(ready),
            "in_use": in_use,
            "utilization": in_use / len(ready) if ready else 0.0,
            "invocations": here,
            "spillover_invocations": invocations - here,
        }

    def _surplus(self) -> list[Environment]:
        """What is too much: first those that are not ready, then the idle."""
        idle = set(repair.idle_environments(self.pool.lane))
        wanted_last = sorted(self._members, key=lambda each: (each.state is State.READY, each not in idle, each.serial))
        return wanted_last[: max(0, len(self._members) - self.requested)]

    def _fill(self) -> None:
        """Start what is missing, as far as that may be now."""
        while self._timer is None and len(self._members) < self.requested and not self.pool.superseded:
            if sum(environment.state is State.STARTING for environment in self._members) >= STARTING_MAX:
                return
            self._ordering = True
            environment = self._supervisor.start_ahead(self.pool)
            self._ordering = False
            if environment is None:
                self._set_back(NO_ROOM)
            elif environment.state is not State.GONE:
                self._members.add(environment)

    def _noticed(self, environment: Environment) -> None:
        """An environment of this version became ready, or is no more."""
        if not is_provisioned(environment):
            return
        if environment.state is State.GONE:
            if environment in self._members or self._ordering:
                self._lost(environment)
        elif environment in self._members:
            self.pool.book.note_init(self.pool.lane.meter.ledger.appended, time.monotonic_ns(), environment)
        self._fill()

    def _lost(self, environment: Environment) -> None:
        self._members.discard(environment)
        steady = environment.is_ready and time.monotonic_ns() - environment.used_ns > STEADY_NS
        if environment.served or steady:
            self._setbacks = 0
        else:
            self._set_back(INIT_FAILURE)

    def _set_back(self, reason: str) -> None:
        self._reason = reason
        self._setbacks += 1
        if self._timer is None:
            wait_s = min(BACK_OFF_MOST_S, BACK_OFF_FIRST_S * 2.0 ** min(self._setbacks - 1, 16))
            self._timer = self._after(wait_s, self._try_again)

    def _try_again(self) -> None:
        self._timer = None
        self._fill()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ProvisionedConcurrency:
    """The allocations of an engine, as its catalog asks for them. One per version at most."""

    def __init__(self, catalog: Catalog, dispatch: Dispatch, supervisor: Supervisor, after: After) -> None:
        self._catalog = catalog
        self._dispatch = dispatch
        self._supervisor = supervisor
        self._after = after
        self._allocations: dict[tuple[str, str], Allocation] = {}
        self._broken: dict[tuple[str, str], str] = {}  # versions that cannot be run, and why

    def refresh_function(self, name: str) -> None:
        """A function's versions or aliases have changed. Few functions have anything provisioned."""
        record = self._catalog.snapshot.functions.get(name)
        if (record is not None and record.provisioned) or any(key[0] == name for key in self._known()):
            self.refresh()

    def _known(self) -> set[tuple[str, str]]:
        return {*self._allocations, *self._broken}

    def refresh(self) -> None:
        """Requests have changed, or what they are about: have what the catalog says."""
        functions = self._catalog.snapshot.functions.items()
        wanted = {
            (name, version): requested
            for name, record in functions
            if record.provisioned
            for version, requested in record.provisioned_versions().items()
        }
        for key in self._allocations.keys() - wanted.keys():
            self._allocations.pop(key).release()
        self._broken = {key: why for key, why in self._broken.items() if key in wanted}
        self._dispatch.set_aside(wanted)
        for (name, version), requested in wanted.items():
            self._allocate(name, version, requested)

    def _allocate(self, name: str, version: str, requested: int) -> None:
        try:
            pool = self._dispatch.pool(self._catalog.resolve(name, version))
        except (EngineError, OSError) as error:
            self._broken[name, version] = str(error)
            return
        self._broken.pop((name, version), None)
        allocation = self._allocations.get((name, version))
        if allocation is None or allocation.pool is not pool:
            allocation = self._allocations[name, version] = Allocation(pool, self._supervisor, self._after)
        allocation.ask(requested)

    def close(self) -> None:
        """The engine closes: start nothing more."""
        for allocation in self._allocations.values():
            allocation.release()
        self._allocations.clear()

    def told(self, name: str, qualifier: str) -> ProvisionedConcurrencyConfig:
        """What was asked for, and how far it is. Raises as `Catalog.get_provisioned_concurrency`."""
        request = self._catalog.get_provisioned_concurrency(name, qualifier)
        snapshot = self._catalog.snapshot
        shares = snapshot.record(name).shares_of(qualifier, request.requested)
        keys = [(name, version) for version, units in shares if units]
        status, reason = min(map(self._status, keys), key=lambda each: STATUSES.index(each[0]))
        available = sum(self._allocations[key].available for key in keys if key in self._allocations)
        arn = snapshot.arn(name, qualifier)
        return ProvisionedConcurrencyConfig(
            arn, request.requested, available, available, status, reason, request.last_modified
        )

    def _status(self, key: tuple[str, str]) -> tuple[Status, str | None]:
        """How far one version is."""
        if key in self._broken:
            return "FAILED", self._broken[key]
        allocation = self._allocations.get(key)
        return ("IN_PROGRESS", None) if allocation is None else allocation.status

    def all_told(self, name: str) -> list[ProvisionedConcurrencyConfig]:
        """Of every version and alias that has one. Raises ResourceNotFoundException."""
        return [self.told(name, qualifier) for qualifier in sorted(self._catalog.get(name).provisioned)]

    def statistics(self, name: str, version: str) -> dict[str, float] | None:
        """Of one version; None where nothing is provisioned."""
        allocation = self._allocations.get((name, version))
        return None if allocation is None else allocation.statistics()
