"""F1: the catalog in a SQLite file: what is written is there after `kill -9` and after a power cut. No rules of Lambda.

Forking. A host may fork while an engine is open, and its child may end as a whole interpreter, closing everything.
So the connection never checkpoints by being closed, only by `close`: a child's copy would cut off the log that its
parent goes on writing. And the lock is held over every fork: no thread is inside SQLite then, whose own locks
would stay locked in the child.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import apsw

from ..errors import EngineClosedError, ServiceException
from ..model import Alias, EventInvokeConfig, FunctionConfiguration, LayerVersion, ProvisionedRequest
from .database import DatabaseFile, roll_back
from .event_invoke import config_arn
from .markers import SUFFIX
from .persistence import AnyEdit, Edit, LayerEdit, ResourceEdit, Saved
from .resources import owners_gone
from .rows import Reader, alias_text, configuration_text, layer_text, read_alias
from .snapshot import FunctionRecord, LayerRecord, Layers, ResourceRecord, Resources

SCHEMA_VERSION: Final = 4
APPLICATION_ID: Final = 0x494E564F  # "INVO", so that another program's file is not taken for ours
BUSY_MS: Final = 1_000  # for somebody who looks into the file from outside

_PROVISIONED: Final = """
CREATE TABLE provisioned(
    name TEXT, qualifier TEXT, requested INTEGER NOT NULL, modified TEXT NOT NULL, PRIMARY KEY (name, qualifier)
) STRICT;
"""
_EVENT_INVOKE: Final = """
CREATE TABLE event_invoke(
    name TEXT, qualifier TEXT, modified TEXT NOT NULL, retry_attempts INTEGER, age_s INTEGER, on_success TEXT,
    on_failure TEXT, PRIMARY KEY (name, qualifier)
) STRICT;
"""
_RESOURCES: Final = """
CREATE TABLE resources(
    kind TEXT, key TEXT, document TEXT NOT NULL, function TEXT, revision TEXT NOT NULL, modified_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT;
CREATE INDEX resources_of_functions ON resources(function);
"""
_LAYERS: Final = """
CREATE TABLE layers(position INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, next_version INTEGER NOT NULL) STRICT;
CREATE TABLE layer_versions(name TEXT, version INTEGER, body TEXT NOT NULL, PRIMARY KEY (name, version)) STRICT;
"""
_TABLES: Final = """
CREATE TABLE functions(
    name TEXT PRIMARY KEY, latest TEXT NOT NULL, published TEXT, next_version INTEGER NOT NULL, reserved INTEGER
) STRICT;
CREATE TABLE versions(name TEXT, version INTEGER, body TEXT NOT NULL, PRIMARY KEY (name, version)) STRICT;
CREATE TABLE aliases(name TEXT, alias TEXT, body TEXT NOT NULL, PRIMARY KEY (name, alias)) STRICT;
CREATE TABLE deleted(position INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, next_version INTEGER NOT NULL) STRICT;
"""
_PUT_FUNCTION: Final = """
INSERT INTO functions VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
    latest = excluded.latest, published = excluded.published, next_version = excluded.next_version,
    reserved = excluded.reserved
"""


class CatalogDb:
    """See `persistence.Persistence`. Any thread may call."""

    def __init__(self, path: Path, *, code_root: Path) -> None:
        """Open or make the file. Raises `DataFolderError` for one that is damaged, newer or in use."""
        self._path = path
        self._code_root = code_root
        self._lock = threading.RLock()
        remedy = f"move {path.parent} away and deploy again"
        self._file = DatabaseFile(path, APPLICATION_ID, SCHEMA_VERSION, "is not an engine's catalog", remedy)
        connection = self._file.open(BUSY_MS, create=self._create, upgrade=_upgrade)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        self._connection: apsw.Connection | None = connection
        _hold_over_forks(self)

    def load(self) -> Saved:
        with self._lock, self._file.readable():
            connection = self._opened()
            try:
                reader = Reader(self._code_root)
                functions, layers = _functions(connection, reader), _layers(connection, reader)
                return Saved(functions, _next_versions(connection), _resources(connection), layers)
            except (KeyError, TypeError, ValueError) as error:
                raise self._file.damaged(f"a row says {error!r}") from error

    def write(self, edit: AnyEdit) -> None:
        with self._lock:
            connection = self._opened()
            try:
                connection.execute("BEGIN IMMEDIATE")
                _apply(connection, edit)
                connection.execute("COMMIT")
            except apsw.Error as error:
                roll_back(connection)
                raise ServiceException(
                    f"{edit.name} was not changed, because {self._path} could not be written: {error}"
                ) from error
            except BaseException:
                roll_back(connection)
                raise

    def close(self) -> None:
        """Close the file, its log folded into it; on a full disk the log stays, as good. Idempotent."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
            connection.close()

    def _create(self, connection: apsw.Connection) -> None:
        """Never beside bundles that an earlier catalog refers to: with that one lost, they would be removed too."""
        if any(self._code_root.glob(f"*{SUFFIX}")):
            raise self._file.damaged(f"it is empty, while {self._code_root} holds code of deployed functions")
        connection.execute(_TABLES + _PROVISIONED + _EVENT_INVOKE + _RESOURCES + _LAYERS)

    def _opened(self) -> apsw.Connection:
        if self._connection is None:
            raise EngineClosedError(f"the catalog at {self._path} is closed")
        return self._connection


def _upgrade(connection: apsw.Connection, version: int) -> None:
    """Schema 1 had no provisioned concurrency, 2 said nothing about events, and 3 had no resources and layers."""
    if version < 2:
        connection.execute(_PROVISIONED)
    if version < 3:
        connection.execute(_EVENT_INVOKE)
    connection.execute(_RESOURCES + _LAYERS)


def _functions(connection: apsw.Connection, reader: Reader) -> MappingProxyType[str, FunctionRecord]:
    versions: dict[str, dict[str, FunctionConfiguration]] = {}
    for name, version, body in connection.execute("SELECT name, version, body FROM versions ORDER BY name, version"):
        versions.setdefault(name, {})[str(version)] = reader.configuration(body)
    aliases: dict[str, dict[str, Alias]] = {}
    for name, alias, body in connection.execute("SELECT name, alias, body FROM aliases"):
        aliases.setdefault(name, {})[alias] = read_alias(body)
    provisioned: dict[str, dict[str, ProvisionedRequest]] = {}
    for name, qualifier, requested, modified in connection.execute("SELECT * FROM provisioned"):
        provisioned.setdefault(name, {})[qualifier] = ProvisionedRequest(requested, modified)
    records = {
        name: FunctionRecord(
            reader.configuration(latest),
            MappingProxyType(versions.get(name, {})),
            MappingProxyType(aliases.get(name, {})),
            next_version,
            reserved,
            None if published is None else reader.configuration(published),
            MappingProxyType(provisioned.get(name, {})),
        )
        for name, latest, published, next_version, reserved in connection.execute("SELECT * FROM functions")
    }
    for name, configs in _event_invoke(connection, records).items():
        records[name] = replace(records[name], event_invoke=MappingProxyType(configs))
    return MappingProxyType(records)


def _event_invoke(
    connection: apsw.Connection, records: Mapping[str, FunctionRecord]
) -> dict[str, dict[str, EventInvokeConfig]]:
    configs: dict[str, dict[str, EventInvokeConfig]] = {}
    for name, qualifier, *said in connection.execute("SELECT * FROM event_invoke"):
        arn = config_arn(records[name], qualifier)
        configs.setdefault(name, {})[qualifier] = EventInvokeConfig(arn, *said)
    return configs


def _next_versions(connection: apsw.Connection) -> dict[str, int]:
    rows = connection.execute("SELECT name, next_version FROM deleted ORDER BY position")
    return {str(name): int(next_version) for name, next_version in rows}


def _resources(connection: apsw.Connection) -> Resources:
    kinds: dict[str, dict[str, ResourceRecord]] = {}
    for kind, key, *said in connection.execute("SELECT * FROM resources"):
        record = kinds.setdefault(kind, {})[key] = ResourceRecord(kind, key, *said)
        record.resource()  # what cannot be read is found now, not by whoever asks for it
    return MappingProxyType({kind: MappingProxyType(there) for kind, there in kinds.items()})


def _layers(connection: apsw.Connection, reader: Reader) -> Layers:
    versions: dict[str, dict[int, LayerVersion]] = {}
    for name, version, body in connection.execute("SELECT * FROM layer_versions ORDER BY name, version"):
        versions.setdefault(name, {})[version] = reader.layer(body)
    rows = connection.execute("SELECT name, next_version FROM layers ORDER BY position")
    return MappingProxyType(
        {name: LayerRecord(MappingProxyType(versions.get(name, {})), next_version) for name, next_version in rows}
    )


def _apply(connection: apsw.Connection, edit: AnyEdit) -> None:
    if isinstance(edit, ResourceEdit):
        _put_resource(connection, edit)
    elif isinstance(edit, LayerEdit):
        _put_layer(connection, edit)
    else:
        _put_function(connection, edit)


def _put_resource(connection: apsw.Connection, edit: ResourceEdit) -> None:
    made = edit.after
    if made is None:
        connection.execute("DELETE FROM resources WHERE kind = ? AND key = ?", (edit.kind, edit.key))
        return
    row = made.kind, made.key, made.text, made.function, made.revision_id, made.last_modified_ms
    connection.execute("INSERT OR REPLACE INTO resources VALUES (?, ?, ?, ?, ?, ?)", row)


def _put_layer(connection: apsw.Connection, edit: LayerEdit) -> None:
    if edit.forgotten is not None:
        connection.execute("DELETE FROM layers WHERE name = ?", (edit.forgotten,))
    if edit.forgotten != edit.layer:
        row = edit.layer, edit.after.next_version
        connection.execute("INSERT OR REPLACE INTO layers (name, next_version) VALUES (?, ?)", row)
    before, after = edit.before.versions, edit.after.versions
    for number in before.keys() - after.keys():
        connection.execute("DELETE FROM layer_versions WHERE name = ? AND version = ?", (edit.layer, number))
    for number in after.keys() - before.keys():  # a version never changes
        text = layer_text(after[number])
        connection.execute("INSERT INTO layer_versions VALUES (?, ?, ?)", (edit.layer, number, text))


def _put_function(connection: apsw.Connection, edit: Edit) -> None:
    for owner in owners_gone(edit.name, edit.before, edit.after):
        of_its_qualifiers = f"{owner}:*"  # no name has a character that GLOB would read
        connection.execute("DELETE FROM resources WHERE function = ? OR function GLOB ?", (owner, of_its_qualifiers))
    if edit.after is None:
        for table in ("functions", "versions", "aliases", "provisioned", "event_invoke"):
            connection.execute(f"DELETE FROM {table} WHERE name = ?", (edit.name,))
    else:
        _put_record(connection, edit.name, edit.before, edit.after)
    if edit.forgotten is not None:
        connection.execute("DELETE FROM deleted WHERE name = ?", (edit.forgotten,))
    if edit.next_version is not None:
        connection.execute("DELETE FROM deleted WHERE name = ?", (edit.name,))
        connection.execute("INSERT INTO deleted (name, next_version) VALUES (?, ?)", (edit.name, edit.next_version))


def _put_record(connection: apsw.Connection, name: str, before: FunctionRecord | None, after: FunctionRecord) -> None:
    """Only what differs: a function may have thousands of versions."""
    published = None if after.published is None else configuration_text(after.published)
    row = (name, configuration_text(after.latest), published, after.next_version, after.reserved_concurrency)
    connection.execute(_PUT_FUNCTION, row)
    versions = {} if before is None else before.versions
    for number in versions.keys() - after.versions.keys():
        connection.execute("DELETE FROM versions WHERE name = ? AND version = ?", (name, int(number)))
    for number in after.versions.keys() - versions.keys():  # a version never changes
        text = configuration_text(after.versions[number])
        connection.execute("INSERT INTO versions VALUES (?, ?, ?)", (name, int(number), text))
    aliases = {} if before is None else before.aliases
    for alias in aliases.keys() - after.aliases.keys():
        connection.execute("DELETE FROM aliases WHERE name = ? AND alias = ?", (name, alias))
    for alias, made in after.aliases.items():
        if aliases.get(alias) is not made:
            connection.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?, ?)", (name, alias, alias_text(made)))
    provisioned = {} if before is None else before.provisioned
    for qualifier in provisioned.keys() - after.provisioned.keys():
        connection.execute("DELETE FROM provisioned WHERE name = ? AND qualifier = ?", (name, qualifier))
    for qualifier, asked in after.provisioned.items():
        if provisioned.get(qualifier) is not asked:
            made_of = name, qualifier, asked.requested, asked.last_modified
            connection.execute("INSERT OR REPLACE INTO provisioned VALUES (?, ?, ?, ?)", made_of)
    _put_event_invoke(connection, name, {} if before is None else before.event_invoke, after.event_invoke)


def _put_event_invoke(
    connection: apsw.Connection,
    name: str,
    before: Mapping[str, EventInvokeConfig],
    after: Mapping[str, EventInvokeConfig],
) -> None:
    for qualifier in before.keys() - after.keys():
        connection.execute("DELETE FROM event_invoke WHERE name = ? AND qualifier = ?", (name, qualifier))
    for qualifier, config in after.items():
        if before.get(qualifier) is not config:
            when, retries, age_s = config.last_modified, config.maximum_retry_attempts, config.maximum_event_age_s
            row = name, qualifier, when, retries, age_s, config.on_success, config.on_failure
            connection.execute("INSERT OR REPLACE INTO event_invoke VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def _hold_over_forks(database: CatalogDb) -> None:
    """Python keeps such callbacks for the life of the process, so this one keeps nothing alive."""
    known = weakref.ref(database._lock)

    def acquire() -> None:
        if (lock := known()) is not None:
            lock.acquire()

    def release() -> None:
        if (lock := known()) is not None:
            lock.release()

    os.register_at_fork(before=acquire, after_in_parent=release, after_in_child=release)
