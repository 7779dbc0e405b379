"""F1: the ledger of one engine: its thread makes records durable in groups and adds them up. Formats are elsewhere.

Records come in through `journal` without a system call. While invocations run, the thread takes what there is every
20 ms, writes and syncs it, and only then counts it; an idle engine's thread sleeps. Sums are saved with the position
that they go up to, so that opening again goes on exactly there. Without a folder the same is done without files.
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import apsw

from .._ext.journal import RECORD_BYTES, Chunk, Journal, Tally
from .._ext.series import Minutes
from ..errors import EngineClosedError, ServiceException
from . import segments
from .replay import key_of, replay, uses_of
from .rollups import Configured, Position, RollupKey, Rollups, Use
from .segment_writer import SegmentWriter, truncate
from .segments import Source
from .series import Series

BACKLOG_BYTES: Final = 67_108_864
INTERVAL_S: Final = 0.02
CHECKPOINT_S: Final = 5.0
TALLY_ROWS_MAX: Final = 65_536
MINUTES_ROWS_MAX: Final = 4_096  # each with 4 KB of buckets
PAUSE_FIRST_S, PAUSE_MOST_S = 0.05, 1.0  # between attempts to write
CLOSE_PATIENCE_S: Final = 2.0  # for a disk that fails while the engine closes
ROLLUPS: Final = "rollups.db"

log = logging.getLogger("engine.ledger")


class InvocationLedger:
    """`folder` None: sums only, in memory. `busy` says whether invocations run, so that there may soon be records."""

    def __init__(
        self, folder: Path | None, *, ledger_bytes: int, busy: Callable[[], bool], backlog_bytes: int = BACKLOG_BYTES
    ) -> None:
        self._busy = busy
        self._sources: list[Source] = []
        self._numbers: dict[Source, int] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._give_up_at = float("inf")
        self._asked = self._answered = 0
        self._lost = self._told_lost = 0
        self._tally = Tally()
        self._minutes = Minutes()
        self.series = Series()
        self._uses: dict[RollupKey, Use] = {}
        self._charged: dict[RollupKey, int] = {}
        self._unsaved = ""
        self._saved_at = self._began = 0.0
        position, self._writer = self._open(folder, ledger_bytes)
        self.journal = Journal(backlog_bytes // RECORD_BYTES, position.sequence)
        self._saved = position
        if self._writer is not None:
            self.journal.where = str(self._writer.path)
        self._thread = threading.Thread(target=self._run, name="engine-ledger", daemon=True)
        self._thread.start()

    # --- for the engine -----------------------------------------------------------------------------------------------

    def source(self, source: Source) -> int:
        """The number that records of this configuration carry. One per distinct configuration, for good."""
        with self._changed:
            if source not in self._numbers:
                self._sources.append(source)
                self._numbers[source] = len(self._sources) - 1
            return self._numbers[source]

    def wake(self) -> None:
        """Invocations run again after a quiet time."""
        self.journal.set_clock()
        with self._changed:
            self._changed.notify_all()

    def configure(self, provisioned: Iterable[Configured]) -> None:
        """This is provisioned from now on. Where that cannot be written, the log says so, and what was before stays."""
        try:
            self.rollups.configure(provisioned, time.time_ns() // 1_000_000)
        except apsw.Error as error:
            log.warning("the ledger cannot be told what is provisioned: %s: %s", ROLLUPS, error)

    def charge_requests(self, source: int, requests: int) -> None:
        """Count requests that are no invocations of their own; durable with the next sums, within `INTERVAL_S`."""
        with self._changed:
            key = key_of(self._sources[source], time.time_ns() // 86_400_000_000_000)
            self._charged[key] = self._charged.get(key, 0) + requests
            self._changed.notify_all()

    def flush(self) -> None:
        """Return once all that has ended is durable and in the sums. Raises ServiceException when the disk fails."""
        with self._changed:
            if self._closing:
                raise EngineClosedError("the ledger is closed with its engine")
            self._asked += 1
            ticket = self._asked
            self._changed.notify_all()
            while self._answered < ticket and not self.journal.trouble:
                self._changed.wait()
            trouble = self.journal.trouble or self._unsaved
        if trouble:
            raise ServiceException(f"the ledger cannot be written: {trouble}; it is tried again until it can")

    def close(self) -> None:
        """Write what is left and end. Raises ServiceException when that could not be done."""
        with self._changed:
            self._closing = True
            self._give_up_at = time.monotonic() + CLOSE_PATIENCE_S
            self._changed.notify_all()
        self._thread.join()
        self.rollups.close()
        if self._writer is not None:
            self._writer.close()
        if self._lost:
            raise ServiceException(
                f"the engine is closed, but its last {self._lost} records are lost: {self.journal.trouble}"
            )

    # --- opening ------------------------------------------------------------------------------------------------------

    def _open(self, folder: Path | None, ledger_bytes: int) -> tuple[Position, SegmentWriter | None]:
        """Count what the last engine here had written and not counted; cut off what it had not finished."""
        if folder is None:
            self.rollups = Rollups(None)
            return Position(0, 0, 0), None
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.rollups = Rollups(folder / ROLLUPS)
        start = self.rollups.position()
        replayed = replay(folder, start)
        position = replayed.position
        last = segments.path_of(folder, position.segment)
        tails = {path: damage for path, damage in replayed.damage if damage.is_tail}
        if last in tails:
            truncate(last, position.offset)
        if replayed.uses or position != start:
            try:
                self.rollups.add(replayed.uses, position)
            except apsw.Error as error:
                self.rollups.close()
                raise ServiceException(f"the ledger cannot be opened: {folder / ROLLUPS}: {error}") from error
        for path, damage in replayed.damage:
            told = "cut off" if path == last and damage.is_tail else "left out"
            warnings.warn(
                f"{path}: {damage.end - damage.offset} damaged bytes at {damage.offset} were {told}",
                RuntimeWarning,
                stacklevel=2,
            )
        return position, SegmentWriter(folder, position.segment, position.offset, ledger_bytes)

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                self._cycle()
            self._cycle()
        except BaseException as error:
            self._say_trouble(f"the ledger's thread has ended: {error!r}")
            raise

    def _wait_for_work(self) -> bool:
        """Until it is time to take what there is. False when the engine closes."""
        with self._changed:
            while not self._closing and self._asked == self._answered:
                left_s: float | None = None
                if self._busy() or self.journal.appended > self.journal.settled or self._tally.count or self._charged:
                    left_s = self._began + INTERVAL_S - time.monotonic()
                    if left_s <= 0:
                        return True
                self._changed.wait(left_s)
            return not self._closing

    def _cycle(self) -> None:
        """Make all that there is durable, then count it; save the sums when it is time to."""
        self._began = time.monotonic()
        asked = self._asked
        for chunk in self.journal.take():
            self._commit(chunk)
        if self.journal.lost > self._told_lost:
            self._told_lost = self.journal.lost
            log.error("no memory: %d records in all are not in the ledger", self._told_lost)
        if self._is_time_to_save(asked):
            self._save()
            self._tell_series()
        elif self._minutes.count > MINUTES_ROWS_MAX:
            self._tell_series()
        with self._changed:
            self._answered = asked
            self._changed.notify_all()

    def _is_time_to_save(self, asked: int) -> bool:
        if not self._tally.count and not self._uses and not self._charged:
            return False
        soon = self._closing or bool(self._charged) or asked > self._answered or not self._busy()
        return soon or self._tally.count > TALLY_ROWS_MAX or self._began - self._saved_at > CHECKPOINT_S

    def _commit(self, chunk: Chunk) -> None:
        pause_s = PAUSE_FIRST_S
        while not self._write(chunk):
            if time.monotonic() > self._give_up_at:
                self._lost += chunk.count
                return
            with self._changed:
                self._changed.wait(pause_s)
            pause_s = min(PAUSE_MOST_S, pause_s * 2)
        chunk.count_into(self._tally)
        self._minutes.add_chunk(chunk)
        self.journal.settle(chunk)

    def _write(self, chunk: Chunk) -> bool:
        """Whether the chunk is durable now."""
        writer = self._writer
        if writer is None:
            return True
        if writer.is_full:
            self._save()
            writer.rotate()
        self.journal.where = where = str(writer.path)
        try:
            if writer.offset == 0:
                writer.remove_oldest(self._saved.segment)
            writer.append(chunk, self._sources)
        except OSError as error:
            self._say_trouble(f"{where}: {error.strerror}")
            return False
        if self.journal.trouble:
            log.warning("the ledger is written again: %s", where)
            self.journal.trouble = ""
        return True

    def _say_trouble(self, trouble: str) -> None:
        with self._changed:
            if trouble != self.journal.trouble:
                log.warning("the ledger cannot be written: %s; it is tried again until it can", trouble)
            self.journal.trouble = trouble
            self._changed.notify_all()

    def _tell_series(self) -> None:
        """Have what was counted among the metrics."""
        for number, minute, invocations, errors, provisioned, durations in self._minutes.drain():
            source = self._sources[number]
            key = source.function, source.version
            self.series.add_invocations(*key, minute, invocations, errors, provisioned, durations)

    def _save(self) -> None:
        """Save the sums and how far they go. Where that fails they are kept: the next attempt saves them too."""
        for key, use in uses_of(self._tally, dict(enumerate(self._sources))):
            self._uses.setdefault(key, Use()).add(use)
        with self._changed:
            charged, self._charged = self._charged, {}
        for key, requests in charged.items():
            self._uses.setdefault(key, Use()).add(Use(requests))
        self._saved_at = time.monotonic()
        writer = self._writer
        position = Position(writer.number, writer.offset, self.journal.settled) if writer else self._saved
        try:
            self.rollups.add(self._uses, position)
        except apsw.Error as error:
            self._unsaved = f"{ROLLUPS}: {error}"
            log.warning("the ledger's sums cannot be saved: %s", self._unsaved)
            return
        self._uses = {}
        self._unsaved = ""
        self._saved = position
        if writer:
            writer.restate()
