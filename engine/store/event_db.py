"""F1: events in a SQLite file: what a write has returned for is there after `kill -9` and after a power cut.

Write-ahead log with `synchronous=FULL`, one transaction for each write however long: a commit of a thousand events
costs little more than that of one. Used by one thread of one process (see `event_keeper`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw

from ..errors import ServiceException
from .database import DatabaseFile, roll_back
from .event_store import Due, EventRow, Opening, ParcelRow, QueueRow, Step

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x494E5645  # "INVE"
BUSY_MS: Final = 10_000  # for the keeper of a killed engine, which ends once its last commit is done
CHECKPOINT_PAGES: Final = 512  # a log that is written over is synced twice as fast as one that grows
REMEDY: Final = "move it away, and with it the events that were accepted and not run"
TABLES: Final = """
CREATE TABLE queues(id INTEGER PRIMARY KEY, function TEXT NOT NULL, qualifier TEXT NOT NULL) STRICT;
CREATE TABLE events(
    seq INTEGER PRIMARY KEY, queue INTEGER NOT NULL, due_ms INTEGER NOT NULL, attempts INTEGER NOT NULL,
    accepted_ms INTEGER NOT NULL, request_id BLOB NOT NULL, extra BLOB NOT NULL, payload BLOB NOT NULL
) STRICT;
CREATE INDEX events_by_queue ON events(queue);
CREATE INDEX events_by_time ON events(due_ms) WHERE due_ms > 0;
CREATE TABLE parcels(
    id INTEGER PRIMARY KEY, queue INTEGER NOT NULL, due_ms INTEGER NOT NULL, attempts INTEGER NOT NULL,
    created_ms INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE INDEX parcels_by_time ON parcels(due_ms);
CREATE TABLE schedules(name TEXT PRIMARY KEY, body TEXT NOT NULL, position_ms INTEGER NOT NULL) STRICT;
"""
QUEUES: Final = """
SELECT id, function, qualifier, count(seq), coalesce(sum(length(payload) + length(extra)), 0), count(nullif(due_ms, 0))
FROM queues LEFT JOIN events ON queue = id GROUP BY id
"""
LAST: Final = """
SELECT max(number) FROM (SELECT 0 number UNION SELECT max(seq) FROM events UNION SELECT max(id) FROM parcels)
"""
# From queue to queue by the index: what is looked at are queues, not events, of which there may be a million.
OLDEST: Final = """
WITH RECURSIVE busy(id) AS (
    SELECT min(queue) FROM events
    UNION ALL SELECT (SELECT min(queue) FROM events WHERE queue > id) FROM busy WHERE id IS NOT NULL
)
SELECT id, (SELECT accepted_ms FROM events WHERE queue = id ORDER BY seq LIMIT 1) FROM busy WHERE id IS NOT NULL
"""
STATEMENTS: Final = {
    "append": "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "delay": "UPDATE events SET attempts = ?2, due_ms = ?3 WHERE seq = ?1",
    "send": "INSERT OR REPLACE INTO parcels VALUES (?, ?, ?, ?, ?, ?)",
}
RANGES: Final = {
    "remove": "DELETE FROM events WHERE seq BETWEEN ? AND ?",
    "sent": "DELETE FROM parcels WHERE id BETWEEN ? AND ?",
}
SINGLE: Final = {
    "queue": ("INSERT OR REPLACE INTO queues VALUES (?, ?, ?)",),
    "drop": ("DELETE FROM events WHERE queue = ?", "DELETE FROM queues WHERE id = ?"),
    "schedule": ("INSERT OR REPLACE INTO schedules VALUES (?, ?, ?)",),
    "position": ("UPDATE schedules SET position_ms = ?2 WHERE name = ?1",),
    "unschedule": ("DELETE FROM schedules WHERE name = ?",),
}


class EventDb:
    """See `event_store.EventStore`."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises `DataFolderError` for one that is damaged, newer or in use."""
        self._path = path
        file = DatabaseFile(path, APPLICATION_ID, SCHEMA_VERSION, "holds no events", REMEDY)
        self._connection = file.open(BUSY_MS, create=_create, upgrade=_upgrade)
        self._connection.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)

    def opening(self) -> Opening:
        run = self._connection.execute
        with self._told("read"):
            run("DELETE FROM events WHERE queue NOT IN (SELECT id FROM queues)")  # it was dropped as they arrived
            last = run(LAST)
            parcels = run("SELECT count(*) FROM parcels").get
            schedules = [(str(name), str(body), int(at)) for name, body, at in run("SELECT * FROM schedules")]
            return Opening(last.get, [QueueRow(*row) for row in run(QUEUES)], parcels, schedules)

    def write(self, steps: Sequence[Step]) -> None:
        with self._told("written"):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                for name, *arguments in steps:
                    self._step(name, arguments)
                self._connection.execute("COMMIT")
            except BaseException:
                roll_back(self._connection)
                raise

    def next_events(self, queue: int, after: int, most: int, most_bytes: int) -> list[EventRow]:
        where = "SELECT * FROM events WHERE queue = ? AND seq > ? AND due_ms = 0 ORDER BY seq LIMIT ?"
        return self._events(where, (queue, after, most), most_bytes)

    def due_events(self, now_ms: int, most: int, most_bytes: int, but: Sequence[int]) -> Due:
        free = f"due_ms > 0 AND seq NOT IN ({_list(but)})"
        where = f"SELECT * FROM events WHERE {free} AND due_ms <= ? ORDER BY due_ms, seq LIMIT ?"
        rows = self._events(where, (now_ms, most), most_bytes)
        free = f"due_ms > 0 AND seq NOT IN ({_list([*but, *(row.seq for row in rows)])})"
        with self._told("read"):
            return Due(rows, self._connection.execute(f"SELECT min(due_ms) FROM events WHERE {free}").get)

    def due_parcels(self, now_ms: int, most: int, but: Sequence[int]) -> Due:
        run = self._connection.execute
        with self._told("read"):
            found = run(
                f"SELECT * FROM parcels WHERE due_ms <= ? AND id NOT IN ({_list(but)}) ORDER BY due_ms, id LIMIT ?",
                (now_ms, most),
            )
            rows = [ParcelRow(*row) for row in found]
            taken = _list([*but, *(row.id for row in rows)])
            return Due(rows, run(f"SELECT min(due_ms) FROM parcels WHERE id NOT IN ({taken})").get)

    def oldest_ms(self) -> dict[int, int]:
        with self._told("read"):
            return {int(queue): int(at) for queue, at in self._connection.execute(OLDEST)}

    def close(self) -> None:
        self._connection.close()

    def _step(self, name: str, arguments: list[Any]) -> None:
        run = self._connection
        if name in RANGES:
            run.executemany(RANGES[name], _ranges(arguments[0]))
        elif name in STATEMENTS:
            run.executemany(STATEMENTS[name], arguments[0])
        else:
            for statement in SINGLE[name]:
                run.execute(statement, arguments)

    def _events(self, statement: str, bindings: tuple[int, ...], most_bytes: int) -> list[EventRow]:
        rows: list[EventRow] = []
        length = 0
        with self._told("read"):
            for found in self._connection.execute(statement, bindings):
                row = EventRow(*found)
                rows.append(row)
                length += len(row.payload) + len(row.extra)
                if length >= most_bytes:
                    break
        return rows

    @contextmanager
    def _told(self, done: str) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            raise ServiceException(f"the event queue at {self._path} could not be {done}: {error}") from error


def _create(connection: apsw.Connection) -> None:
    connection.execute(TABLES)


def _upgrade(connection: apsw.Connection, version: int) -> None:
    raise AssertionError(f"there was no schema {version} of events before {SCHEMA_VERSION}")


def _list(numbers: Sequence[int]) -> str:
    """Numbers as SQL says them; there may be more than a statement takes bindings."""
    return ",".join(str(int(number)) for number in numbers)


def _ranges(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of numbers without a gap."""
    first = last = None
    for number in sorted(numbers):
        if last is not None and number <= last + 1:
            last = number
            continue
        if first is not None and last is not None:
            yield first, last
        first = last = number
    if first is not None and last is not None:
        yield first, last
