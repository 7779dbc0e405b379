"""F1: sums per function, version, day, architecture, memory and region, and up to where segments are in them.

Both change in one transaction, so that no record is ever counted twice. SQLite in WAL mode; in memory for a temporary
engine. The prices of it are `bill.py`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import apsw

from ..errors import EngineError

By = Literal["function", "version", "day"]
# A temporary engine's rows are in memory: past this many the oldest day's join those of `EARLIER`.
ROWS_IN_MEMORY_MAX: Final = 100_000
EARLIER: Final = "earlier"
FORMAT: Final = 1


class RollupKey(NamedTuple):
    """`day` is an ISO date in UTC; in what `sums` gives, `version` is empty and `day` a month unless asked for."""

    function: str
    version: str
    day: str
    architecture: str
    memory_mb: int
    region: str


@dataclass(slots=True)
class Use:
    """What invocations used together. `ephemeral_mb_ms` counts what is above the 512 MB that cost nothing."""

    requests: int = 0
    failed: int = 0
    timed_out: int = 0
    exited: int = 0
    out_of_memory: int = 0
    cold_starts: int = 0
    billed_ms: int = 0
    mb_ms: int = 0
    ephemeral_mb_ms: int = 0
    init_ns: int = 0

    @property
    def errors(self) -> int:
        return self.failed + self.timed_out + self.exited + self.out_of_memory

    def add(self, other: Use) -> None:
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Position(NamedTuple):
    """Everything before `offset` of `segment` is in the sums, and every sequence number before `sequence`."""

    segment: int
    offset: int
    sequence: int


COUNTS: Final = tuple(field.name for field in fields(Use))
KEYS: Final = RollupKey._fields
SCHEMA: Final = f"""
CREATE TABLE rollups (
    function TEXT, version TEXT, day TEXT, architecture TEXT, memory_mb INTEGER, region TEXT,
    {", ".join(f"{name} INTEGER NOT NULL" for name in COUNTS)},
    PRIMARY KEY ({", ".join(KEYS)})) STRICT, WITHOUT ROWID;
CREATE TABLE position (
    only INTEGER PRIMARY KEY CHECK (only = 1), segment INTEGER, "offset" INTEGER, sequence INTEGER) STRICT;
PRAGMA user_version = {FORMAT};
"""
PLACES: Final = ", ".join("?" * len(KEYS + COUNTS))
ADDED: Final = ", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTS)
ADD: Final = f"INSERT INTO rollups VALUES ({PLACES}) ON CONFLICT DO UPDATE SET {ADDED}"


class Rollups:
    """The sums of one ledger; any thread. `path` None keeps them in memory. Raises EngineError for a damaged file."""

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self._lock = threading.Lock()
        self._in_memory = path is None
        self._path = path
        try:
            flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
            self._database = apsw.Connection(":memory:" if path is None else str(path), flags=flags)
            self._database.set_busy_timeout(5_000)
            self._check_format(read_only)
        except apsw.Error as error:
            broken = isinstance(error, apsw.NotADBError | apsw.CorruptError)
            way_out = "; move it away, and the segments that are left are counted anew" if broken else ""
            raise EngineError(f"{path} cannot be used: {error}{way_out}") from error

    def _check_format(self, read_only: bool) -> None:
        if not read_only:
            self._database.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
        found = self._database.execute("PRAGMA user_version").get
        if found == 0 and not read_only:
            with self._database:
                self._database.execute(SCHEMA)
        elif found != FORMAT:
            raise EngineError(f"{self._path} has format {found}, and this engine reads {FORMAT}: open it with its own")

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def position(self) -> Position:
        """Up to where segments are in the sums."""
        with self._lock:
            return self._position()

    def _position(self) -> Position:
        row = self._database.execute('SELECT segment, "offset", sequence FROM position').fetchone()
        return Position(0, 0, 0) if row is None else Position(*row)

    def add(self, uses: Mapping[RollupKey, Use], position: Position) -> None:
        """Add to the sums, and say up to where they go now: both or neither. Raises apsw.Error."""
        rows = [(*key, *(getattr(use, name) for name in COUNTS)) for key, use in uses.items()]
        with self._lock, self._database:
            self._database.executemany(ADD, rows)
            self._database.execute("INSERT OR REPLACE INTO position VALUES (1, ?, ?, ?)", position)
            if self._in_memory:
                self._fold()

    def sums(self, by: By, month: str | None = None) -> tuple[list[tuple[RollupKey, Use]], Position]:
        """Sums as fine as `by` asks for, of one month (`YYYY-MM`) or of all; and up to where they go."""
        version = "version" if by == "version" else "''"
        day = "day" if by == "day" else "substr(day, 1, 7)"
        totals = ", ".join(f"SUM({name})" for name in COUNTS)
        query = f"""SELECT function, {version}, {day}, architecture, 0, region, {totals} FROM rollups
            WHERE ?1 IS NULL OR substr(day, 1, 7) = ?1 GROUP BY 1, 2, 3, 4, 6"""
        with self._lock, self._database:
            rows: list[tuple[Any, ...]] = self._database.execute(query, (month,)).fetchall()
            position = self._position()
        return [(RollupKey(*row[: len(KEYS)]), Use(*row[len(KEYS) :])) for row in rows], position

    def _fold(self) -> None:
        while self._database.execute("SELECT COUNT(*) FROM rollups").get > ROWS_IN_MEMORY_MAX:
            oldest = self._database.execute("SELECT MIN(day) FROM rollups WHERE day <> ?", (EARLIER,)).get
            if oldest is None:
                return
            kept = ", ".join("?" if name == "day" else name for name in KEYS)
            moved = f"INSERT INTO rollups SELECT {kept}, {', '.join(COUNTS)} FROM rollups WHERE day = ?"
            self._database.execute(f"{moved} ON CONFLICT DO UPDATE SET {ADDED}", (EARLIER, oldest))
            self._database.execute("DELETE FROM rollups WHERE day = ?", (oldest,))


def add_up(rows: Iterable[tuple[RollupKey, Use]]) -> dict[RollupKey, Use]:
    """Rows of the same key together."""
    sums: dict[RollupKey, Use] = {}
    for key, use in rows:
        sums.setdefault(key, Use()).add(use)
    return sums
