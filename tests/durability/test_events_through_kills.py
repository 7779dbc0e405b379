"""What a service has accepted it runs at least once, however often it is killed: events by the ten thousand over its
socket, SIGKILL again and again, and each run told to somebody outside.

ENGINE_EVENTS and ENGINE_EVENT_KILLS for another size; ENGINE_EVENT_KILLS_SEED for other moments.
"""

from __future__ import annotations

import io
import os
import random
import select
import signal
import time
import zipfile
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from event_load import Book, Collector, EventSender, Progress, Run
from serving import PATIENCE_S, Raw, Service
from test_service_killed_under_load import wait_no_orphans

from engine.core.events.place import EVENTS_NAME
from engine.store.event_db import EventDb

EVENTS = int(os.environ.get("ENGINE_EVENTS", "100000"))
KILLS = int(os.environ.get("ENGINE_EVENT_KILLS", "20"))
SEED = int(os.environ.get("ENGINE_EVENT_KILLS_SEED", "20"))
WINDOWS = (64, 512)  # events on their way, at least and at most
LATER_MAX_S = 0.02
OPENING_S = 0.4  # about how long a service takes to open
OPENING_EVERY = 5  # after so many kills the next one comes while it opens
BACKLOG = 20_000
CODE = Path(__file__).parent / "code" / "tells_its_number.py"

Property = Callable[[str, object], None]


class Proof:
    """One data folder through all lives of its service, one collector, one book."""

    def __init__(self, folder: Path) -> None:
        self.service = Service(folder)
        self.progress = Progress()
        self.book = Book(self.progress)
        self.collector = Collector(self.progress)
        self.killed_ns: list[int] = []  # by life
        self.kills_while_opening = 0
        self._database = folder / "data" / EVENTS_NAME
        self._sender: EventSender | None = None

    def close(self) -> None:
        self.service.end_if_running()
        self.wait_sent()
        self.collector.close()

    # --- lives --------------------------------------------------------------------------------------------------------

    def start(self) -> Raw:
        self.service.start()
        return self.service.connect()

    def deploy(self) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.write(CODE, CODE.name)
        settings = {"handler": f"{CODE.stem}.handler", "memory_mb": 1_769, "timeout_s": 60}
        where = {"COLLECTOR": self.collector.address}
        with self.start() as client:
            client.call("create_function", {"name": "f", "code": packed.getvalue(), "environment": where, **settings})

    def send(self, until: int, window: int) -> None:
        """Go on sending until so many are accepted."""
        self._sender = EventSender(self.service.path, "f", self.book, self.collector.life, until, window)
        self._sender.start()

    def wait_sent(self) -> None:
        if self._sender is not None:
            self._sender.join(PATIENCE_S)
            assert not self._sender.is_alive()

    def kill(self) -> None:
        """SIGKILL to the service. Its environments are gone after, and the collector has all that they said; the keeper
        of its events ends by itself, and whoever comes next has to bear with that.
        """
        pid = self.service.pid
        self.killed_ns.append(time.monotonic_ns())
        assert self.service.end(signal.SIGKILL) == -signal.SIGKILL
        wait_no_orphans(pid)
        self.wait_sent()
        self.collector.next_life()

    def kill_while_it_opens(self, within_s: float) -> None:
        process = self.service.begin()
        assert process.stdout is not None
        select.select([process.stdout], [], [], within_s)  # to die at another point each time; nothing waits for this
        self.kill()
        self.kills_while_opening += 1

    def end(self) -> None:
        """SIGTERM."""
        assert self.service.end() == 0
        self.collector.next_life()

    def left(self) -> int:
        """Events on disk, of a service that has ended."""
        store = EventDb(self._database)
        try:
            return sum(queue.events for queue in store.opening().queues)
        finally:
            store.close()

    def wait_run(self) -> None:
        """Until all that was accepted has run, and what was written besides and not answered: until nothing runs."""
        self.send(len(self.book.accepted) + 1, 1)  # those lie before this one, as events begin in their order
        self.wait_sent()
        self.collector.wait_for_runs_of(self.book.accepted.keys())
        with self.service.connect() as client:
            deadline = time.monotonic() + PATIENCE_S
            while (told := client.call("stats")["functions"]["f"]["versions"]["$LATEST"])["concurrency"] > 0 or (
                told["invocations"] < sum(run.life == self.collector.life for run in self.collector.runs)
            ):
                assert time.monotonic() < deadline, told
                os.sched_yield()

    # --- what came of it ----------------------------------------------------------------------------------------------

    def check(self) -> dict[int, list[Run]]:
        """Each that was accepted ran, as what it was, and again only in another life; what ran more than once."""
        by_number: defaultdict[int, list[Run]] = defaultdict(list)
        for run in self.collector.runs:
            by_number[run.number].append(run)
        assert self.book.accepted.keys() - by_number.keys() == set()
        assert by_number.keys() - set(range(self.book.sent)) == set()
        request_ids = {number: {run.request_id for run in runs} for number, runs in by_number.items()}
        assert len(set().union(*request_ids.values())) == len(by_number)
        assert {n: ids for n, ids in request_ids.items() if ids != {self.book.accepted.get(n, *ids)}} == {}
        firsts = [first for first, _ in self.book.lives]
        for number, runs in by_number.items():
            sent_in = self.book.lives[bisect_right(firsts, number) - 1][1]
            lives = [sent_in, *(run.life for run in runs)]
            assert lives == sorted(lives), (number, lives)
            assert len({run.life for run in runs}) == len(runs), (number, lives)  # between two there was a kill
        return {number: runs for number, runs in by_number.items() if len(runs) > 1}

    def report(self, again: dict[int, list[Run]], note: Property) -> None:
        accepted, runs, killed_ns = self.book.accepted, self.collector.runs, self.killed_ns
        cut_off = Counter(run.life for each in again.values() for run in each[:-1])
        ages_ns = [killed_ns[run.life] - run.monotonic_ns for each in again.values() for run in each[:-1]]
        ran = {run.number for run in runs}
        moved = [abs(place - rank) for place, rank in displaced(runs)]
        told = {
            "sent": self.book.sent,
            "accepted": len(accepted),
            "lost": len(accepted.keys() - ran),
            "runs": len(runs),
            "ran_again": len(runs) - len(ran),
            "ran_again_for_one_kill_at_most": max(cut_off.values(), default=0),
            "ran_again_oldest_before_its_kill_ms": round(max(ages_ns, default=0) / 1e6, 1),
            "not_answered": self.book.sent - len(accepted),
            "not_answered_and_ran": len(ran - accepted.keys()),
            "kills": len(killed_ns),
            "kills_while_opening": self.kills_while_opening,
            "out_of_order": sum(distance > 0 for distance in moved),
            "furthest_out_of_order": max(moved, default=0),
        }
        for name, value in told.items():
            note(name, value)
        print(", ".join(f"{name} {value:,}" for name, value in told.items()))  # noqa: T201


