"""F1: sums per function, version, day, architecture, memory and region, and up to where segments are in them.

Both change in one transaction, so that no record is ever counted twice. SQLite in WAL mode; in memory for a temporary
engine. The prices of it are `bill.py`'s.

Provisioned concurrency counts by the time for which it is configured. One row says since when that is; its time joins
the sums in the transaction that ends or changes the row, and until then `sums` works it out. So a kill costs nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import apsw

from ..errors import EngineError

By = Literal["function", "version", "day"]
# A temporary engine's rows are in memory: past this many the oldest day's join those of `EARLIER`.
ROWS_IN_MEMORY_MAX: Final = 100_000
EARLIER: Final = "earlier"
CONFIGURED_STEP_MS: Final = 300_000  # https://aws.amazon.com/lambda/pricing/: rounded up to the nearest five minutes
DAY_MS: Final = 86_400_000
EPOCH: Final = date(1970, 1, 1)
FORMAT: Final = 2


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
    """What invocations used together. `ephemeral_mb_ms` counts what is above the 512 MB that cost nothing.

    Of `requests` and `mb_ms` a part ran on provisioned environments: `provisioned_requests`, `provisioned_mb_ms`.
    `configured_mb_ms` is what was provisioned, used or not.
    """

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
    provisioned_requests: int = 0
    provisioned_mb_ms: int = 0
    configured_mb_ms: int = 0

    @property
    def errors(self) -> int:
        return self.failed + self.timed_out + self.exited + self.out_of_memory

    def add(self, other: Use) -> None:
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Configured(NamedTuple):
    """Provisioned concurrency of one version: `units` environments of `memory_mb`."""

    function: str
    version: str
    architecture: str
    memory_mb: int
    region: str
    units: int


class Position(NamedTuple):
    """Everything before `offset` of `segment` is in the sums, and every sequence number before `sequence`."""

    segment: int
    offset: int
    sequence: int


COUNTS: Final = tuple(field.name for field in fields(Use))
KEYS: Final = RollupKey._fields
CONFIGURED: Final = """
CREATE TABLE configured (
    function TEXT, version TEXT, architecture TEXT, memory_mb INTEGER, region TEXT, units INTEGER, enabled_ms INTEGER,
    begin_ms INTEGER, PRIMARY KEY (function, version)) STRICT, WITHOUT ROWID;
"""
NEW_COUNTS: Final = ("provisioned_requests", "provisioned_mb_ms", "configured_mb_ms")  # since format 2
UPGRADE: Final = (
    "".join(f"ALTER TABLE rollups ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0;" for name in NEW_COUNTS) + CONFIGURED
)
SCHEMA: Final = f"""
CREATE TABLE rollups (
    function TEXT, version TEXT, day TEXT, architecture TEXT, memory_mb INTEGER, region TEXT,
    {", ".join(f"{name} INTEGER NOT NULL" for name in COUNTS)},
    PRIMARY KEY ({", ".join(KEYS)})) STRICT, WITHOUT ROWID;
