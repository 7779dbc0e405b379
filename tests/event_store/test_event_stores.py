"""What every store of events promises: in memory, in a file, in a file behind a process. And what a file alone does."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from kept_events import ALL, PATIENCE_S, QUEUE, START_MS, ByProcess, a_parcel, an_event

from engine.errors import DataFolderError, ServiceException
from engine.store import event_db
from engine.store.event_db import EventDb
from engine.store.event_memory import EventMemory
from engine.store.event_store import Due, EventRow, EventStore, Opening, ParcelRow, QueueRow, Step

LASTING: dict[str, Callable[[Path], EventStore]] = {"file": EventDb, "process": ByProcess}
STORES: dict[str, Callable[[Path], EventStore]] = {"memory": lambda _: EventMemory(), **LASTING}
HOLDS = """
import sys
from pathlib import Path
from engine.store.event_db import EventDb

store = EventDb(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
store.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, path: Path) -> Iterator[EventStore]:
    made = STORES[request.param](path)
    yield made
    made.close()


@pytest.fixture(params=LASTING)
def lasting(request: pytest.FixtureRequest) -> Callable[[Path], EventStore]:
    """A kind of store that may be opened again."""
    return LASTING[request.param]


def seqs(found: list[Any]) -> list[int]:
    return [row[0] for row in found]


def opened(kind: Callable[[Path], EventStore], path: Path, *steps: Step) -> Opening:
    """What one finds that is opened after these steps, each a write of its own, and is closed again."""
    made = kind(path)
    try:
        made.opening()
        for step in steps:
            made.write([step])
    finally:
        made.close()
    again = kind(path)
    try:
        return again.opening()
    finally:
        again.close()


# --- events in turn ---------------------------------------------------------------------------------------------------


def test_events_come_back_as_they_were_given_in_the_order_of_their_numbers(store: EventStore) -> None:
    rows = [an_event(seq, payload=bytes(range(256)), extra=b"\x00\xff") for seq in range(1, 6)]
    store.write([("queue", 1, "f", ""), ("append", rows[:3])])
    store.write([("append", rows[3:])])
    assert store.next_events(1, 0, 100, ALL) == rows


def test_a_queue_has_its_own_events_only(store: EventStore) -> None:
    rows = [an_event(seq, queue=seq % 3) for seq in range(1, 10)]
    store.write([("append", rows)])
    for queue in range(3):
        assert store.next_events(queue, 0, 100, ALL) == [row for row in rows if row.queue == queue]
    assert store.next_events(3, 0, 100, ALL) == []


def test_a_window_begins_after_a_number_and_ends_at_a_count(store: EventStore) -> None:
    store.write([("append", [an_event(seq) for seq in range(10, 20)])])
    assert seqs(store.next_events(1, 12, 3, ALL)) == [13, 14, 15]
    assert seqs(store.next_events(1, 17, 3, ALL)) == [18, 19]
    assert store.next_events(1, 19, 3, ALL) == []


def test_a_window_ends_with_the_event_that_fills_it_and_has_at_least_one(store: EventStore) -> None:
    sizes = [(40, 10), (50, 0), (30, 70), (1, 0)]
    store.write(
        [("append", [an_event(n, payload=b"p" * sizes[n][0], extra=b"e" * sizes[n][1]) for n in range(1, len(sizes))])]
    )
    assert seqs(store.next_events(1, 0, 100, 50)) == [1]
    assert seqs(store.next_events(1, 0, 100, 51)) == [1, 2]
    assert seqs(store.next_events(1, 0, 100, 150)) == [1, 2]
    assert seqs(store.next_events(1, 0, 100, 151)) == [1, 2, 3]
    assert seqs(store.next_events(1, 1, 100, 1)) == [2]  # longer than asked for, as it is the next


def test_what_is_done_is_gone_and_the_rest_stays(store: EventStore) -> None:
    store.write([("append", [an_event(seq) for seq in range(1, 6)])])
    store.write([("remove", [2, 4, 99])])
    assert seqs(store.next_events(1, 0, 100, ALL)) == [1, 3, 5]