def displaced(runs: list[Run]) -> Iterator[tuple[int, int]]:
    """Of each first run: its place among those of its life, and what its place is by the order of acceptance."""
    seen = set[int]()
    by_life: defaultdict[int, list[int]] = defaultdict(list)
    for run in runs:
        if run.number not in seen:
            seen.add(run.number)
            by_life[run.life].append(run.number)
    for numbers in by_life.values():
        ranks = {number: rank for rank, number in enumerate(sorted(numbers))}
        yield from ((place, ranks[number]) for place, number in enumerate(numbers))


@pytest.fixture
def proof(tmp_path: Path) -> Iterator[Proof]:
    made = Proof(tmp_path)
    yield made
    made.close()


def test_every_event_that_was_accepted_runs_however_often_the_service_is_killed(
    proof: Proof, record_property: Property
) -> None:
    drawn = random.Random(SEED)
    began = time.perf_counter()
    proof.deploy()
    for number in range(KILLS):
        if len(proof.book.accepted) < EVENTS:
            proof.send(EVENTS, drawn.randint(*WINDOWS))
        # Acceptances and first runs count alike, so that kills come while events are accepted and while they are run.
        proof.progress.wait_for(int((number + drawn.random()) * 2 * EVENTS / KILLS))
        select.select([], [], [], drawn.random() * LATER_MAX_S)  # to die at another point; nothing waits for this
        proof.kill()
        if number % OPENING_EVERY == OPENING_EVERY - 1:
            proof.kill_while_it_opens(drawn.random() * OPENING_S)
        proof.service.start()
    if len(proof.book.accepted) < EVENTS:
        proof.send(EVENTS, drawn.randint(*WINDOWS))
        proof.wait_sent()
    proof.wait_run()
    proof.end()
    assert proof.left() == 0
    again = proof.check()
    proof.report(again, record_property)
    print(f"{time.perf_counter() - began:.1f} s")  # noqa: T201
    assert len(proof.book.accepted) > EVENTS


def test_a_service_that_ends_in_peace_goes_on_with_its_events_when_it_is_started_again(proof: Proof) -> None:
    proof.deploy()
    proof.send(BACKLOG, max(WINDOWS))
    proof.wait_sent()
    proof.progress.wait_for(BACKLOG + BACKLOG // 20)
    proof.end()
    left, ran = proof.left(), len(proof.collector.runs)
    assert 0 < left < BACKLOG
    proof.service.start()
    proof.wait_run()
    proof.end()
    assert proof.left() == 0
    assert len(proof.check()) == left + ran - BACKLOG  # those that were under way when it ended, if any


def test_an_event_that_is_under_way_when_its_service_ends_in_peace_ends_first_and_runs_once(proof: Proof) -> None:
    proof.deploy()
    proof.collector.hold()
    proof.send(1, 1)
    proof.progress.wait_for(2)
    assert proof.service.process is not None
    proof.service.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_S
    while proof.service.path.exists():  # which goes first when it ends
        assert time.monotonic() < deadline
        os.sched_yield()
    proof.collector.release()
    proof.end()
    assert proof.left() == 0
    assert proof.check() == {}