CREATE TABLE position (
    only INTEGER PRIMARY KEY CHECK (only = 1), segment INTEGER, "offset" INTEGER, sequence INTEGER) STRICT;
{CONFIGURED}
PRAGMA user_version = {FORMAT};
"""
PLACES: Final = ", ".join("?" * len(KEYS + COUNTS))
ADDED: Final = ", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTS)
OPEN: Final = "INSERT INTO configured VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
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
        elif found == 1 and not read_only:
            with self._database:
                self._database.execute(f"{UPGRADE} PRAGMA user_version = {FORMAT}")
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

    def configure(self, wanted: Iterable[Configured], now_ms: int) -> None:
        """From now on (Unix time) this is what is provisioned, and nothing else. Raises apsw.Error.

        What is no longer there is counted to the end of its five minutes; what only changes goes on in them.
        """
        left = {(each.function, each.version): each for each in wanted}
        with self._lock, self._database:
            for old, enabled_ms, begin_ms in self._configured():
                new = left.pop((old.function, old.version), None)
                if new == old:
                    continue
                end_ms = billed_until(enabled_ms, now_ms) if new is None else max(begin_ms, now_ms)
                self._count_configured(old, begin_ms, end_ms)
                self._database.execute("DELETE FROM configured WHERE function = ? AND version = ?", old[:2])
                if new is not None:
                    self._database.execute(OPEN, (*new, enabled_ms, end_ms))
            for new in left.values():
                self._database.execute(OPEN, (*new, now_ms, now_ms))

    def _configured(self) -> list[tuple[Configured, int, int]]:
        """What is provisioned now, since when, and from when on it is not in the sums yet."""
        rows: list[tuple[Any, ...]] = self._database.execute("SELECT * FROM configured").fetchall()
        return [(Configured(*row[:-2]), row[-2], row[-1]) for row in rows]

    def _count_configured(self, what: Configured, begin_ms: int, end_ms: int) -> None:
        uses = configured_uses(what, begin_ms, end_ms)
        self._database.executemany(ADD, [(*key, *(getattr(use, name) for name in COUNTS)) for key, use in uses])

    def sums(
        self, by: By, month: str | None = None, *, now_ms: int | None = None
    ) -> tuple[list[tuple[RollupKey, Use]], Position]:
        """Sums as fine as `by` asks for, of one month (`YYYY-MM`) or of all; and up to where they go.

        What is provisioned is counted to the end of the five minutes that now is in.
        """
        until_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        version = "version" if by == "version" else "''"
        day = "day" if by == "day" else "substr(day, 1, 7)"
        totals = ", ".join(f"SUM({name})" for name in COUNTS)
        query = f"""SELECT function, {version}, {day}, architecture, 0, region, {totals} FROM rollups
            WHERE ?1 IS NULL OR substr(day, 1, 7) = ?1 GROUP BY 1, 2, 3, 4, 6"""
        with self._lock, self._database:
            rows: list[tuple[Any, ...]] = self._database.execute(query, (month,)).fetchall()
            position, configured = self._position(), self._configured()
        sums = [(RollupKey(*row[: len(KEYS)]), Use(*row[len(KEYS) :])) for row in rows]
        for what, enabled_ms, begin_ms in configured:
            uses = configured_uses(what, begin_ms, billed_until(enabled_ms, until_ms))
            sums += [(key, use) for key, use in uses if month in (None, key.day[:7])]
        return sums, position

    def _fold(self) -> None:
        while self._database.execute("SELECT COUNT(*) FROM rollups").get > ROWS_IN_MEMORY_MAX:
            oldest = self._database.execute("SELECT MIN(day) FROM rollups WHERE day <> ?", (EARLIER,)).get
            if oldest is None:
                return
            kept = ", ".join("?" if name == "day" else name for name in KEYS)
            moved = f"INSERT INTO rollups SELECT {kept}, {', '.join(COUNTS)} FROM rollups WHERE day = ?"
            self._database.execute(f"{moved} ON CONFLICT DO UPDATE SET {ADDED}", (EARLIER, oldest))
            self._database.execute("DELETE FROM rollups WHERE day = ?", (oldest,))


def billed_until(enabled_ms: int, now_ms: int) -> int:
    """The end of the five minutes, counted from when it was enabled, that now is in; the first begin at once."""
    steps = max(1, -(-(now_ms - enabled_ms) // CONFIGURED_STEP_MS))
    return enabled_ms + steps * CONFIGURED_STEP_MS


def configured_uses(what: Configured, begin_ms: int, end_ms: int) -> Iterator[tuple[RollupKey, Use]]:
    """What was provisioned from one Unix time to another, by UTC day."""
    while begin_ms < end_ms:
        day = begin_ms // DAY_MS
        until_ms = min(end_ms, (day + 1) * DAY_MS)
        day_text = (EPOCH + timedelta(days=day)).isoformat()
        key = RollupKey(what.function, what.version, day_text, what.architecture, what.memory_mb, what.region)
        yield key, Use(configured_mb_ms=(until_ms - begin_ms) * what.memory_mb * what.units)
        begin_ms = until_ms


def add_up(rows: Iterable[tuple[RollupKey, Use]]) -> dict[RollupKey, Use]:
    """Rows of the same key together."""
    sums: dict[RollupKey, Use] = {}
    for key, use in rows:
        sums.setdefault(key, Use()).add(use)
    return sums