def test_the_oldest_of_each_queue_is_told_until_it_is_done(store: EventStore) -> None:
    assert store.oldest_ms() == {}
    store.write([("append", [an_event(seq, queue=seq % 2) for seq in range(1, 6)])])
    assert store.oldest_ms() == {1: START_MS + 1, 0: START_MS + 2}
    store.write([("delay", [(1, 1, START_MS + 60_000)])])
    assert store.oldest_ms()[1] == START_MS + 1  # put off, and not done
    store.write([("remove", [1, 2, 4])])
    assert store.oldest_ms() == {1: START_MS + 3}


# --- put off ----------------------------------------------------------------------------------------------------------


def test_an_event_that_is_put_off_is_in_turn_no_more_and_due_in_its_time(store: EventStore) -> None:
    store.write([("append", [an_event(seq) for seq in range(1, 4)])])
    store.write([("delay", [(2, 1, START_MS + 60_000)])])
    assert seqs(store.next_events(1, 0, 100, ALL)) == [1, 3]
    assert store.due_events(START_MS + 59_999, 100, ALL, []) == Due([], START_MS + 60_000)
    put_off = an_event(2)._replace(attempts=1, due_ms=START_MS + 60_000)
    assert store.due_events(START_MS + 60_000, 100, ALL, []) == Due([put_off], None)
    store.write([("remove", [2])])
    assert store.due_events(START_MS + 60_000, 100, ALL, []) == Due([], None)


def test_of_many_that_are_due_the_earliest_come_first_and_the_time_of_the_next_is_told(store: EventStore) -> None:
    due = {1: 300, 2: 100, 3: 200, 4: 100, 5: 400}
    store.write([("append", [an_event(seq, queue=seq % 2) for seq in due])])
    store.write([("delay", [(seq, 1, due_ms) for seq, due_ms in due.items()])])
    found = store.due_events(300, 3, ALL, [])
    assert (seqs(found.rows), found.next_ms) == ([2, 4, 3], 300)
    found = store.due_events(300, 100, ALL, [2, 4])
    assert (seqs(found.rows), found.next_ms) == ([3, 1], 400)
    found = store.due_events(300, 100, 3, [])  # each is two bytes
    assert (seqs(found.rows), found.next_ms) == ([2, 4], 200)
    found = store.due_events(99, 100, ALL, [2, 4, 3])
    assert (seqs(found.rows), found.next_ms) == ([], 300)
    assert store.due_events(99, 100, ALL, list(due)) == Due([], None)


def test_thousands_may_be_left_out_at_once(store: EventStore) -> None:
    many = 40_000  # more than a statement takes bindings
    store.write([("append", [an_event(many + 1)]), ("delay", [(many + 1, 1, 5)])])
    assert seqs(store.due_events(5, 1, ALL, list(range(many))).rows) == [many + 1]
    assert store.due_parcels(5, 1, list(range(many))) == Due([], None)


# --- parcels ----------------------------------------------------------------------------------------------------------


def test_a_parcel_is_there_until_it_was_sent_and_one_that_is_sent_again_takes_its_place(store: EventStore) -> None:
    store.write([("send", [a_parcel(3, 100), a_parcel(1, 200), a_parcel(2, 100)])])
    assert store.due_parcels(100, 100, []) == Due([a_parcel(2, 100), a_parcel(3, 100)], 200)
    assert store.due_parcels(100, 1, []) == Due([a_parcel(2, 100)], 100)
    assert store.due_parcels(100, 100, [2]) == Due([a_parcel(3, 100)], 200)
    store.write([("send", [a_parcel(2, 300, attempts=1, body=b"again")]), ("sent", [3, 99])])
    assert store.due_parcels(250, 100, []) == Due([a_parcel(1, 200)], 300)
    assert store.due_parcels(300, 100, [1]).rows == [a_parcel(2, 300, attempts=1, body=b"again")]
    store.write([("sent", [1, 2])])
    assert store.due_parcels(300, 100, []) == Due([], None)


