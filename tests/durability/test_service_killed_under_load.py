"""`engine serve`, killed at any moment under load, again and again: nothing that it answered for is lost or doubled.

ENGINE_KILLS=50 for the whole proof; ENGINE_KILLS_SEED repeats one.
"""

from __future__ import annotations

import io
import json
import os
import random
import select
import signal
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psutil
import pytest
from serving import PATIENCE_S, Raw, Service
from under_load import Caller, Changer, Functions, Heard, Heed, heard_now

from engine.records.export import read_lines
from engine.records.offline import bill_of_folder
from engine.records.segments import Line, Source
from engine.sync import Engine

ROUNDS = int(os.environ.get("ENGINE_KILLS", "6"))
WINDOW_NS = 50_000_000  # after which a record is promised to be durable, on a disk and host that keep up
LOADED = 40  # how much slower a host may be that runs other things too
ANSWERS = (0, 1, 20, 300, 2_000, 20_000)  # before a kill, about
FUNCTIONS = ("echo-1", "echo-2", "echo-3")
CALLERS = ((0, 1), (0, 64), (1, 32), (2, 256))  # which function, and how many in flight
MANY = 1_000
LATER_MAX_S = 0.03
LOAD_PATIENCE_S = 240.0


def zipped(name: str, text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, text)
    return out.getvalue()


CHANGING = zipped("numbered.py", (Path(__file__).parent / "code" / "numbered.py").read_text())


class Proof:
    """One data folder through all its services: what was promised over them, and what was found."""

    def __init__(self, folder: Path, drawn: random.Random) -> None:
        self.service = Service(folder)
        self.data = folder / "data"
        self.drawn = drawn
        self.functions: Functions = dict.fromkeys(FUNCTIONS, ("",))
        self.pending: Functions | None = None  # as they are if the change that was cut off was made
        self.asked = Counter[str]()
        self.known = set[str]()  # requests whose records were seen on disk
        self.unchecked: list[Heard] = []  # heard since the records were looked at last
        self.lost_ages_ns: list[int] = []
        self.restarts_s: list[float] = []
        self.answers = 0
        self.changes = Counter[str]()
        self._numbers = count(1)
        self.dead: list[int] = []

    # --- life and death -----------------------------------------------------------------------------------------------

    def start(self) -> Raw:
        began = time.perf_counter()
        self.service.start()
        self.restarts_s.append(time.perf_counter() - began)
        assert cgroups_of(self.dead) == []
        return self.service.connect()

    def kill(self) -> int:
        """SIGKILL, and everything below it is gone after; when that was."""
        pid = self.service.pid
        killed_ns = time.monotonic_ns()
        assert self.service.end(signal.SIGKILL) == -signal.SIGKILL
        wait_no_orphans(pid)
        assert self.service.path.exists()  # nobody was left to take it away
        self.dead.append(pid)
        return killed_ns

    def kill_while_it_opens(self) -> None:
        process = self.service.begin()
        pid = process.pid
        assert process.stdout is not None
        select.select([process.stdout], [], [], self.drawn.random() * self.restarts_s[-1])  # another point each time
        self.service.end(signal.SIGKILL)
        wait_no_orphans(pid)
        self.dead.append(pid)

    # --- rounds -------------------------------------------------------------------------------------------------------

    def deploy(self) -> None:
        with self.start() as client:
            for name in FUNCTIONS:
                client.deploy(name)

    def load_and_kill(self, number: int, *, changing: bool) -> None:
        path, heed = self.service.path, Heed()
        callers: list[Caller | Changer] = [
            Caller(path, FUNCTIONS[which], f"r{number}-c{index}", window, heed)
            for index, (which, window) in enumerate(CALLERS)
        ]
        changer = Changer(path, self.functions, self._numbers, CHANGING, heed) if changing else None
        callers += [changer] if changer is not None else []
        for caller in callers:
            caller.start()
        answers = ANSWERS[number % len(ANSWERS)]
        heed.wait_for(answers + self.drawn.randrange(answers + 1), LOAD_PATIENCE_S)
        select.select([], [], [], self.drawn.random() * LATER_MAX_S)  # to die at another point; nothing waits for it
        killed_ns = self.kill()
        for caller in callers:
            caller.join(PATIENCE_S)
            assert not caller.is_alive()
            assert caller.wrong == []
            self.asked.update(caller.asked)
        if changer is not None:
            self.changes.update(changer.kinds)
            self.functions, self.pending = changer.answered, changer.pending
        self._check_records([heard for caller in callers for heard in caller.heard], killed_ns)

    def _check_records(self, heard: list[Heard], killed_ns: int) -> None:
        """Each is there once; only of the last answers before the kill there may be none; the sums are theirs."""
        self.answers += len(heard)
        unchecked, self.unchecked = self.unchecked + heard, []
        ids = {answer.request_id for answer in unchecked}
        assert len(ids) == len(unchecked) and ids.isdisjoint(self.known)
        rows = records_of(self.data)
        found = {line.request_id.hex(): source.function for line, source in rows}
        assert len(found) == len(rows)
        assert self.known <= found.keys()
        self.known = set(found)
        assert [
            answer for answer in unchecked if found.get(answer.request_id, answer.function) != answer.function
        ] == []
        ages_ns = [killed_ns - answer.monotonic_ns for answer in unchecked if answer.request_id not in found]
        self.lost_ages_ns += [age_ns for age_ns in ages_ns if age_ns > 0]
        by_function = Counter(found.values())
        assert by_function <= self.asked
        table = bill_of_folder(self.data)
        assert {line.function: line.requests for line in table.lines} == by_function
        assert table.total.requests == len(rows)
        assert table.total.billed_ms == sum(line.billed_ms for line, _ in rows)

    def check_restarted(self, client: Raw) -> None:
        """The bill is of the records that were kept; every function is there and works."""
        assert client.call("bill", {"by": "function"})["total"]["requests"] == len(self.known)
        found = functions_of(client)
        assert found == self.functions or found == self.pending
        self.functions, self.pending = found, None
        for name, versions in found.items():
            result = client.call("invoke", name, b"7")
            assert json.loads(result["payload"]) == (7 if name in FUNCTIONS else [versions[-1], "$LATEST", 7])
            self.asked[name] += 1
            self.unchecked.append(heard_now(result, name))

    def check_ended(self) -> None:
        """After an end in peace there is nothing that was not kept."""
        kept = {line.request_id.hex() for line, _ in records_of(self.data)}
        assert {answer.request_id for answer in self.unchecked} <= kept
        assert cgroups_of(self.dead) == []
        assert not self.service.path.exists()

    def told(self) -> str:
        late = sum(age_ns > WINDOW_NS for age_ns in self.lost_ages_ns)
        restarts = sorted(self.restarts_s)
        return (
            f"{self.answers} answers heard, {len(self.known)} records; {len(self.lost_ages_ns)} heard before a kill "
            f"are not kept, the oldest {max(self.lost_ages_ns, default=0) / 1e6:.1f} ms old, {late} over 50 ms; "
            f"{len(self.dead)} kills; restarts took {restarts[len(restarts) // 2] * 1e3:.0f} ms, "
            f"at most {restarts[-1] * 1e3:.0f} ms; changes {dict(self.changes)}"
        )


