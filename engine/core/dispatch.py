"""F3: from a function's name to the lane that runs it, and whose concurrency it counts against."""

from __future__ import annotations

import platform
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import random
from typing import TypeVar

from .._ext import repair
from .._ext.lane import Lane
from .._ext.meter import Meter, Quota
from ..config import LEDGER_RECORDS, LOG_PER_FUNCTION_BYTES, LOG_PER_INVOCATION_BYTES
from ..errors import InvalidRuntimeException
from ..model import FunctionConfiguration, Network
from ..records.book import LogBook
from ..records.ledger import InvocationLedger
from ..records.segments import Source
from ..store.catalog import Catalog
from ..validation import validate_tenant_id
from .languages import Started, started_by
from .pools import Pool, cpu_share
from .routes import Split, Tenanted
from .supervisor import Supervisor
from .tenants import Tenants, missing_tenant, unexpected_tenant

SPIN_US = 100.0
REMEMBERED_MAX = 65_536

K = TypeVar("K")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """What every lane of an engine shares. `limited_cpu`: CPU in proportion to memory. `network`: where unsaid."""

    limited_cpu: bool
    cpus: int
    runtime_packages: Path
    credentials: dict[str, str]
    network: Network


class Dispatch:
    """Lanes by what callers call them. Any thread may ask; changes come from one thread at a time."""

    def __init__(
        self,
        catalog: Catalog,
        supervisor: Supervisor,
        settings: LaneSettings,
        ledger: InvocationLedger,
        *,
        account_concurrency: int,
        check_code: Callable[[FunctionConfiguration], None],
    ) -> None:
        """`check_code` raises for a configuration that cannot be run. Reservations come with the catalog."""
        self._catalog = catalog
        self._supervisor = supervisor
        self._settings = settings
        self._ledger = ledger
        self._lock = threading.Lock()
        self._account_concurrency = account_concurrency
        self._check_code = check_code
        self._reservations = {
            name: record.reserved_concurrency
            for name, record in catalog.snapshot.functions.items()
            if record.reserved_concurrency is not None
        }
        self._provisioned: dict[tuple[str, str], int] = {}
        self._account = Quota(account_concurrency, "ConcurrentInvocationLimitExceeded")
        self._reserved: dict[str, Quota] = {}
        self._shares: dict[tuple[str, str], Quota] = {}
        self._pools: dict[tuple[str, str], Pool] = {}
        self._remembered: dict[tuple[str, str | None], Lane] = {}
        self.splits: dict[tuple[str, str | None], Split | Tenanted] = {}  # of names that lead to more than one lane
        self._tenants = Tenants()
        supervisor.on_vacant = self._vacate
        self.books: dict[tuple[str, str], tuple[Meter, LogBook]] = {}
        self._deal_out()

    def lane(self, reference: str, qualifier: str | None = None) -> Lane:
        """The lane for a name, partial or full ARN, with a qualifier; of an alias with weights one by these.

        Raises ResourceNotFoundException, InvalidParameterValueException of a function that keeps tenants apart.
        """
        try:
            return self._remembered[reference, qualifier]
        except KeyError:
            route = self.route(reference, qualifier)
            if isinstance(route, Tenanted):
                raise missing_tenant() from None
            return route.drawn(random()) if isinstance(route, Split) else route

    def tenant_lane(
        self, reference: str, qualifier: str | None, tenant_id: str, invocation_type: str = "RequestResponse"
    ) -> Lane:
        """The lane of one tenant; of what is not run here and now that of the version, which stands for it.

        Raises as `lane` does, InvalidParameterValueException for a function that does not keep tenants apart,
        ValidationException for what is no tenant's id, TooManyRequestsException where no tenant more has room.
        """
        while True:
            route = self.splits.get((reference, qualifier)) or self.route(reference, qualifier)
            if not isinstance(route, Tenanted):
                raise unexpected_tenant()
            home = route.drawn(random())
            if invocation_type != "RequestResponse":
                validate_tenant_id(tenant_id)
                return home.lane
            lane = self.lane_in(home, tenant_id)
            if lane is not None:
                return lane

    def lane_for(self, reference: str, qualifier: str | None, tenant_id: str | None) -> Lane:
        """`lane` or `tenant_lane`, as there is a tenant or none."""
        if tenant_id is None:
            return self.lane(reference, qualifier)
        return self.tenant_lane(reference, qualifier, tenant_id)

    def lane_in(self, home: Pool, tenant_id: str) -> Lane | None:
        """The lane of a tenant of this version; None where the version was replaced in this instant."""
        found = home.tenants.get(tenant_id)
        if found is not None:
            return found.lane
        validate_tenant_id(tenant_id)
        with self._lock:
            if self._pools.get((home.lane.name, home.lane.version)) is not home:
                return None
            if tenant_id not in home.tenants:
                self._take_in(home, tenant_id)
            return home.tenants[tenant_id].lane

    def _take_in(self, home: Pool, tenant_id: str) -> None:
        leaver = self._tenants.choose_leaver()
        if leaver is not None:
            self._tenants.leaves(leaver)
            self._supervisor.supersede_soon(leaver)
        pool = self._open(home.configuration)
        pool.tenant_id, pool.home, pool.neighbours = tenant_id, home, self._tenants.of(pool.lane.name)
        pool.lane.cold_ns = home.lane.cold_ns
        pool.on_gone = partial(self._gone, pool)
        self._tenants.admit(pool)
        self._supervisor.adopt(pool)
        home.tenants[tenant_id] = pool

    def _vacate(self, pool: Pool) -> None:
        """A tenant has no environment any more: its lane goes too."""
        with self._lock:
            if not self._tenants.leaves(pool):
                return
            if pool.home is not None:
                pool.home.lane.cold_ns = pool.lane.cold_ns
        self._supervisor.supersede(pool)

    def _gone(self, pool: Pool) -> None:
        with self._lock:
            self._tenants.gone(pool)

    def route(self, reference: str, qualifier: str | None = None) -> Lane | Split | Tenanted:
        """As `lane`, but with both lanes of an alias with weights, and where lanes of tenants are found."""
        key = reference, qualifier
        found = self._remembered.get(key) or self.splits.get(key)
        if found is not None:
            return found
        with self._lock:
            snapshot = self._catalog.snapshot
            pool = self._pool(snapshot.resolve(reference, qualifier))
            name, merged = snapshot.names(reference, qualifier)
            alias = snapshot.record(name).aliases.get(merged or "")
            version, weight = next(iter(alias.routing.items()), ("", 0.0)) if alias is not None else ("", 0.0)
            additional = self._pool(snapshot.resolve(name, version)) if version else None
            if pool.configuration.tenant_isolation is not None:
                return _remember(self.splits, key, Tenanted(pool, additional, weight))
            if additional is None:
                return _remember(self._remembered, key, pool.lane)
            return _remember(self.splits, key, Split(pool.lane, additional.lane, weight))

    def pool(self, configuration: FunctionConfiguration) -> Pool:
        """The pool that runs this configuration. Raises what `check_code` does."""
        with self._lock:
            return self._pool(configuration)

    def known_pool(self, configuration: FunctionConfiguration) -> Pool | None:
        """The pool that runs this configuration, where there is one already."""
        pool = self._pools.get((configuration.function_name, configuration.version))
        return pool if pool is not None and pool.configuration is configuration else None

    def _pool(self, configuration: FunctionConfiguration) -> Pool:
        key = configuration.function_name, configuration.version
        pool = self._pools.get(key)
        if pool is None or pool.configuration is not configuration:
            self._check_code(configuration)
            pool = self._pools[key] = self._open(configuration)
            self._supervisor.adopt(pool)
        return pool

    def prepare(self, configuration: FunctionConfiguration) -> None:
        """Have what starts of a function need begun before anybody calls it. From any thread."""
        try:
            started = started_by(configuration)
        except InvalidRuntimeException:  # the host has lost it this very moment: who calls the function is told
            return
        if started is not None:
            self._supervisor.prime_soon(started, configuration.network or self._settings.network)

    def _open(self, configuration: FunctionConfiguration) -> Pool:
        settings = self._settings
        started = started_by(configuration)
        share = cpu_share(configuration.memory_mb) if settings.limited_cpu else None
        spins = settings.cpus > 1 and (share is None or share >= 1)
        meter, book = self._records(configuration, started)
        lane = Lane(
            configuration,
            self._quota(configuration.function_name, configuration.version),
            meter,
            self._ledger.journal,
            source=self._ledger.source(_source(configuration)),
            log_limit=LOG_PER_INVOCATION_BYTES,
            spin_us=SPIN_US if spins else 0.0,
            spin_limit=max(1, settings.cpus // 2),
        )
        lane.book = book
        network = configuration.network or settings.network
        packages = str(settings.runtime_packages)
        return Pool(configuration, lane, book, packages, share, settings.credentials, network, started)

    def _records(self, configuration: FunctionConfiguration, started: Started | None) -> tuple[Meter, LogBook]:
        key = configuration.function_name, configuration.version
        if key not in self.books:
            meter = Meter(LEDGER_RECORDS)
            book = LogBook(
                *key,
                meter.ledger,
                runtime_version=_runtime_version(configuration.runtime, started),
                wall_offset_ns=time.time_ns() - time.monotonic_ns(),
                text_bytes_max=LOG_PER_FUNCTION_BYTES,
            )
            self.books[key] = meter, book
        return self.books[key]

    def superseded(self, configurations: tuple[FunctionConfiguration, ...], then: Callable[[], None]) -> None:
        """Nothing leads to these any more: what runs there ends in peace, and new callers find the new ones.

        `then` is called once the last of their environments has gone.
        """
        with self._lock:
            self._forget_routes()
            keys = [(old.function_name, old.version) for old in configurations]
            homes = [pool for key, old in zip(keys, configurations, strict=True)
                     if (pool := self._pools.get(key)) is not None and pool.configuration is old]  # fmt: skip
            for home in homes:
                del self._pools[home.lane.name, home.lane.version]
            pools = [*homes, *self._tenants_in(homes)]
            left = len(pools)

        def one_gone(pool: Pool) -> None:
            nonlocal left
            self._gone(pool)
            left -= 1
            if left == 0:
                then()

        for pool in pools:
            pool.on_gone = partial(one_gone, pool)
        for pool in pools:
            self._supervisor.supersede(pool)
        if not pools:
            then()

    def _tenants_in(self, homes: list[Pool]) -> list[Pool]:
        """All tenants of these versions, none of whom is found there from now on."""
        found = [pool for pool in self._tenants.all() if pool.home in homes]
        for pool in found:
            self._tenants.leaves(pool)
        return found

    def refresh(self) -> None:
        """Names may lead elsewhere now."""
        with self._lock:
            self._forget_routes()

    def forget(self, name: str, version: str | None = None) -> None:
        """A function, or one version of it, was deleted: its log and counts go too."""
        with self._lock:
            self._forget_routes()
            for key in [key for key in self.books if key[0] == name and version in (None, key[1])]:
                del self.books[key]
            if version is None:
                self._reservations.pop(name, None)
                self._deal_out()

    def _forget_routes(self) -> None:
        self._remembered.clear()
        self.splits.clear()

    def reserve(self, name: str, limit: int | None) -> None:
        """Give a function concurrency of its own out of the account's, or give it back (None)."""
        with self._lock:
            if limit is None:
                self._reservations.pop(name, None)
            else:
                self._reservations[name] = limit
            self._deal_out()

    def set_aside(self, provisioned: dict[tuple[str, str], int]) -> None:
        """Keep concurrency of a function's, or the account's, for these versions, by function and version."""
        with self._lock:
            self._provisioned = provisioned
            self._deal_out()

    def _deal_out(self) -> None:
        """Give every quota its limit: what is reserved, less what of it is provisioned, and so for the account."""
        aside: Counter[str] = Counter()
        for (name, _), units in self._provisioned.items():
            aside[name] += units
        self._reserved = {name: self._reserved.get(name) or _reserved() for name in self._reservations}
        for name, quota in self._reserved.items():
            quota.limit = self._reservations[name] - aside.pop(name, 0)
        self._account.limit = self._account_concurrency - sum(self._reservations.values()) - aside.total()
        self._shares = {key: self._share(key, units) for key, units in self._provisioned.items()}
        for pool in (*self._pools.values(), *self._tenants.all()):
            quota = self._quota(pool.lane.name, pool.lane.version)
            if pool.lane.quota is not quota:
                repair.charge(pool.lane, quota)

    def _share(self, key: tuple[str, str], units: int) -> Quota:
        beyond = self._reserved.get(key[0], self._account)
        share = self._shares.get(key)
        same = share is not None and share.limit == units and share.beyond is beyond
        return share if share is not None and same else Quota(units, beyond.reason, beyond)

    def _quota(self, name: str, version: str) -> Quota:
        return self._shares.get((name, version)) or self._reserved.get(name, self._account)


def _remember(memo: dict[K, R], key: K, route: R) -> R:
    if len(memo) >= REMEMBERED_MAX:
        memo.clear()
    memo[key] = route
    return route


def _reserved() -> Quota:
    return Quota(0, "ReservedFunctionConcurrentInvocationLimitExceeded")


def _source(configuration: FunctionConfiguration) -> Source:
    """What the ledger keeps of a configuration."""
    return Source(
        configuration.function_name,
        configuration.version,
        configuration.architecture,
        configuration.memory_mb,
        configuration.ephemeral_storage_mb,
        configuration.region,
    )


def _runtime_version(runtime: str, started: Started | None) -> str:
    """What INIT_START calls the runtime: `python:3.11.v7` for python3.11 on CPython 3.11.7, `provided:al2023`."""
    version = platform.python_version() if started is None else started.interpreter.version
    patch = version.rpartition(".")[2]
    name = re.sub(r"^([a-z]+)(?:\.|(?=\d))", r"\1:", runtime.removesuffix(".x"))
    return f"{name}.v{patch}" if patch.isdigit() else name