# --- queues -----------------------------------------------------------------------------------------------------------


def test_a_queue_that_is_dropped_takes_its_events_along_and_leaves_its_parcels(store: EventStore) -> None:
    store.write([("queue", 1, "f", ""), ("queue", 2, "g", "live")])
    store.write([("append", [an_event(seq, queue=1 + seq % 2) for seq in range(6)])])
    store.write([("delay", [(1, 1, 50), (2, 1, 50)]), ("send", [a_parcel(9, 60, queue=2)])])
    store.write([("drop", 2)])
    assert seqs(store.next_events(1, -1, 100, ALL)) == [0, 4]
    assert store.next_events(2, -1, 100, ALL) == []
    assert seqs(store.due_events(50, 100, ALL, []).rows) == [2]
    assert list(store.oldest_ms()) == [1]
    assert seqs(store.due_parcels(60, 100, []).rows) == [9]
    store.write([("drop", 2), ("drop", 77)])


# --- writes -----------------------------------------------------------------------------------------------------------


def everything(store: EventStore) -> object:
    """What can be read from queues 1 and 2."""
    in_turn = [store.next_events(queue, 0, 100, ALL) for queue in (1, 2)]
    return in_turn, store.due_events(ALL, 100, ALL, []), store.due_parcels(ALL, 100, []), store.oldest_ms()


def test_writes_that_are_repeated_change_nothing(store: EventStore) -> None:
    writes: list[list[Step]] = [
        [("queue", 1, "f", ""), ("append", [an_event(seq) for seq in range(1, 9)])],
        [("queue", 2, "g", ""), ("append", [an_event(9, queue=2)]), ("schedule", "s", "{}", 5)],
        [("delay", [(2, 1, 70), (3, 1, 60)]), ("send", [a_parcel(20, 10)]), ("remove", [1])],
        [("delay", [(3, 2, 90)]), ("send", [a_parcel(20, 40, attempts=1)]), ("position", "s", 8)],
        [("sent", [20]), ("remove", [4, 3]), ("drop", 2), ("unschedule", "s")],
    ]
    for written in range(1, len(writes) + 1):
        store.write(writes[written - 1])
        before = everything(store)
        for first in range(written):  # whoever kept them died, and the last ones had no answer
            for write in writes[first:written]:
                store.write(write)
            assert everything(store) == before


def test_an_empty_write_is_one(store: EventStore) -> None:
    store.write([])
    assert store.next_events(1, 0, 1, 1) == []


@pytest.mark.parametrize(
    "bad",
    [
        ("nothing of the kind", [1]),
        ("append", [an_event(5), ("no number", 1, 0, 0, 0, b"", b"", b"")]),
        ("append", [an_event(5), an_event(6)[:7]]),
        ("append", [an_event(5)._replace(payload=None)]),  # type: ignore[arg-type]
        ("queue", 7, None, ""),
        ("position", "s"),
    ],
)
def test_a_write_with_a_bad_step_leaves_nothing_of_it(
    lasting: Callable[[Path], EventStore], path: Path, bad: Step
) -> None:
    store = lasting(path)
    try:
        store.write([("queue", 1, "f", ""), ("append", [an_event(1)]), ("schedule", "s", "{}", 5)])
        before = everything(store)
        with pytest.raises((ServiceException, KeyError)):
            store.write([("append", [an_event(2)]), ("remove", [1]), ("queue", 2, "g", ""), bad, ("drop", 1)])
        assert everything(store) == before
        store.write([("append", [an_event(3)])])
        assert seqs(store.next_events(1, 0, 100, ALL)) == [1, 3]
    finally:
        store.close()
    assert opened(lasting, path) == Opening(3, [QueueRow(1, "f", "", 2, 4, 0)], 0, [("s", "{}", 5)])


# --- opened again -----------------------------------------------------------------------------------------------------


