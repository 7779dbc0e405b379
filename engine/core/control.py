"""F3: the control plane: functions are created, changed and deleted here, and what happened to them is told.

Its methods read and write files, so they run in a thread; what they return is called on the loop and finishes the job
there, with the result.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, TypeAlias

from .. import config
from .._ext.lane import Lane
from .._ext.meter import Meter
from .._ext.result import InvokeResult
from ..clock import HostClock
from ..errors import InvalidParameterValueException
from ..model import (
    Alias,
    Code,
    EventInvokeConfig,
    FunctionConfiguration,
    FunctionState,
    LayerVersion,
    LogEvent,
    LogPage,
    ProvisionedConcurrencyConfig,
    StoredCode,
)
from ..records.bill import Bill, checked_by, checked_month
from ..records.export import Format, Target, export_segments
from ..records.ledger import InvocationLedger
from ..records.prices import PriceList
from ..records.rollups import By, Configured
from ..records.statistics import BillTable, version_statistics
from ..runtimes.contract import Subject
from ..settings import EngineSettings, check_architecture, usable_cpus
from ..store.blobs import ARCHIVE_MAX_BYTES
from ..store.build import Builder, Progress
from ..store.catalog import Change, Settings
from ..store.event_invoke import EventInvokeSettings
from ..store.layers import LayerSettings, check_layer_arns, is_layer_arn, validate_layer
from ..store.runtime_packages import link_runtime_packages
from ..store.source import bundle
from ..store.storage import Storage
from ..validation import number_problem, refuse, text_problem, validate_configuration
from .dispatch import Dispatch, LaneSettings
from .folders import engine_folder, remove_of_dead_processes
from .languages import check_runtime, python_of, warn_of_extensions
from .pools import Pool
from .provisioned import ProvisionedConcurrency
from .quarters import jail_plan
from .snapshots import After
from .supervisor import Supervisor

Deployed: TypeAlias = Callable[[], FunctionConfiguration]
Done: TypeAlias = Callable[[], None]
SHA256_TEXT_MAX: Final = 64  # of what may be a CodeSha256, which has 44 characters


class Control:
    """Catalog, code, ledger and dispatch of one engine.

    `busy` says whether invocations run. `after(seconds, call)` calls on the loop's thread, and is called there.
    """

    def __init__(
        self, settings: EngineSettings, supervisor: Supervisor, *, busy: Callable[[], bool], after: After
    ) -> None:
        self._settings = settings
        self._pid = os.getpid()
        remove_of_dead_processes()
        self._temporary = None if settings.data_dir else engine_folder()
        self._builders: dict[str, Builder] = {}
        with ExitStack() as opening:
            if self._temporary is not None:
                opening.callback(self._remove_temporary, self._temporary)
            self._storage = Storage(
                Path(settings.data_dir or str(self._temporary)),
                durable=self._temporary is None,
                clock=HostClock(),
                region=settings.region,
                account_id=settings.account_id,
                account_concurrency=settings.account_concurrency,
            )
            opening.callback(self._storage.close)
            self._store, self.catalog = self._storage.code, self._storage.catalog
            self._runtime_packages = link_runtime_packages(self._storage.root / "runtime")
            lanes = LaneSettings(
                limited_cpu=settings.cpu == "lambda",
                cpus=usable_cpus(),
                runtime_packages=self._runtime_packages,
                credentials=settings.credentials,
                network=settings.default_network,
            )
            self._ledger_folder = self._storage.root / "ledger" if settings.data_dir else None
            self.ledger = InvocationLedger(self._ledger_folder, ledger_bytes=settings.ledger_bytes, busy=busy)
            opening.callback(self.ledger.close)
            self._held = opening.pop_all()
        self._supervisor = supervisor
        self.dispatch = Dispatch(
            self.catalog,
            supervisor,
            lanes,
            self.ledger,
            account_concurrency=settings.account_concurrency,
            check_code=self._storage.check_code,
        )
        self.provisioned = ProvisionedConcurrency(self.catalog, self.dispatch, supervisor, after)
        self._charging = threading.Lock()
        self._charge()
        self.on_deleted: Callable[[str], object] = lambda name: None
        self._unused = Meter(0)  # what is counted of a version that was never invoked

    def close(self) -> None:
        """End the ledger, let code and catalog go; a temporary folder is removed.

        Raises ServiceException for records that could not be written.
        """
        self._held.close()

    def jail_plan(self) -> dict[str, Any]:
        """What a zygote needs to know to put a jail around environments: the fields of `sandbox.jail.Plan`."""
        return jail_plan(self._settings.sandbox, self._store.root, self._runtime_packages)

    @property
    def data_folder(self) -> Path | None:
        """Where what must outlive the engine is kept; None where nothing must."""
        return None if self._temporary is not None else self._storage.root

    @property
    def scratch_folder(self) -> Path | None:
        """Where the files behind environments' /tmp are; None where it is to be memory, or no sandbox is wanted."""
        unwanted = self._settings.ephemeral_storage == "memory" or self._settings.sandbox == "off"
        return None if unwanted else self._storage.root / "scratch"

    def listening_on(self, socket: str) -> None:
        """See `Engine.listening_on`."""
        if self._storage.folder is not None:
            self._storage.folder.listening_on(socket)

    # --- functions ----------------------------------------------------------------------------------------------------

    def create_function(
        self, name: str, code: Code, given: dict[str, Any], layers: Sequence[Code], progress: Progress | None
    ) -> Deployed:
        """Deploy; see `Engine.create_function`."""
        check_architecture(given["architecture"])
        self._check(name, given, len(layers))
        with ExitStack() as held:
            python = python_of(given["runtime"], snap_start=given["snap_start"])
            used = self._put_layers(layers, python, progress, held)
            stored = self._put(code, python, progress, held)
            change = self.catalog.create_function(name, stored, **used, **_settings(given))
        return lambda: self._deployed(change)

    def update_function_code(
        self,
        name: str,
        code: Code,
        architecture: str | None,
        revision_id: str | None,
        dry_run: bool,
        progress: Progress | None,
    ) -> Deployed:
        """New code; see `Engine.update_function_code`."""
        if architecture is not None:
            check_architecture(architecture)
        latest = self.catalog.get(name).latest
        with ExitStack() as held:
            python = python_of(latest.runtime, snap_start=latest.snap_start)
            stored = self._put(code, python, progress, held)
            if dry_run:
                would_be = self.catalog.with_code(name, stored, architecture=architecture, revision_id=revision_id)
                return lambda: would_be
            change = self.catalog.update_code(name, stored, architecture=architecture, revision_id=revision_id)
        return lambda: self._deployed(change)

    def update_function_configuration(
        self,
        name: str,
        changes: dict[str, Any],
        layers: Sequence[Code] | None,
        revision_id: str | None,
        progress: Progress | None,
    ) -> Deployed:
        """New settings; see `Engine.update_function_configuration`."""
        latest = self.catalog.get(name).latest
        if "tenant_isolation" in changes:
            raise InvalidParameterValueException(
                f"tenant_isolation of {name} cannot be modified: it is said when the function is created"
            )
        unknown = changes.keys() - CHANGEABLE
        if unknown:
            told = ", ".join(sorted(unknown))
            raise InvalidParameterValueException(f"unknown setting {told}: choose from {', '.join(sorted(CHANGEABLE))}")
        merged = {setting: changes.get(setting, getattr(latest, setting)) for setting in CHANGEABLE}
        merged |= {"architecture": latest.architecture, "tenant_isolation": latest.tenant_isolation}
        if merged["log_format"] != "JSON":  # levels of a log that was JSON go with that
            merged |= {level: changes.get(level) for level in LOG_LEVELS}
        self._check(name, merged, len(latest.layers if layers is None else layers))
        with ExitStack() as held:
            if layers is not None:
                python = python_of(merged["runtime"], snap_start=merged["snap_start"])
                changes = {**changes, **self._put_layers(layers, python, progress, held)}
            change = self.catalog.update_configuration(name, revision_id=revision_id, **_settings(changes))
        return lambda: self._deployed(change)

    def delete_function(self, name: str, qualifier: str | None) -> Done:
        """Delete; see `Engine.delete_function`."""
        change = self.catalog.delete_function(name, qualifier)

        def finish() -> None:
            self._changed(change)
            self.dispatch.forget(name, qualifier)
            self.provisioned.refresh_function(name)
            self._supervisor.upkeep.forget(name, qualifier)
            if qualifier is None:
                self.on_deleted(name)

        self._charge()
        return finish

    def publish_version(
        self, name: str, description: str | None, code_sha256: str | None, revision_id: str | None
    ) -> Deployed:
        """Freeze `$LATEST`."""
        change = self.catalog.publish_version(
            name, description=description, code_sha256=code_sha256, revision_id=revision_id
        )

        def finish() -> FunctionConfiguration:
            published = self._deployed(change)
            if published.starts_from_snapshot:
                self._supervisor.prepare_snapshot(self.dispatch.lane(name, published.version))
            return published

        return finish

    def function_state(self, name: str, qualifier: str | None) -> FunctionState:
        """See `Engine.get_function_state`."""
        configuration = self.catalog.resolve(name, qualifier)
        if not configuration.starts_from_snapshot:
            return FunctionState()
        return self._supervisor.snapshots.state(self.dispatch.known_pool(configuration))

    def create_alias(
        self, name: str, alias: str, function_version: str, description: str, routing: Mapping[str, float] | None
    ) -> Callable[[], Alias]:
        """Name a version."""
        made = self.catalog.create_alias(name, alias, function_version, description=description, routing=routing)
        return lambda: self._named(made)

    def update_alias(
        self,
        name: str,
        alias: str,
        function_version: str | None,
        description: str | None,
        routing: Mapping[str, float] | None,
        revision_id: str | None,
    ) -> Callable[[], Alias]:
        """Have an alias name another version."""
        made = self.catalog.update_alias(
            name,
            alias,
            function_version=function_version,
            description=description,
            routing=routing,
            revision_id=revision_id,
        )
        self._charge()
        return lambda: self._named(made)

    def delete_alias(self, name: str, alias: str) -> Done:
        """Have an alias name nothing any more."""
        self.catalog.delete_alias(name, alias)
        self._charge()
        return lambda: self._renamed(name)

    def put_function_concurrency(self, name: str, reserved: int) -> Done:
        """Reserve concurrency."""
        self.catalog.put_function_concurrency(name, reserved)
        return lambda: self.dispatch.reserve(name, reserved)

    def delete_function_concurrency(self, name: str) -> Done:
        """Give a reservation back."""
        self.catalog.delete_function_concurrency(name)
        return lambda: self.dispatch.reserve(name, None)

    def put_provisioned(
        self, name: str, qualifier: str, provisioned: int
    ) -> Callable[[], ProvisionedConcurrencyConfig]:
        """Keep environments ready; see `Engine.put_provisioned_concurrency_config`."""
        self.catalog.put_provisioned_concurrency(name, qualifier, provisioned)
        self._charge()

        def finish() -> ProvisionedConcurrencyConfig:
            self.provisioned.refresh()
            return self.provisioned.told(name, qualifier)

        return finish

    def delete_provisioned(self, name: str, qualifier: str) -> Done:
        """Keep none ready any more."""
        self.catalog.delete_provisioned_concurrency(name, qualifier)
        self._charge()
        return self.provisioned.refresh

    def put_event_invoke(
        self, name: str, qualifier: str | None, settings: EventInvokeSettings
    ) -> Callable[[], EventInvokeConfig]:
        """Say what happens to events. Who queues them asks the catalog; see `put_function_event_invoke_config`."""
        made = self.catalog.put_event_invoke_config(name, qualifier, **settings)
        return lambda: made

    def update_event_invoke(
        self, name: str, qualifier: str | None, settings: EventInvokeSettings
    ) -> Callable[[], EventInvokeConfig]:
        """Change some of what was said."""
        made = self.catalog.update_event_invoke_config(name, qualifier, **settings)
        return lambda: made

    def delete_event_invoke(self, name: str, qualifier: str | None) -> Done:
        """Say nothing of them any more."""
        self.catalog.delete_event_invoke_config(name, qualifier)
        return lambda: None

    # --- layers and code ----------------------------------------------------------------------------------------------

    def publish_layer_version(
        self, name: str, code: Code, said: LayerSettings, progress: Progress | None
    ) -> Callable[[], LayerVersion]:
        """The next version of a layer; see `Engine.publish_layer_version`."""
        validate_layer(name, **said)
        with ExitStack() as held:
            made = self.catalog.publish_layer_version(name, self._put(code, sys.executable, progress, held), **said)
        return lambda: made

    def delete_layer_version(self, name: str, version: int) -> Done:
        """Functions that use it have references of their own."""
        for stored in self.catalog.delete_layer_version(name, version):
            self._store.release(stored)
        return lambda: None

    def read_code(self, sha256: str, offset: int, size: int) -> bytes:
        """See `Engine.read_code`."""
        refuse(
            text_problem(sha256, "sha256", None, SHA256_TEXT_MAX),
            number_problem(offset, "offset", 0, ARCHIVE_MAX_BYTES),
            number_problem(size, "size", 1, config.CODE_PART_MAX_BYTES),
        )
        return self._store.read_zip(sha256, offset, size)

    def _charge(self) -> None:
        """Have the ledger count what is provisioned now. What it could not write it is told again with the next bill.

        A kill between a change and this leaves the ledger with what was before, until the folder is opened again.
        """
        with self._charging:
            functions = self.catalog.snapshot.functions.values()
            self.ledger.configure(
                Configured(
                    version.function_name, number, version.architecture, version.memory_mb, version.region, units
                )
                for record in functions
                for number, units in record.provisioned_versions().items()
                for version in (record.versions[number],)
            )

    # --- what happened ------------------------------------------------------------------------------------------------

    def receipt(self, lane: Lane, invocation_type: str, request_id: bytes) -> InvokeResult:
        """The answer to an invocation that is not run."""
        if invocation_type == "DryRun":
            return InvokeResult.receipt(204, request_id, lane.version, lane.configuration.memory_mb)
        raise InvalidParameterValueException(
            f"invocation_type={invocation_type!r}: use 'RequestResponse', 'Event' or 'DryRun'"
        )

    def logs(self, name: str, qualifier: str | None, request_id: str | None, limit: int | None) -> list[LogEvent]:
        """Log events of one version (that of `qualifier`), oldest first."""
        configuration = self.catalog.resolve(name, qualifier)
        _, book = self.dispatch.books.get((configuration.function_name, configuration.version), (None, None))
        if book is None:
            return []
        if request_id is None:
            return book.events(limit=limit)
        events = book.events_of(request_id)
        return events if limit is None else events[max(0, len(events) - limit) :]

    def logs_after(self, name: str, cursor: str, qualifier: str | None, limit: int | None) -> LogPage:
        """Log events of one version since a page's cursor, and the next cursor."""
        configuration = self.catalog.resolve(name, qualifier)
        _, book = self.dispatch.books.get((configuration.function_name, configuration.version), (None, None))
        return LogPage((), "") if book is None else book.page(cursor, limit=limit)

    def stats(self, name: str | None) -> dict[str, Any]:
        """Counts per function and version, and of the engine as a whole."""
        wanted = None if name is None else self.catalog.resolve(name).function_name
        pools: dict[tuple[str, str], list[Pool]] = {}
        for pool in self._supervisor.pools:
            if not pool.superseded:
                pools.setdefault((pool.lane.name, pool.lane.version), []).append(pool)
        snapshots = self._supervisor.snapshots
        functions: dict[str, Any] = {}
        upkeep = self._supervisor.upkeep
        for function in (
            [wanted] if wanted is not None else [each.function_name for each in self.catalog.list_functions()]
        ):
            versions = functions[function] = {"versions": {}}
            for configuration in self.catalog.list_versions(function):
                key = function, configuration.version
                meter, _ = self.dispatch.books.get(key, (self._unused, None))
                versions["versions"][configuration.version] = version_statistics(
                    meter,
                    [pool.lane for pool in pools.get(key, [])],
                    upkeep.prewarms(key),
                    self.provisioned.statistics(*key),
                    snapshots.statistics(next((pool for pool in pools.get(key, []) if pool.home is None), None)),
                    sum(pool.home is not None for pool in pools.get(key, []))
                    if configuration.tenant_isolation is not None
                    else None,
                )
        return {
            "functions": functions,
            "environments": sum(
                pool.lane.ready + pool.lane.starting for together in pools.values() for pool in together
            ),
            "environments_memory_mb": upkeep.held_mb(self._supervisor.pools),
            "environment_deaths": self._supervisor.deaths,
            "primed": self._supervisor.primed.counts(),
            "evictions": upkeep.evictions,
            "limits": [line._asdict() for line in self._supervisor.enforcement()],
        }

    def bill(self, by: By, month: str | None, free_tier: bool) -> BillTable:
        """The bill up to now. Waits for the disk."""
        checked_by(by)
        checked_month(month)
        self._charge()
        self.ledger.flush()
        sums, _ = self.ledger.rollups.sums(by, month)
        bill = Bill(PriceList.load(), sums)
        return BillTable(tuple(bill.lines(by)), bill.total(free_tier=free_tier))

    def export_ledger(self, target: Target, format: Format, month: str | None) -> int:
        """Write the ledger's records up to now. How many."""
        if self._ledger_folder is None:
            raise InvalidParameterValueException(
                "a temporary engine keeps sums, not records: give Engine a data_dir to have a ledger to export"
            )
        self.ledger.flush()
        upto = self.ledger.journal.settled
        return export_segments(self._ledger_folder, target, format=format, month=month, upto=upto)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _remove_temporary(self, folder: Path) -> None:
        if self._pid == os.getpid():
            shutil.rmtree(folder)

    def _check(self, name: str, given: Mapping[str, Any], layers: int) -> None:
        checked = {setting: value for setting, value in given.items() if setting != "kept"}  # see `store.kept`
        validate_configuration(function_name=name, layers_count=layers, **checked)
        subject = Subject(given["runtime"], given["handler"], given["memory_mb"], given["environment"])
        check_runtime(name, subject, snap_start=given["snap_start"], strict=self._settings.strict_runtimes)

    def _put_layers(self, layers: Sequence[Code], python: str, progress: Progress | None, held: ExitStack) -> Settings:
        """Content and ARNs of a function's layers, of which some are published and some are given as code."""
        arns = tuple(str(layer) if is_layer_arn(layer) else "" for layer in layers)
        check_layer_arns(self.catalog.snapshot, filter(None, arns))
        stored: list[StoredCode] = []
        for layer, arn in zip(layers, arns, strict=True):
            if arn:
                stored.append(self.catalog.hold_layer(arn))
                held.callback(self._store.release, stored[-1])
            else:
                stored.append(self._put(layer, python, progress, held))
        return {"layers": tuple(stored), "layer_arns": arns}

    def _put(self, code: Code, python: str, progress: Progress | None, held: ExitStack) -> StoredCode:
        """Store code, with what it requires as `python` installs it."""
        with bundle(code, build=self._builders.setdefault(python, Builder(python=python)), progress=progress) as zipped:
            stored = self._store.put_zip(zipped)
        held.callback(self._store.release, stored)
        return stored

    def _deployed(self, change: Change) -> FunctionConfiguration:
        self._changed(change)
        if change.new is None:
            raise RuntimeError("a change that deploys left no configuration")
        warn_of_extensions(change.new)
        self.dispatch.prepare(change.new)
        return change.new

    def _changed(self, change: Change) -> None:
        def release() -> None:
            for stored in change.dropped:
                self._store.release(stored)

        self.dispatch.superseded(change.retired, release)

    def _named(self, alias: Alias) -> Alias:
        self._renamed(alias.function_name)
        return alias

    def _renamed(self, name: str) -> None:
        self.dispatch.refresh()
        self.provisioned.refresh_function(name)


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """As the catalog calls them."""
    if "log_group" not in given:
        return dict(given)
    others = {setting: value for setting, value in given.items() if setting != "log_group"}
    return {**others, "log_group_name": given["log_group"] or ""}


LOG_LEVELS = ("application_log_level", "system_log_level")
CHANGEABLE = frozenset(
    {
        "handler",
        "runtime",
        "memory_mb",
        "timeout_s",
        "environment",
        "description",
        "role",
        "ephemeral_storage_mb",
        "network",
        "snap_start",
        "dead_letter_target_arn",
        "log_format",
        *LOG_LEVELS,
        "log_group",
        "kept",
    }
)
