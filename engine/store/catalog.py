"""F1: the functions, versions and aliases there are. Keeping them is `persistence`'s, looking things up `snapshot`'s,
layers and documents beside them `layers`' and `resources`'.

One lock for writers. Each change makes a new immutable `Snapshot` and puts it in place with one assignment; readers
take whatever snapshot is there and never wait.

Each configuration in the catalog owns one reference to its code and one to each of its layers, a published layer one to
its content. A change gives them
out as `Change.dropped` for the caller to release; new ones are taken by the `retain` callback under the lock and before
the snapshot is in place, so that no release on another thread can come between. Between the two the change goes to
disk, where there is one: what is visible will be found again, and what could not be written is neither visible nor
referred to.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal, TypedDict, Unpack

from .. import config
from ..clock import Clock
from ..errors import (
    CodeStorageExceededException,
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from ..model import (
    AccountSettings,
    Alias,
    EventInvokeConfig,
    FunctionConfiguration,
    Network,
    ProvisionedRequest,
    StoredCode,
    TenantIsolation,
)
from ..validation import (
    validate_alias_name,
    validate_description,
    validate_event_invoke_config,
    validate_provisioned_concurrency,
    validate_qualifier,
    validate_reserved_concurrency,
)
from . import event_invoke, kept, provisioning
from .event_invoke import EventInvokeSettings
from .layers import LayerShelf, check_unzipped
from .persistence import Edit, Persistence
from .resources import ResourceShelf, owners_gone, without_owners
from .routing import check_alias, checked_routing
from .snapshot import LATEST, FunctionRecord, Snapshot
from .writer import check_code_storage, lambda_time

CONFIGURATIONS_MAX: Final = 100_000  # functions and published versions together
REMEMBERED_MAX: Final = 10_000  # deleted functions whose version numbers are not given out again


class Settings(TypedDict, total=False):
    """What of a configuration has a default; values are validated already. `layer_arns`: of each layer."""

    description: str
    role: str
    memory_mb: int
    timeout_s: int
    ephemeral_storage_mb: int
    environment: Mapping[str, str]
    layers: tuple[StoredCode, ...]
    layer_arns: tuple[str, ...]
    architecture: str
    network: Network | None
    snap_start: bool
    dead_letter_target_arn: str | None
    log_format: Literal["Text", "JSON"]
    application_log_level: str | None
    system_log_level: Literal["DEBUG", "INFO", "WARN"] | None
    log_group_name: str
    tenant_isolation: TenantIsolation | None
    kept: Mapping[str, object]


class Changes(Settings, total=False):
    """What of a configuration an update may change."""

    handler: str
    runtime: str


@dataclass(frozen=True, slots=True)
class Change:
    """What a mutation did.

    `new` is the configuration it answers with, None after a deletion. `retired` are configurations that nothing leads
    to any more: their environments can go. `acquired` and `dropped` are the bundles, once per reference, that the
    catalog now refers to more or less often; what a change only hands on is in neither.
    """

    new: FunctionConfiguration | None = None
    retired: tuple[FunctionConfiguration, ...] = ()
    acquired: tuple[StoredCode, ...] = ()
    dropped: tuple[StoredCode, ...] = ()


class Catalog(ResourceShelf, LayerShelf):
    """All functions of one engine.

    `retain` is called for each bundle in `Change.acquired`, before the change is visible, and `release` for each again
    if the change fails after all; without them the caller counts these too, as always those in `Change.dropped`.
    `persistence` is where the catalog comes from and where every change goes; without it all is in memory only. Every
    method that changes something raises `ServiceException` if that could not be written, and has changed nothing then.
    Names are bare names everywhere but in `resolve`.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        region: str = config.REGION_DEFAULT,
        account_id: str = config.ACCOUNT_ID_DEFAULT,
        account_concurrency: int = config.ACCOUNT_CONCURRENCY,
        retain: Callable[[StoredCode], None] | None = None,
        release: Callable[[StoredCode], None] | None = None,
        persistence: Persistence | None = None,
    ) -> None:
        self._clock = clock
        self._account_concurrency = account_concurrency
        self._retain = retain
        self._release = release
        self._persistence = persistence
        self._lock = threading.Lock()
        self._snapshot = Snapshot(region, account_id)
        self._next_versions: dict[str, int] = {}
        if persistence is not None:
            saved = persistence.load()
            self._next_versions = saved.next_versions
            self._snapshot = Snapshot(region, account_id, saved.functions, saved.resources, saved.layers)

    @property
    def snapshot(self) -> Snapshot:
        """The catalog as it is now; it will never change."""
        return self._snapshot

    def resolve(self, reference: str, qualifier: str | None = None) -> FunctionConfiguration:
        """See `Snapshot.resolve`."""
        return self._snapshot.resolve(reference, qualifier)

    def get(self, name: str) -> FunctionRecord:
        """Everything under a bare name. Raises `ResourceNotFoundException`."""
        return self._snapshot.record(name)

    def list_functions(self) -> tuple[FunctionConfiguration, ...]:
        """`$LATEST` of every function, by name."""
        functions = self._snapshot.functions
        return tuple(functions[name].latest for name in sorted(functions))

    def list_versions(self, name: str) -> tuple[FunctionConfiguration, ...]:
        """`$LATEST`, then the published versions in order. Raises `ResourceNotFoundException`."""
        return self._snapshot.record(name).all_configurations()

    def create_function(
        self, name: str, code: StoredCode, *, handler: str, runtime: str, **settings: Unpack[Settings]
    ) -> Change:
        """A new function. Raises `ResourceConflictException` if the name is taken."""
        with self._lock:
            snapshot = self._snapshot
            if name in snapshot.functions:
                raise ResourceConflictException(f"Function already exist: {name}")
            bare = FunctionConfiguration(
                name, handler, runtime, code, region=snapshot.region, account_id=snapshot.account_id
            )
            latest = self._stamped(bare, settings)
            record = FunctionRecord(latest, next_version=self._next_versions.get(name, 1))
            return self._put(name, record, Change(latest))

    def update_code(
        self, name: str, code: StoredCode, *, architecture: str | None = None, revision_id: str | None = None
    ) -> Change:
        """New code for `$LATEST`. `PreconditionFailedException` if `revision_id` is given and not the current one."""
        with self._lock:
            record = self._snapshot.record(name)
            return self._update(record, _with_code(record.latest, code, architecture), {}, revision_id)

    def with_code(
        self, name: str, code: StoredCode, *, architecture: str | None = None, revision_id: str | None = None
    ) -> FunctionConfiguration:
        """What `update_code` would make of `$LATEST`, but for its revision and time. Raises the same."""
        snapshot = self._snapshot
        latest = snapshot.record(name).latest
        _check_revision(latest.revision_id, revision_id)
        made = _with_code(latest, code, architecture)
        check_unzipped(made)
        check_code_storage(snapshot, code.size - latest.code.size)
        return made

    def update_configuration(self, name: str, *, revision_id: str | None = None, **settings: Unpack[Changes]) -> Change:
        """New settings for `$LATEST`; what is not given stays. `PreconditionFailedException` as for `update_code`."""
        with self._lock:
            record = self._snapshot.record(name)
            return self._update(record, record.latest, settings, revision_id)

    def delete_function(self, name: str, qualifier: str | None = None) -> Change:
        """Delete a function with its versions and aliases, or only the version `qualifier`.

        Raises `ResourceConflictException` for a version that an alias points at, `InvalidParameterValueException` for
        `$LATEST` or an alias, `ResourceNotFoundException`.
        """
        with self._lock:
            record = self._snapshot.record(name, qualifier)
            if qualifier is not None:
                return self._delete_version(record, qualifier)
            change = self._put(name, None, Change(retired=record.all_configurations()))
            self._remember(name, record.next_version)
            return change

    def publish_version(
        self,
        name: str,
        *,
        description: str | None = None,
        code_sha256: str | None = None,
        revision_id: str | None = None,
    ) -> Change:
        """Freeze `$LATEST` under the next number; the last version again if nothing changed since it.

        Raises `PreconditionFailedException` as `update_code`, `InvalidParameterValueException` if `code_sha256` is
        given and not that of `$LATEST`.
        """
        with self._lock:
            record = self._snapshot.record(name)
            latest = record.latest
            _check_revision(latest.revision_id, revision_id)
            _check_code(latest, code_sha256)
            last = record.versions.get(str(record.next_version - 1))
            if last is not None and record.published is not None and _same(record.published, latest):
                return Change(last)
            settings: Settings = {} if description is None else {"description": description}
            version = self._stamped(replace(latest, version=str(record.next_version)), settings)
            versions = MappingProxyType({**record.versions, version.version: version})
            next_version = record.next_version + 1
            record = replace(record, versions=versions, next_version=next_version, published=latest)
            return self._put(name, record, Change(version))

    def create_alias(
        self,
        name: str,
        alias_name: str,
        function_version: str,
        *,
        description: str = "",
        routing: Mapping[str, float] | None = None,
    ) -> Alias:
        """Raises `ResourceConflictException` if it is there, and as `routing.checked_routing` and `check_alias`."""
        validate_alias_name(alias_name)
        validate_description(description)
        weights = checked_routing({} if routing is None else routing)
        with self._lock:
            record = self._snapshot.record(name)
            if alias_name in record.aliases:
                raise ResourceConflictException(f"Alias already exists: {self._snapshot.arn(name, alias_name)}")
            alias = Alias(name, alias_name, function_version, description, routing=weights)
            check_alias(self._snapshot, record, alias)
            return self._put_alias(record, alias)

    def update_alias(
        self,
        name: str,
        alias_name: str,
        *,
        function_version: str | None = None,
        description: str | None = None,
        routing: Mapping[str, float] | None = None,
        revision_id: str | None = None,
    ) -> Alias:
        """What is not given stays; a routing of {} is none. Raises as `create_alias`, `PreconditionFailedException`."""
        if description is not None:
            validate_description(description)
        weights = None if routing is None else checked_routing(routing)
        with self._lock:
            record = self._snapshot.record(name)
            before = self._alias(record, alias_name)
            _check_revision(before.revision_id, revision_id)
            alias = replace(
                before,
                function_version=before.function_version if function_version is None else function_version,
                description=before.description if description is None else description,
                routing=before.routing if weights is None else weights,
            )
            check_alias(self._snapshot, record, alias)
            if alias_name in record.provisioned:
                provisioning.check_versions(record, alias_name, alias.versions)
            return self._put_alias(record, alias)

    def delete_alias(self, name: str, alias_name: str) -> None:
        """Deleting an alias that is not there is no error, as in Lambda. Raises `ResourceNotFoundException`."""
        with self._lock:
            record = self._snapshot.record(name)
            aliases = MappingProxyType({key: alias for key, alias in record.aliases.items() if key != alias_name})
            left = provisioning.without(record.provisioned, alias_name)
            said = event_invoke.without(record.event_invoke, alias_name)
            self._put(name, replace(record, aliases=aliases, provisioned=left, event_invoke=said), Change())

    def get_alias(self, name: str, alias_name: str) -> Alias:
        """Raises `ResourceNotFoundException`."""
        return self._alias(self._snapshot.record(name), alias_name)

    def list_aliases(self, name: str, *, function_version: str | None = None) -> tuple[Alias, ...]:
        """By name; only those that lead to `function_version` if given. Raises `ResourceNotFoundException`."""
        aliases = self._snapshot.record(name).aliases
        found = (aliases[key] for key in sorted(aliases))
        return tuple(alias for alias in found if function_version in (None, *alias.versions))

    def put_function_concurrency(self, name: str, reserved: int) -> None:
        """Reserve concurrency for a function, out of the account's.

        Raises `InvalidParameterValueException` when under 100 would be left unreserved, or less than is provisioned;
        `ResourceNotFoundException`.
        """
        validate_reserved_concurrency(reserved)
        with self._lock:
            record = self._snapshot.record(name)
            provisioning.check_reservation(self._snapshot, name, reserved, self._account_concurrency)
            self._put(name, replace(record, reserved_concurrency=reserved), Change())

    def get_function_concurrency(self, name: str) -> int | None:
        """What is reserved for a function; None if it shares the unreserved. Raises `ResourceNotFoundException`."""
        return self._snapshot.record(name).reserved_concurrency

    def delete_function_concurrency(self, name: str) -> None:
        """Raises `ResourceNotFoundException`."""
        with self._lock:
            record = self._snapshot.record(name)
            self._put(name, replace(record, reserved_concurrency=None), Change())

    def account_settings(self) -> AccountSettings:
        """Limits of the account, and what of them is used."""
        snapshot = self._snapshot
        return AccountSettings(
            total_code_size_limit_bytes=config.CODE_STORAGE_MAX_BYTES,
            code_size_unzipped_limit_bytes=config.UNZIPPED_MAX_BYTES,
            code_size_zipped_limit_bytes=config.ZIP_MAX_BYTES,
            concurrent_executions=self._account_concurrency,
            unreserved_concurrent_executions=self.unreserved_concurrency(),
            total_code_size_bytes=snapshot.code_bytes(),
            function_count=len(snapshot.functions),
        )

    def unreserved_concurrency(self) -> int:
        """What functions without a reservation share."""
        snapshot = self._snapshot
        aside = provisioning.reserved(snapshot) + provisioning.provisioned_of_unreserved(snapshot)
        return self._account_concurrency - aside

    def put_provisioned_concurrency(self, name: str, qualifier: str, requested: int) -> ProvisionedRequest:
        """Have a published version, or an alias of one, keep environments ready. See `provisioning.check_request`."""
        validate_qualifier(qualifier)
        validate_provisioned_concurrency(requested)
        with self._lock:
            provisioning.check_request(self._snapshot, name, qualifier, requested, self._account_concurrency)
            record = self._snapshot.record(name)
            request = ProvisionedRequest(requested, lambda_time(self._clock.wall_ms()))
            provisioned = MappingProxyType({**record.provisioned, qualifier: request})
            self._put(name, replace(record, provisioned=provisioned), Change())
            return request

    def get_provisioned_concurrency(self, name: str, qualifier: str) -> ProvisionedRequest:
        """What was asked for. See `provisioning.request_of`."""
        return provisioning.request_of(self._snapshot, name, qualifier)

    def delete_provisioned_concurrency(self, name: str, qualifier: str) -> None:
        """That there is none is no error, as in Lambda. See `provisioning.check_qualifier`."""
        with self._lock:
            provisioning.check_qualifier(self._snapshot, name, qualifier)
            record = self._snapshot.record(name)
            if qualifier in record.provisioned:
                left = provisioning.without(record.provisioned, qualifier)
                self._put(name, replace(record, provisioned=left), Change())

    def put_event_invoke_config(
        self, name: str, qualifier: str | None = None, **settings: Unpack[EventInvokeSettings]
    ) -> EventInvokeConfig:
        """Say what happens to events of a version, an alias or (None) `$LATEST`; what is not given has its default.

        Raises as `validation.validate_event_invoke_config`, `event_invoke.empty_config` and `check_destinations`.
        """
        return self._put_event_invoke(name, qualifier, event_invoke.empty_config, settings)

    def update_event_invoke_config(
        self, name: str, qualifier: str | None = None, **settings: Unpack[EventInvokeSettings]
    ) -> EventInvokeConfig:
        """What is not given stays; "" is no destination. As above, and `ResourceNotFoundException` if there is none."""
        return self._put_event_invoke(name, qualifier, event_invoke.config_of, settings)

    def get_event_invoke_config(self, name: str, qualifier: str | None = None) -> EventInvokeConfig:
        """Raises `ResourceNotFoundException`."""
        return event_invoke.config_of(self._snapshot, name, qualifier or LATEST)

    def list_event_invoke_configs(self, name: str) -> tuple[EventInvokeConfig, ...]:
        """Of every version and alias that has one. Raises `ResourceNotFoundException`."""
        configs = self._snapshot.record(name).event_invoke
        return tuple(configs[qualifier] for qualifier in sorted(configs))

    def delete_event_invoke_config(self, name: str, qualifier: str | None = None) -> None:
        """Raises `ResourceNotFoundException`, also where there is none, as Lambda does."""
        qualifier = qualifier or LATEST
        with self._lock:
            event_invoke.config_of(self._snapshot, name, qualifier)
            record = self._snapshot.record(name)
            left = event_invoke.without(record.event_invoke, qualifier)
            self._put(name, replace(record, event_invoke=left), Change())

    def _put_event_invoke(
        self,
        name: str,
        qualifier: str | None,
        before: Callable[[Snapshot, str, str], EventInvokeConfig],
        settings: EventInvokeSettings,
    ) -> EventInvokeConfig:
        qualifier = qualifier or LATEST
        validate_event_invoke_config(**settings)
        with self._lock:
            config = before(self._snapshot, name, qualifier)
            event_invoke.check_destinations(self._snapshot, name, settings)
            made = event_invoke.changed(config, settings, lambda_time(self._clock.wall_ms()))
            record = self._snapshot.record(name)
            configs = MappingProxyType({**record.event_invoke, qualifier: made})
            self._put(name, replace(record, event_invoke=configs), Change())
            return made

    def _update(
        self,
        record: FunctionRecord,
        changed: FunctionConfiguration,
        settings: Settings | Changes,
        revision_id: str | None,
    ) -> Change:
        _check_revision(record.latest.revision_id, revision_id)
        latest = self._stamped(changed, settings)
        change = Change(latest, retired=(record.latest,))
        return self._put(latest.function_name, replace(record, latest=latest), change)

    def _delete_version(self, record: FunctionRecord, qualifier: str) -> Change:
        name = record.latest.function_name
        if qualifier == LATEST:
            raise InvalidParameterValueException("$LATEST version cannot be deleted without deleting the function.")
        if qualifier in record.aliases:
            raise InvalidParameterValueException("Deletion of aliases is not currently supported.")
        version = record.versions.get(qualifier)
        if version is None:
            raise self._snapshot.not_found(name, qualifier)
        users = [alias.name for alias in record.aliases.values() if qualifier in alias.versions]
        if users:
            raise ResourceConflictException(
                f"Unable to delete version because the following aliases reference it: [{', '.join(sorted(users))}]"
            )
        left = {number: found for number, found in record.versions.items() if number != qualifier}
        record = replace(
            record,
            versions=MappingProxyType(left),
            provisioned=provisioning.without(record.provisioned, qualifier),
            event_invoke=event_invoke.without(record.event_invoke, qualifier),
        )
        return self._put(name, record, Change(retired=(version,)))

    def _remember(self, name: str, next_version: int) -> None:
        """Lambda does not reuse version numbers, even of a function that was deleted and made again."""
        if next_version > 1:
            forgotten = self._forgotten(name)
            if forgotten is not None:
                del self._next_versions[forgotten]
            self._next_versions.pop(name, None)
            self._next_versions[name] = next_version

    def _forgotten(self, name: str) -> str | None:
        """Whose number makes room for that of `name`."""
        if name in self._next_versions or len(self._next_versions) < REMEMBERED_MAX:
            return None
        return next(iter(self._next_versions))

    def _alias(self, record: FunctionRecord, alias_name: str) -> Alias:
        alias = record.aliases.get(alias_name)
        if alias is None:
            arn = self._snapshot.arn(record.latest.function_name, alias_name)
            raise ResourceNotFoundException(f"Cannot find alias arn: {arn}")
        return alias

    def _put_alias(self, record: FunctionRecord, alias: Alias) -> Alias:
        stamped = replace(alias, revision_id=str(uuid.uuid4()))
        aliases = MappingProxyType({**record.aliases, alias.name: stamped})
        self._put(alias.function_name, replace(record, aliases=aliases), Change())
        return stamped

    def _stamped(self, configuration: FunctionConfiguration, settings: Settings | Changes) -> FunctionConfiguration:
        """With `settings`, a new revision and the time."""
        unknown = set(settings) - Changes.__annotations__.keys()
        if unknown:
            raise TypeError(f"not settings of a function: {', '.join(sorted(unknown))}")
        if "layers" in settings and "layer_arns" not in settings:
            configuration = replace(configuration, layer_arns=("",) * len(settings["layers"]))
        changed = replace(configuration, **settings)
        check_unzipped(changed)
        as_json = changed.log_format == "JSON"
        return replace(
            changed,
            application_log_level=(changed.application_log_level or "INFO") if as_json else None,
            system_log_level=(changed.system_log_level or "INFO") if as_json else None,
            kept=kept.merged(configuration.kept, settings.get("kept", {})),
            environment=MappingProxyType(dict(changed.environment)),
            layers=tuple(changed.layers),
            dead_letter_target_arn=changed.dead_letter_target_arn or None,
            revision_id=str(uuid.uuid4()),
            last_modified=lambda_time(self._clock.wall_ms()),
        )

    def _put(self, name: str, record: FunctionRecord | None, change: Change) -> Change:
        """Make the change visible: with its references counted, and retained and on disk first."""
        functions = dict(self._snapshot.functions)
        before = functions.pop(name, None)
        if record is not None:
            functions[name] = record
        resources = without_owners(self._snapshot.resources, owners_gone(name, before, record))
        self._check_room(change)
        change = _counted(change)
        with self._referring_to(*change.acquired):
            snapshot = self._snapshot.with_functions(MappingProxyType(functions), resources)
            self._write(self._edit(name, before, record), snapshot)
        return change

    def _edit(self, name: str, before: FunctionRecord | None, after: FunctionRecord | None) -> Edit:
        if after is not None or before is None or before.next_version == 1:
            return Edit(name, before, after)
        return Edit(name, before, after, before.next_version, self._forgotten(name))

    def _check_room(self, change: Change) -> None:
        if change.new is None:
            return
        check_code_storage(self._snapshot, change.new.code.size - sum(each.code.size for each in change.retired))
        if change.retired:
            return
        there = sum(1 + len(record.versions) for record in self._snapshot.functions.values())
        if there >= CONFIGURATIONS_MAX:
            raise CodeStorageExceededException(
                f"Code storage limit exceeded: {there} functions and versions. Delete some"
            )