def test_opened_again_it_has_all_that_was_written(lasting: Callable[[Path], EventStore], path: Path) -> None:
    assert opened(lasting, path) == Opening(0, [], 0, [])
    found = opened(
        lasting,
        path,
        ("queue", 1, "f", ""),
        ("queue", 2, "g", "live"),
        ("queue", 3, "h", "7"),
        ("append", [an_event(seq, queue=1 + seq % 2, payload=b"p" * seq, extra=b"e") for seq in range(1, 7)]),
        ("delay", [(2, 1, 50), (4, 2, 60)]),
        ("remove", [6]),
        ("send", [a_parcel(11, 10), a_parcel(12, 20), a_parcel(13, 30)]),
        ("sent", [13]),
        ("schedule", "hourly", '{"a": 1}', 100),
        ("schedule", "daily", "{}", 200),
        ("position", "hourly", 300),
        ("schedule", "gone", "{}", 1),
        ("unschedule", "gone"),
    )
    assert found == Opening(
        last=12,
        queues=[QueueRow(1, "f", "", 2, 8, 2), QueueRow(2, "g", "live", 3, 12, 0), QueueRow(3, "h", "7", 0, 0, 0)],
        parcels=2,
        schedules=[("hourly", '{"a": 1}', 300), ("daily", "{}", 200)],
    )
    again = lasting(path)
    try:
        again.opening()
        assert seqs(again.next_events(2, 0, 100, ALL)) == [1, 3, 5]
        assert [row[3] for row in again.due_events(60, 100, ALL, []).rows] == [1, 2]
        assert again.due_parcels(10, 100, []) == Due([a_parcel(11, 10)], 20)
    finally:
        again.close()


def test_the_highest_number_is_of_what_is_there(lasting: Callable[[Path], EventStore], path: Path) -> None:
    assert opened(lasting, path, QUEUE, ("send", [a_parcel(40, 1)]), ("append", [an_event(30)])).last == 40
    assert opened(lasting, path, ("sent", [40])).last == 30


def test_events_that_arrived_as_their_queue_was_dropped_are_gone(
    lasting: Callable[[Path], EventStore], path: Path
) -> None:
    opened(lasting, path, QUEUE, ("append", [an_event(1)]), ("drop", 1), ("append", [an_event(2)]))
    assert opened(lasting, path, QUEUE) == Opening(0, [QueueRow(1, "f", "", 0, 0, 0)], 0, [])


def test_a_file_of_events_is_for_its_owner_only(lasting: Callable[[Path], EventStore], path: Path) -> None:
    opened(lasting, path, QUEUE, ("append", [an_event(1)]))
    assert path.stat().st_mode & 0o777 == 0o600


def test_closed_twice_is_closed(store: EventStore) -> None:
    store.close()
    store.close()


# --- refusals of files ------------------------------------------------------------------------------------------------


def refused(path: Path) -> str:
    """What a file is refused with: the same by whoever opens it."""
    told = []
    for kind in LASTING.values():
        with pytest.raises(DataFolderError) as caught:
            kind(path)
        told.append(str(caught.value))
    assert told[0] == told[1]
    return told[0]


def changed(path: Path, *statements: str) -> None:
    """By another program."""
    connection = sqlite3.connect(path)
    try:
        with connection:
            for statement in statements:
                connection.execute(statement)
    finally:
        connection.close()


def test_a_file_that_is_no_database_is_damaged_and_opens_once_a_copy_is_back(path: Path) -> None:
    opened(EventDb, path, QUEUE, ("append", [an_event(1)]))
    copy = path.read_bytes()
    path.write_bytes(b"not a database " * 100)
    assert refused(path) == (
        f"{path} is damaged (file is not a database): put a copy of it back, or move it away, and with it the events "
        "that were accepted and not run"
    )
    path.write_bytes(copy)
    assert opened(EventDb, path).last == 1


