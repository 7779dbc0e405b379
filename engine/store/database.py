"""F1: a SQLite file of the data folder: opened, known for what it is, and refused with the way out. Not what is in it.

Write-ahead log with `synchronous=FULL`: a commit returns once its frames are on disk. `locking_mode=EXCLUSIVE`: the
data folder has one engine, and without the shared-memory file a full disk is an error, not a signal.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw

from ..errors import DataFolderError
from .markers import sync_folder


@dataclass(frozen=True, slots=True)
class DatabaseFile:
    """What a file must be. `stranger` says what it is not that has another application's id, `remedy` what to do about
    a damaged one when there is no copy of it."""

    path: Path
    application_id: int
    schema_version: int
    stranger: str
    remedy: str

    def open(
        self,
        busy_ms: int,
        *,
        create: Callable[[apsw.Connection], None],
        upgrade: Callable[[apsw.Connection, int], None],
    ) -> apsw.Connection:
        """Open or make the file; `create` makes its tables, `upgrade` takes over those of an older version, each
        within a transaction. Raises `DataFolderError` for one that is damaged, newer or in use."""
        with self.readable():
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # it may hold secrets
            connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                self._prepare(connection, busy_ms, create, upgrade)
            except BaseException:
                connection.close()
                raise
        return connection

    def _prepare(
        self,
        connection: apsw.Connection,
        busy_ms: int,
        create: Callable[[apsw.Connection], None],
        upgrade: Callable[[apsw.Connection, int], None],
    ) -> None:
        connection.set_busy_timeout(busy_ms)
        connection.pragma("locking_mode", "EXCLUSIVE")
        connection.pragma("journal_mode", "WAL")
        connection.pragma("synchronous", "FULL")
        version = connection.pragma("user_version")
        if version == 0 and connection.pragma("schema_version") == 0:
            connection.execute("BEGIN IMMEDIATE")
            create(connection)
            connection.pragma("application_id", self.application_id)
            self._finish(connection)
            sync_folder(self.path.parent)
            return
        self._check(connection, version)
        if version < self.schema_version:
            connection.execute("BEGIN IMMEDIATE")
            upgrade(connection, version)
            self._finish(connection)

    def _check(self, connection: apsw.Connection, version: int) -> None:
        if connection.pragma("application_id") != self.application_id:
            raise DataFolderError(f"{self.path} {self.stranger}: move it away, or give another data_dir")
        if version > self.schema_version:
            raise DataFolderError(
                f"{self.path} was written by a newer invocation-engine (its schema is {version}, this one reads "
                f"{self.schema_version}): upgrade invocation-engine, or give another data_dir"
            )
        found = connection.pragma("quick_check", 1)
        if found != "ok":
            raise self.damaged(str(found))

    def _finish(self, connection: apsw.Connection) -> None:
        connection.pragma("user_version", self.schema_version)
        connection.execute("COMMIT")

    def damaged(self, why: str) -> DataFolderError:
        return DataFolderError(f"{self.path} is damaged ({why}): put a copy of it back, or {self.remedy}")

    @contextmanager
    def readable(self) -> Iterator[None]:
        """What keeps the file from being opened or read, as `DataFolderError`."""
        try:
            yield
        except (apsw.BusyError, apsw.LockedError) as error:
            raise DataFolderError(f"another program has {self.path} open: close it there") from error
        except (apsw.NotADBError, apsw.CorruptError) as error:
            raise self.damaged(str(error)) from error
        except (apsw.Error, OSError) as error:
            raise DataFolderError(
                f"{self.path} cannot be opened ({error}): see to the disk and to who may read it, or give another "
                "data_dir"
            ) from error


def roll_back(connection: apsw.Connection) -> None:
    """Undo what was begun, if anything."""
    if connection.in_transaction:  # SQLite has rolled some failures back by itself
        connection.execute("ROLLBACK")