def _counted(change: Change) -> Change:
    before = Counter(code for configuration in change.retired for code in _codes(configuration))
    after = Counter(_codes(change.new)) if change.new is not None else Counter[StoredCode]()
    return replace(change, acquired=tuple((after - before).elements()), dropped=tuple((before - after).elements()))


def _codes(configuration: FunctionConfiguration) -> tuple[StoredCode, ...]:
    return configuration.code, *configuration.layers


def _with_code(latest: FunctionConfiguration, code: StoredCode, architecture: str | None) -> FunctionConfiguration:
    return replace(latest, code=code, architecture=latest.architecture if architecture is None else architecture)


def _check_revision(current: str, given: str | None) -> None:
    if given is not None and given != current:
        raise PreconditionFailedException(
            "The Revision Id provided does not match the latest Revision Id. "
            "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
        )


def _check_code(latest: FunctionConfiguration, code_sha256: str | None) -> None:
    if code_sha256 is not None and code_sha256 != latest.code.sha256:
        raise InvalidParameterValueException(
            f"CodeSHA256 ({code_sha256}) is different from current CodeSHA256 in $LATEST ({latest.code.sha256}). "
            "Please try again with the CodeSHA256 in $LATEST."
        )


def _same(published: FunctionConfiguration, latest: FunctionConfiguration) -> bool:
    """Whether `$LATEST` still says what it said when it was published last."""
    return published == replace(latest, revision_id=published.revision_id, last_modified=published.last_modified)