def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    changed(path, "CREATE TABLE events(mine)", "INSERT INTO events VALUES (1)")
    assert refused(path) == f"{path} holds no events: move it away, or give another data_dir"
    changed(path, "PRAGMA application_id = 7", "INSERT INTO events VALUES (2)")
    assert refused(path) == f"{path} holds no events: move it away, or give another data_dir"
    path.rename(path.with_name("away.db"))  # the way out that it names
    assert opened(EventDb, path, QUEUE, ("append", [an_event(1)])).last == 1


def test_a_database_of_a_newer_version_is_left_alone(path: Path) -> None:
    opened(EventDb, path, QUEUE, ("append", [an_event(1)]))
    changed(path, f"PRAGMA user_version = {event_db.SCHEMA_VERSION + 1}")
    told = refused(path)
    assert told.startswith(f"{path} was written by a newer invocation-engine (its schema is 2, this one reads 1): ")
    assert told.endswith("upgrade invocation-engine, or give another data_dir")
    changed(path, f"PRAGMA user_version = {event_db.SCHEMA_VERSION}")
    assert opened(EventDb, path).last == 1


def test_a_damaged_page_is_found_when_it_is_opened(path: Path) -> None:
    opened(EventDb, path, QUEUE, ("append", [an_event(seq, payload=b"p" * 2_000) for seq in range(1, 100)]))
    whole = path.read_bytes()
    page = 4_096
    assert len(whole) > 20 * page
    path.write_bytes(whole[: 10 * page] + b"\xa5" * page + whole[11 * page :])
    told = refused(path)
    assert told.startswith(f"{path} is damaged (")
    assert "put a copy of it back, or move it away" in told
    path.write_bytes(whole)
    assert len(EventDb(path).next_events(1, 0, 1_000, ALL)) == 99


