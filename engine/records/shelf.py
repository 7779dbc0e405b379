"""F1: the logs of all versions of one function as one: streams, and pages that join whatever is logged meanwhile.

A POSITION is, for each version's book, how many records and notes lie before it, and how many events of the next
record. Books only grow at their ends, so a position means the same for ever: what is before it is told, what is after
it is not. Between books the order is that in which records were kept; within one nothing depends on a clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ..errors import InvalidParameterValueException
from ..model import LogEvent, LogSlice, LogStream, LogSummary, StoredLogEvent
from .book import LogBook

EVENTS_DEFAULT: Final = 1_000
EVENTS_MAX: Final = 10_000
PAGE_BYTES: Final = 1_048_576
EVENT_OVERHEAD_BYTES: Final = 26  # as CloudWatch counts an event
NO_TIME: Final = 1 << 62
CURSOR: Final = re.compile(r"@(?:([^;:]+):([0-9a-f]{8}):(\d{1,19}):(\d{1,19}):(\d{1,19});)*")
PART: Final = re.compile(r"([^;:@]+):([0-9a-f]{8}):(\d+):(\d+):(\d+);")


class Position(NamedTuple):
    """Of one book: `events` are those of record `record` that lie before."""

    record: int = 0
    note: int = 0
    events: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events. No `streams`: of all of them."""

    streams: frozenset[str]
    start_ms: int
    end_ms: int

    def takes(self, event: LogEvent) -> bool:
        return self.start_ms <= event.timestamp_ms < self.end_ms and (not self.streams or event.stream in self.streams)


class Item(NamedTuple):
    """A record's events or a note, from `first` on; `kept_ms` is when it was kept."""

    kept_ms: int
    is_note: bool
    number: int
    first: int
    events: Sequence[LogEvent]


class Walk:
    """One book from a position on, in one direction."""

    def __init__(self, version: str, book: LogBook, position: Position, wanted: Wanted, *, back: bool) -> None:
        self.version = version
        self.book = book
        self.position = position
        self._wanted = wanted
        self._back = back
        serials = {book.serial_of(stream) for stream in wanted.streams}
        self._is_empty = bool(wanted.streams) and serials == {None} and not _has_note_of(book, wanted.streams)
        self._serial = (serials.pop() or 0) if len(serials) == 1 else 0
        self._first_note, self._notes = (0, []) if self._is_empty or book.ends[1] == 0 else book.numbered_notes()
        self.item = None if self._is_empty else self._next(position)

    def go_on(self, taken: int) -> None:
        """So many of the item's events were taken, from the side that the walk comes from."""
        item = self.item
        assert item is not None
        whole = taken == len(item.events)
        if item.is_note:
            self.position = self.position._replace(note=item.number + (0 if self._back else 1))
        elif self._back:
            self.position = self.position._replace(record=item.number, events=len(item.events) - taken)
        elif whole:
            self.position = self.position._replace(record=item.number + 1, events=0)
        else:
            self.position = self.position._replace(record=item.number, events=item.first + taken)
        self.item = self._next(self.position) if whole else item

    def _next(self, position: Position) -> Item | None:
        note, record = self._note(position.note), self._record(position)
        if note is None or record is None:
            return note or record
        before = self._notes[note.number - self._first_note][0]
        note_is_first = before <= record.number
        return note if note_is_first is not self._back else record

    def _note(self, number: int) -> Item | None:
        begin, end = self._first_note, self._first_note + len(self._notes)
        numbers = range(min(number, end) - 1, begin - 1, -1) if self._back else range(max(number, begin), end)
        for each in numbers:
            event = self._notes[each - begin][1]
            if self._wanted.takes(event):
                return Item(event.timestamp_ms, True, each, 0, (event,))
        return None

    def _record(self, position: Position) -> Item | None:
        wanted, number = self._wanted, position.record
        if self._back and position.events:
            number += 1
        while True:
            found = self.book.seek(number, wanted.start_ms, wanted.end_ms, self._serial, back=self._back)
            if found is None:
                return None
            events = self.book.rendered(found)
            first, last = 0, len(events)
            if found == position.record and self._back:
                last = min(position.events, last)
            elif found == position.record:
                first = position.events
            if any(wanted.takes(event) for event in events[first:last]):
                return Item(events[-1].timestamp_ms, False, found, first, events[first:last])
            number = found if self._back else found + 1


def _has_note_of(book: LogBook, streams: frozenset[str]) -> bool:
    return any(event.stream in streams for _, event in book.numbered_notes()[1])