def records_of(data: Path) -> list[tuple[Line, Source]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a kill may leave half a batch
        return list(read_lines(data / "ledger"))


def functions_of(client: Raw) -> Functions:
    names = [each["function_name"] for each in client.call("list_functions", {})["functions"]]
    found: Functions = {}
    for name in names:
        latest, *published = client.call("list_versions", {"name": name})["versions"]
        found[name] = tuple(each["environment"].get("N", "") for each in (*published, latest))
    return found


def orphans_of(pid: int) -> list[int]:
    """The zygote of a service and what it forked: their command line, which environments inherit, names the service."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(pid) in words and any(word.endswith("worker/zygote.py") for word in words):
            found.append(process.pid)
    return found


def wait_no_orphans(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while left := orphans_of(pid):
        assert time.monotonic() < deadline, left
        os.sched_yield()


def cgroups_of(pids: list[int]) -> list[str]:
    named = tuple(f"invocation-engine-{pid}-" for pid in pids)
    folders = (path for path, _, _ in os.walk("/sys/fs/cgroup"))
    return [path for path in folders if named and os.path.basename(path).startswith(named)]


@pytest.fixture
def proof(tmp_path: Path) -> Iterator[Proof]:
    seed = int(os.environ.get("ENGINE_KILLS_SEED", random.randrange(1 << 32)))
    print(f"ENGINE_KILLS_SEED={seed}")  # noqa: T201
    made = Proof(tmp_path, random.Random(seed))
    yield made
    made.service.end_if_running()


def test_killed_at_any_moment_a_service_loses_no_function_and_no_settled_record(proof: Proof) -> None:
    proof.deploy()
    for number in range(ROUNDS):
        proof.load_and_kill(number, changing=number % 2 == 1)
        if number % 3 == 2:
            proof.kill_while_it_opens()
        with proof.start() as client:
            proof.check_restarted(client)
    assert proof.service.end() == 0
    proof.check_ended()
    # What it was: shown by `pytest -rP`. A host that is busy with other things may take longer than it does alone.
    print(proof.told())  # noqa: T201
    assert max(proof.lost_ages_ns, default=0) < WINDOW_NS * LOADED


def test_a_killed_service_with_a_thousand_functions_is_soon_there_again(proof: Proof) -> None:
    with proof.start() as client:
        settings = {"handler": "app.handler", "memory_mb": 1_769, "timeout_s": 60}
        for number in range(MANY):
            code = zipped("app.py", f"def handler(event, context):\n    return {number}\n")
            client.call("create_function", {"name": f"f-{number}", "code": code, **settings})
        for number in range(10):
            assert client.call("invoke", f"f-{number}", b"{}")["payload"] == b"%d" % number
    proof.kill()
    for _ in range(3):
        with proof.start() as client:
            assert len(client.call("list_functions", {})["functions"]) == MANY
            for number in (0, 500, MANY - 1):
                assert client.call("invoke", f"f-{number}", b"{}")["payload"] == b"%d" % number
        proof.kill()
    began = time.perf_counter()
    with Engine(proof.data) as engine:
        opened_s = time.perf_counter() - began
        assert len(engine.list_functions()) == MANY
    told = ", ".join(f"{restart_s * 1e3:.0f}" for restart_s in proof.restarts_s[1:])
    print(f"{MANY} functions: restarts took {told} ms, Engine.open alone {opened_s * 1e3:.0f} ms")  # noqa: T201