def test_a_file_that_another_process_holds_is_refused_and_opens_once_it_is_let_go(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_db, "BUSY_MS", 50)  # nobody lets go meanwhile
    argv = [sys.executable, "-P", "-c", HOLDS, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(DataFolderError) as caught:
            EventDb(path)
        assert str(caught.value) == f"another program has {path} open: close it there"
        holder.stdin.close()
        assert holder.wait(PATIENCE_S) == 0
    assert opened(EventDb, path) == Opening(0, [], 0, [])


def test_a_path_that_is_no_file_is_refused_with_its_name(path: Path) -> None:
    path.mkdir()
    with pytest.raises(DataFolderError, match=rf"^{path} cannot be opened"):
        EventDb(path)
    path.rmdir()
    assert opened(EventDb, path) == Opening(0, [], 0, [])


# --- each other's oracle ----------------------------------------------------------------------------------------------

QUEUES = st.integers(1, 3)
TIMES = st.integers(1, 50)
TEXTS = st.binary(max_size=12)
COUNTS = st.integers(1, 6)
BYTES = st.integers(1, 60)


class TwoStores(RuleBasedStateMachine):
    """The file and the memory are told the same, and say the same; the file is closed and opened now and then."""

    seqs = Bundle("seqs")
    parcels = Bundle("parcels")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.file = EventDb(Path(self.folder.name) / "events.db")
        self.memory = EventMemory()
        self.numbers = 0
        self.queues: dict[int, str] = {}
        self.writes: list[list[Step]] = []
        self.kept: list[int] = []

    def teardown(self) -> None:
        self.file.close()
        self.folder.cleanup()

    def write(self, *steps: Step) -> None:
        self.writes.append(list(steps))
        for store in (self.file, self.memory):
            store.write(steps)

    @rule(target=seqs, queue=QUEUES, payload=TEXTS, extra=TEXTS)
    def append(self, queue: int, payload: bytes, extra: bytes) -> int:
        self.numbers += 1
        self.queues[queue] = "f" * queue
        row = an_event(self.numbers, queue, payload=payload, extra=extra)
        self.write(("queue", queue, "f" * queue, ""), ("append", [row]))
        return self.numbers

    @rule(done=st.lists(seqs, max_size=3), late=st.lists(st.tuples(seqs, COUNTS, TIMES), max_size=3))
    def remove_and_delay(self, done: list[int], late: list[tuple[int, int, int]]) -> None:
        self.write(("delay", late), ("remove", done))

    @rule(seq=seqs)
    def back_in_turn(self, seq: int) -> None:
        self.write(("delay", [(seq, 0, 0)]))

    @rule(queue=QUEUES)
    def drop(self, queue: int) -> None:
        self.queues.pop(queue, None)
        self.write(("drop", queue))

    @rule(target=parcels, due_ms=TIMES, queue=QUEUES, body=TEXTS)
    def send(self, due_ms: int, queue: int, body: bytes) -> int:
        self.numbers += 1
        self.write(("send", [a_parcel(self.numbers, due_ms, queue, body=body)]))
        return self.numbers

    @rule(again=st.lists(st.tuples(parcels, TIMES), max_size=2), done=st.lists(parcels, max_size=2))
    def send_again(self, again: list[tuple[int, int]], done: list[int]) -> None:
        self.write(("send", [a_parcel(number, due_ms, attempts=1) for number, due_ms in again]), ("sent", done))

    @rule(last=st.integers(1, 6))
    def repeat(self, last: int) -> None:
        """What had no answer when a keeper died is written again, in its order."""
        for steps in self.writes[-last:]:
            for store in (self.file, self.memory):
                store.write(steps)

    @rule()
    def reopen(self) -> None:
        self.file.close()
        self.file = EventDb(Path(self.folder.name) / "events.db")
        found = self.file.opening()
        rows = [row for queue in self.queues for row in self.memory.next_events(queue, 0, ALL, ALL)]
        rows += self.memory.due_events(ALL, ALL, ALL, []).rows
        parcels = self.memory.due_parcels(ALL, ALL, []).rows
        expected = [QueueRow(queue, name, "", *sums(rows, queue)) for queue, name in sorted(self.queues.items())]
        assert found == Opening(max((row[0] for row in [*rows, *parcels]), default=0), expected, len(parcels), [])

    @rule(queue=QUEUES, after=st.integers(0, 30), most=COUNTS, most_bytes=BYTES)
    def window(self, queue: int, after: int, most: int, most_bytes: int) -> None:
        found: list[list[EventRow]] = [
            store.next_events(queue, after, most, most_bytes) for store in (self.file, self.memory)
        ]
        assert found[0] == found[1]

    @rule(now_ms=TIMES, most=COUNTS, most_bytes=BYTES, but=st.lists(st.one_of(seqs, parcels), max_size=4))
    def due(self, now_ms: int, most: int, most_bytes: int, but: list[int]) -> None:
        assert self.file.due_events(now_ms, most, most_bytes, but) == self.memory.due_events(
            now_ms, most, most_bytes, but
        )
        parcels: list[Due] = [store.due_parcels(now_ms, most, but) for store in (self.file, self.memory)]
        assert parcels[0] == parcels[1]
        assert all(isinstance(row, ParcelRow) for row in parcels[0].rows)

    @invariant()
    def the_same(self) -> None:
        for queue in range(1, 4):
            assert self.file.next_events(queue, 0, ALL, ALL) == self.memory.next_events(queue, 0, ALL, ALL)
        assert self.file.due_events(ALL, ALL, ALL, []) == self.memory.due_events(ALL, ALL, ALL, [])
        assert self.file.due_parcels(ALL, ALL, []) == self.memory.due_parcels(ALL, ALL, [])
        assert self.file.oldest_ms() == self.memory.oldest_ms()


def sums(rows: list[EventRow], queue: int) -> tuple[int, int, int]:
    """Of one queue: events, bytes, put off."""
    of = [row for row in rows if row.queue == queue]
    return len(of), sum(len(row.payload) + len(row.extra) for row in of), sum(row.due_ms > 0 for row in of)


TwoStores.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_a_file_and_memory_say_the_same_whatever_they_are_told = TwoStores.TestCase