class Shelf:
    """The books of one function by version."""

    def __init__(self, books: Mapping[str, LogBook]) -> None:
        self._books = books

    def streams(self) -> list[LogStream]:
        """By name."""
        spans = [span for book in self._books.values() for span in book.spans().items()]
        return [LogStream(name, first_ms, last_ms, last_ms) for name, (first_ms, last_ms) in sorted(spans)]

    def summary(self, function: str, log_group: str) -> LogSummary | None:
        """None of a function that has no log."""
        spans = [span for book in self._books.values() for span in book.spans().values()]
        if not spans:
            return None
        stored = sum(book.stored_bytes for book in self._books.values())
        return LogSummary(function, log_group, min(first_ms for first_ms, _ in spans), stored)

    def clear(self) -> None:
        """Forget what was logged until now."""
        for book in self._books.values():
            book.clear()

    def events(
        self, *, after: str, before: str | None, streams: Sequence[str], start_ms: int, end_ms: int, limit: int
    ) -> LogSlice:
        """See `Engine.log_events`."""
        if not 1 <= limit <= EVENTS_MAX:
            raise InvalidParameterValueException(f"limit={limit}: use 1 to {EVENTS_MAX}")
        if after and before is not None:
            raise InvalidParameterValueException("after and before: give one of them")
        back = before is not None
        begin = self._ends() if before == "" else self._read(before or after)
        wanted = Wanted(frozenset(streams), start_ms, end_ms)
        walks = [
            Walk(version, book, begin.get(version, Position()), wanted, back=back)
            for version, book in self._books.items()
        ]
        events = list(_taken(walks, wanted, limit, back=back))
        end = {walk.version: walk.position for walk in walks}
        first, last = (end, begin) if back else (begin, end)
        has_more = any(walk.item is not None for walk in walks)
        return LogSlice(tuple(events[::-1] if back else events), self._cursor(first), self._cursor(last), has_more)

    def _ends(self) -> dict[str, Position]:
        return {version: Position(*book.ends) for version, book in self._books.items()}

    def _read(self, cursor: str) -> dict[str, Position]:
        """Raises InvalidParameterValueException. What is said of books that are no more counts for nothing."""
        if cursor and CURSOR.fullmatch(cursor) is None:
            raise InvalidParameterValueException(f"cursor={cursor[:100]!r} is none: give back what a page had")
        return {
            version: Position(*(min(int(number), NO_TIME) for number in numbers))
            for version, key, *numbers in PART.findall(cursor)
            if version in self._books and self._books[version].key == key
        }

    def _cursor(self, positions: Mapping[str, Position]) -> str:
        parts = (
            f"{version}:{self._books[version].key}:{position.record}:{position.note}:{position.events};"
            for version, position in sorted(positions.items())
            if position != Position()
        )
        return "@" + "".join(parts)


def _next(walks: Sequence[Walk], *, back: bool) -> Walk | None:
    """Whose item was kept first, or last; of one time by the order of the books."""
    numbered = ((walk.item.kept_ms, number) for number, walk in enumerate(walks) if walk.item is not None)
    found = max(numbered, default=None) if back else min(numbered, default=None)
    return None if found is None else walks[found[1]]


def _taken(walks: Sequence[Walk], wanted: Wanted, limit: int, *, back: bool) -> Iterator[StoredLogEvent]:
    """What a page takes off the walks, in their direction. Each book is walked as far as its events were looked at."""
    room, room_bytes = limit, PAGE_BYTES
    while room and (walk := _next(walks, back=back)) is not None:
        item = walk.item
        assert item is not None
        looked_at = 0
        for place in range(len(item.events) - 1, -1, -1) if back else range(len(item.events)):
            event = item.events[place]
            if wanted.takes(event):
                size = len(event.message) + EVENT_OVERHEAD_BYTES
                if room == 0 or (room_bytes < size and room_bytes < PAGE_BYTES):
                    room = 0
                    break
                room, room_bytes = room - 1, room_bytes - size
                yield _stored(event, walk.book.key, item, item.first + place)
            looked_at += 1
        if looked_at:
            walk.go_on(looked_at)


def _stored(event: LogEvent, key: str, item: Item, place: int) -> StoredLogEvent:
    """With an id of 56 digits, as CloudWatch's have."""
    number = f"{event.timestamp_ms:014d}{int(key, 16):010d}{item.is_note:d}{item.number:019d}{place:012d}"
    return StoredLogEvent(number, event.timestamp_ms, item.kept_ms, event.stream, event.message)
