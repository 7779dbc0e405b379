"""F1: the log of one function version: what its environments printed, and how records of the ledger read as lines."""

from __future__ import annotations

import re
import secrets
import uuid
from collections import OrderedDict, deque
from typing import cast

from .._ext.environment import Environment
from .._ext.meter import Ledger
from .._ext.result import STARTS, uuid_text
from ..config import LEDGER_RECORDS, LOG_TAIL_BYTES
from ..errors import InvalidParameterValueException
from ..model import LogEvent, LogPage
from ..states import Outcome
from . import render, report
from .record import InvocationRecord, LogStyle, Start

NOTES_MAX = 10_000
NEVER_NS = 1 << 62
UNKNOWN = "", render.TEXT, ""  # of an environment whose stream is forgotten
CURSOR = re.compile(r"([0-9a-f]{8})\.(\d{1,19})\.(\d{1,19})")


def began_ms(record: InvocationRecord) -> int:
    """Unix time of the first event of a record."""
    return record.init_started_ms if record.restore_ns is None else record.started_ms - record.restore_ns // 1_000_000


class LogBook:
    """Text by record number, and notes that belong to no invocation. Bounded: the oldest text goes first.

    `wall_offset_ns` is what to add to CLOCK_MONOTONIC to get Unix time.
    """

    def __init__(
        self, name: str, version: str, ledger: Ledger, *, runtime_version: str, wall_offset_ns: int, text_bytes_max: int
    ) -> None:
        self._name = name
        self._version = version
        self._ledger = ledger
        self._runtime_version = runtime_version
        self._wall_offset_ns = wall_offset_ns
        self._text_bytes_max = text_bytes_max
        self._text_bytes = 0
        self.texts: OrderedDict[int, tuple[bytes, int]] = OrderedDict()  # by record number; of inits by -serial
        self._streams: OrderedDict[int, tuple[str, LogStyle, str]] = OrderedDict()
        self._notes: deque[tuple[int, LogEvent]] = deque()
        self._note_bytes = 0
        self._noted = 0
        self._cleared = 0  # records before this one are told no more
        self.key = secrets.token_hex(4)

    def open_stream(self, serial: int, stream: str, style: LogStyle = render.TEXT, tenant_id: str = "") -> None:
        """Name the stream of an environment, how the platform writes to it, which may change in `$LATEST`, and whose
        it is."""
        self._streams[serial] = stream, style, tenant_id
        if len(self._streams) > LEDGER_RECORDS:
            self._streams.popitem(last=False)

    def keep(self, number: int, text: bytes, dropped: int) -> None:
        """Remember what was printed during the invocation with this record number."""
        self.texts[number] = (text, dropped)
        self.kept(len(text))

    def kept(self, length: int) -> None:
        """So much was put into `texts`: `Lane.answer` puts it there in the step that appends the record."""
        self._text_bytes += length
        self._forget_oldest()

    def keep_init(self, serial: int, text: bytes, dropped: int) -> None:
        """Remember what an environment printed during its init: its first invocation shows it."""
        self.keep(-serial, text, dropped)

    def note_init(self, before: int, monotonic_ns: int, environment: Environment) -> None:
        """An environment was initialised ahead of its invocations, none of which will show its init."""
        began_ns = monotonic_ns - environment.init_ns
        style, record = self._style(environment.serial), self._init_record(environment, monotonic_ns)
        for message in render.init_ahead(style, record):
            self.note(before, began_ns, environment.stream, message)
        text, dropped = self.texts.pop(-environment.serial, (b"", 0))
        self._text_bytes -= len(text)
        for message in render.own_lines(text.decode("utf-8", "replace"), style):
            self.note(before, monotonic_ns, environment.stream, message)
        if dropped:
            self.note(before, monotonic_ns, environment.stream, report.dropped_line(dropped))
        for message in render.init_ahead_done(style, record):
            self.note(before, monotonic_ns, environment.stream, message)

    def note_failed_init(
        self, before: int, monotonic_ns: int, environment: Environment, status: str, error_type: str | None
    ) -> None:
        """An environment could not be initialised; `status` is error or timeout."""
        took_ns, start = environment.init_ns or monotonic_ns - environment.spawned_ns, STARTS[environment.start_code]
        style, wall_ms = self._style(environment.serial), self._wall_ms(monotonic_ns)
        message = render.init_failed(style, wall_ms, took_ns, start, status, error_type)
        self.note(before, monotonic_ns, environment.stream, message)

    def _style(self, serial: int) -> LogStyle:
        return self._streams.get(serial, UNKNOWN)[1]

    def rendered(self, number: int) -> list[LogEvent]:
        """One record, in the style of the environment that wrote it. Raises IndexError when it is no longer held."""
        return render.render(self.record(number), self._style(self._ledger.row(number)[8]))

    def _init_record(self, environment: Environment, monotonic_ns: int) -> InvocationRecord:
        """An init without an invocation, as if one began and ended with it."""
        return InvocationRecord(
            request_id="",
            function_name=self._name,
            version=self._version,
            stream=environment.stream,
            start=cast(Start, STARTS[environment.start_code]),
            queued_ns=monotonic_ns,
            claimed_ns=monotonic_ns,
            done_ns=monotonic_ns,
            wall_ms=self._wall_ms(monotonic_ns),
            duration_ns=0,
            init_ns=environment.init_ns,
            billed_ms=0,
            memory_mb=0,
            max_memory_mb=0,
            runtime_version=self._runtime_version,
        )

    def _forget_oldest(self) -> None:
        while self._text_bytes > self._text_bytes_max or len(self.texts) > LEDGER_RECORDS:
            _, (oldest, _) = self.texts.popitem(last=False)
            self._text_bytes -= len(oldest)

    def note(self, before: int, monotonic_ns: int, stream: str, message: str) -> None:
        """A line of the platform's own, shown before the record with this number."""
        self._notes.append((before, LogEvent(self._wall_ms(monotonic_ns), stream, message)))
        self._note_bytes += len(message)
        self._noted += 1
        while len(self._notes) > NOTES_MAX or self._note_bytes > self._text_bytes_max:
            self._note_bytes -= len(self._notes.popleft()[1].message)

    def clear(self) -> None:
        """Forget all that was logged until now. What is logged later is kept."""
        self._cleared = self._ledger.appended
        self.texts.clear()
        self._notes.clear()
        self._text_bytes = self._note_bytes = 0

    @property
    def oldest(self) -> int:
        """The number of the oldest record that is told."""
        return max(self._ledger.oldest, self._cleared)

    @property
    def ends(self) -> tuple[int, int]:
        """The numbers that the next record and the next note get."""
        return self._ledger.appended, self._noted

    @property
    def stored_bytes(self) -> int:
        """Of text that is held."""
        return self._text_bytes + self._note_bytes

    def numbered_notes(self) -> tuple[int, list[tuple[int, LogEvent]]]:
        """Notes with the number of the record that each comes before, and the number of the first note."""
        notes = list(self._notes)
        return self._noted - len(notes), notes

    def seek(self, number: int, from_ms: int, until_ms: int, serial: int, *, back: bool = False) -> int | None:
        """The first record from `number` on, or the last before it, that has to do with a time (Unix, `until_ms` not
        included) and an environment (0: any)."""
        from_ns = min(max(0, from_ms * 1_000_000 - self._wall_offset_ns), NEVER_NS)
        until_ns = min(max(0, until_ms * 1_000_000 - self._wall_offset_ns), NEVER_NS)
        if back:
            found = self._ledger.seek_back(number, self.oldest, from_ns, until_ns, serial)
            return None if found < 0 else found
        end = self._ledger.appended
        found = self._ledger.seek(max(number, self.oldest), end, from_ns, until_ns, serial)
        return None if found >= end else found

    def serial_of(self, stream: str) -> int | None:
        """The environment whose stream this is."""
        return next((serial for serial, (name, *_) in self._streams.items() if name == stream), None)

    def spans(self) -> dict[str, tuple[int, int]]:
        """When each stream's first and last event were, as far as they are held: Unix time."""
        found = {
            self._streams[serial][0]: (began_ms(self.record(first)), self.record(last).wall_ms)
            for serial, (first, last) in self._ledger.environments(self.oldest).items()
            if serial in self._streams
        }
        for _, event in list(self._notes):
            first_ms, last_ms = found.get(event.stream, (event.timestamp_ms, event.timestamp_ms))
            found[event.stream] = min(first_ms, event.timestamp_ms), max(last_ms, event.timestamp_ms)
        return found

    def tail(self, number: int) -> str:
        """The last 4 KB of one invocation's log, as text."""
        lines = "\n".join(event.message for event in self.rendered(number)) + "\n"
        return lines.encode()[-LOG_TAIL_BYTES:].decode("utf-8", "ignore")

    def events(self, *, limit: int | None = None) -> list[LogEvent]:
        """What is still held, oldest first; of that the newest `limit`. Only what is told is rendered."""
        return self._events(self.oldest, self._ledger.appended, list(self._notes), limit)

    def page(self, cursor: str = "", *, limit: int | None = None) -> LogPage:
        """What came after the page that gave `cursor`, and is still held; of that the newest `limit`.

        A cursor of another book, as of a function that was deleted and made anew, counts as none.
        """
        first, seen_notes = self._read_cursor(cursor)
        end, noted, notes = self._ledger.appended, self._noted, list(self._notes)
        new_notes = notes[max(0, len(notes) - (noted - seen_notes)) :]
        events = self._events(max(first, self.oldest), end, new_notes, limit)
        return LogPage(tuple(events), f"{self.key}.{end}.{noted}")

    def _read_cursor(self, cursor: str) -> tuple[int, int]:
        """(records, notes) that were told already. Raises InvalidParameterValueException."""
        if not cursor:
            return 0, 0
        match = CURSOR.fullmatch(cursor)
        if match is None:
            raise InvalidParameterValueException(f"cursor={cursor!r} is none: give back what the last page had")
        return (int(match[2]), int(match[3])) if match[1] == self.key else (0, 0)

    def _events(self, oldest: int, number: int, notes: list[tuple[int, LogEvent]], limit: int | None) -> list[LogEvent]:
        """Records from `oldest` to before `number` with `notes` between them; gone through from the newest."""
        told: list[list[LogEvent]] = []
        count = 0
        while limit is None or count < limit:
            later = []
            while notes and notes[-1][0] >= number:
                later.append(notes.pop()[1])
            told.append(later[::-1])
            number -= 1
            if number < oldest:
                break
            told.append(self.rendered(number))
            count += len(told[-1]) + len(told[-2])
        events = [event for some in reversed(told) for event in some]
        whole = [note for _, note in notes] + events if number < oldest else events
        return whole if limit is None else whole[max(0, len(whole) - limit) :]

    def events_of(self, request_id: str) -> list[LogEvent]:
        """What is still held of one request, oldest first; nothing for an id that is not known."""
        try:
            wanted = uuid.UUID(request_id).bytes
        except ValueError:
            return []
        for number in range(self._ledger.appended - 1, self.oldest - 1, -1):
            if self._ledger.row(number)[0] == wanted:
                return [event for event in self.rendered(number) if event.request_id]
        return []

    def record(self, number: int) -> InvocationRecord:
        """One record of the ledger with all that belongs to it. Raises IndexError when it is no longer held."""
        row = self._ledger.row(number)
        raw_id, published, claimed, done, init_ns, billed_ms, memory_mb, max_mb, serial, code, outcome, error_type = (
            row[:-1]
        )
        start, start_ns = cast(Start, STARTS[code]), init_ns or None
        stream, _, tenant_id = self._streams.get(serial, UNKNOWN)
        text, dropped = self.texts.get(number, (b"", 0))
        init_text, init_dropped = self.texts.get(-serial, (b"", 0)) if init_ns else (b"", 0)
        return InvocationRecord(
            request_id=uuid_text(raw_id),
            function_name=self._name,
            version=self._version,
            stream=stream,
            tenant_id=tenant_id,
            start=start,
            queued_ns=published,
            claimed_ns=claimed,
            done_ns=done,
            wall_ms=self._wall_ms(done),
            duration_ns=done - claimed,
            init_ns=None if start == "snapshot" else start_ns,
            restore_ns=start_ns if start == "snapshot" else None,
            billed_restore_ns=row[-1] if start == "snapshot" else 0,
            billed_ms=billed_ms,
            memory_mb=memory_mb,
            max_memory_mb=max_mb,
            outcome=Outcome(outcome).name.lower(),  # type: ignore[arg-type]
            error_type=error_type or None,
            log=text,
            log_dropped_bytes=dropped,
            runtime_version=self._runtime_version,
            init_log=init_text,
            init_log_dropped_bytes=init_dropped,
        )

    def _wall_ms(self, monotonic_ns: int) -> int:
        return (monotonic_ns + self._wall_offset_ns) // 1_000_000
