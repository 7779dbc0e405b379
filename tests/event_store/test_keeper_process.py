"""The process that keeps events: killed, refused by its file or its disk, left alone by its engine; and what of it an
engine notices."""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from doors import BlockingDoor, Gate, watched
from kept_events import ALL, PATIENCE_S, QUEUE, ByProcess, a_parcel, an_event
from serving import Service

from engine.errors import ServiceException
from engine.store.event_db import EventDb
from engine.store.event_store import Opening, Step
from engine.sync import Engine

CODE = Path(__file__).parent / "code"
WRITES = 600
AT_ONCE = 32  # writes that wait for an answer
EACH = 3  # events of a write
KILLS = 12
FULL_BYTES = 1_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def kept(path: Path) -> Iterator[ByProcess]:
    made = ByProcess(path)
    yield made
    made.close()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def found_in(path: Path) -> tuple[Opening, list[int]]:
    """What lies there once nobody has it open: in sum, and the numbers of the events of queue 1."""
    store = EventDb(path)
    try:
        return store.opening(), [row.seq for row in store.next_events(1, -1, ALL, ALL)]
    finally:
        store.close()


# --- killed -----------------------------------------------------------------------------------------------------------


def steps_of(number: int) -> list[Step]:
    """Of the write of this number: new events and a parcel; and of one that was answered long before, the ends."""
    first, done = number * EACH, (number - 2 * AT_ONCE) * EACH
    steps: list[Step] = [QUEUE, ("append", [an_event(first + more) for more in range(EACH)])]
    steps.append(("send", [a_parcel(10_000 + number, number)]))
    if done >= 0:
        steps += [("remove", [done]), ("delay", [(done + 1, 1, 5)]), ("sent", [10_000 + done // EACH])]
    return steps


def test_killed_again_and_again_while_it_writes_every_write_is_answered_and_there_once(
    kept: ByProcess, path: Path
) -> None:
    drawn = random.Random(7)
    kills = set(drawn.sample(range(WRITES), KILLS))
    writes: list[asyncio.Future[Any]] = []
    reads: list[asyncio.Future[Any]] = []
    answered: list[int] = []
    killed = set[int]()

    def ask_more(count: int) -> None:
        for number in range(len(writes), min(WRITES, len(writes) + count)):
            writes.append(kept.ask("write", steps_of(number), size=100))
            writes[-1].add_done_callback(lambda _, number=number: note(number))  # type: ignore[misc]
            reads.append(kept.ask("next_events", 1, number, 1, ALL))

    def note(number: int) -> None:
        answered.append(number)
        if number in kills:
            killed.add(kept.pid)
            kill(kept.pid)
        ask_more(1)

    ask_more(AT_ONCE)
    kept.turn_until(lambda: len(answered) == WRITES)
    assert answered == list(range(WRITES))
    assert [error for error, _ in kept.wait(*writes, *reads) if error is not None] == []
    assert kept.keeper.waiting_bytes == 0
    kept.turn_until(lambda: kept.pid not in killed)  # also after a kill whose answers had all come already
    assert 1 < len(killed) <= KILLS  # two answers may come together
    kept.close()
    done = range((WRITES - 2 * AT_ONCE) * EACH)
    opening, in_turn = found_in(path)
    put_off = sum(seq % EACH == 1 for seq in done)
    assert in_turn == [seq for seq in range(WRITES * EACH) if seq not in done or seq % EACH == 2]
    assert opening.parcels == 2 * AT_ONCE
    assert opening.last == 10_000 + WRITES - 1
    store = EventDb(path)
    assert [row.seq for row in store.due_events(5, ALL, ALL, []).rows] == [seq for seq in done if seq % EACH == 1]
    assert put_off == len(done) // EACH
    store.close()


def test_killed_before_it_has_answered_anything_it_is_replaced_until_one_lives(kept: ByProcess, path: Path) -> None:
    asked = kept.ask("write", steps_of(0))
    for _ in range(4):
        before = kept.pid
        kill(before)
        kept.turn_until(lambda: kept.pid != before)  # noqa: B023
    assert kept.wait(asked) == [(None, None)]
    kept.close()
    assert found_in(path)[1] == [0, 1, 2]


def test_killed_with_more_on_its_way_than_a_socket_holds_it_gets_all_of_it_again(kept: ByProcess, path: Path) -> None:
    payload = b"p" * 1_000_000
    asked = [
        kept.ask("write", [QUEUE, ("append", [an_event(seq, payload=payload)])], size=len(payload)) for seq in range(24)
    ]
    assert kept.keeper.waiting_bytes == 24 * len(payload)
    kept.wait(asked[0])
    kill(kept.pid)
    assert kept.wait(*asked) == [(None, None)] * 24
    kept.close()
    opening, seqs = found_in(path)
    assert seqs == list(range(24))
    assert opening.last == 23


def test_one_bad_write_among_others_is_refused_alone(kept: ByProcess, path: Path) -> None:
    kept.write([])
    os.kill(kept.pid, signal.SIGSTOP)  # so that it finds all of them at once
    bad = [("append", [an_event(5), an_event(6)[:7]])]
    asked = [kept.ask("write", steps) for steps in (steps_of(0), bad, steps_of(2), [("nothing", 1)], steps_of(4))]
    os.kill(kept.pid, signal.SIGCONT)
    errors = [error for error, _ in kept.wait(*asked)]
    assert [error is None for error in errors] == [True, False, True, False, True]
    assert f"the event queue at {path} could not be written" in str(errors[1])
    kept.close()
    assert found_in(path)[1] == [seq for number in (0, 2, 4) for seq in range(number * EACH, (number + 1) * EACH)]


def test_closed_at_once_after_a_write_it_has_written_it(kept: ByProcess, path: Path) -> None:
    for number in range(40):
        kept.ask("write", steps_of(number))
    kept.close()
    assert found_in(path)[0].parcels == 40


# --- refused ----------------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_opened_any_more_refuses_until_it_is_back(kept: ByProcess, path: Path) -> None:
    kept.write(steps_of(0))
    away = path.parent / "away"
    away.mkdir()
    for file in (path, path.with_name("events.db-wal")):
        file.rename(away / file.name)  # under the keeper, which does not notice
    path.write_bytes(b"not a database " * 100)
    kill(kept.pid)
    [(error, _)] = kept.wait(kept.ask("write", steps_of(1)))
    assert str(error).startswith(f"{path} is damaged (file is not a database): ")
    assert kept.keeper.waiting_bytes == 0
    for file in sorted(away.iterdir(), reverse=True):
        file.rename(path.with_name(file.name))  # the way out that it names

    deadline = time.monotonic() + PATIENCE_S
    while kept.wait(kept.ask("write", steps_of(2)))[0][0] is not None:
        assert time.monotonic() < deadline
    kept.close()
    assert found_in(path)[1] == [0, 1, 2, 6, 7, 8]


@contextmanager
def limited(kept: ByProcess, _: Path) -> Iterator[Callable[[], object]]:
    """The limit on a file's size stands for the disk's: the write itself is refused, by the kernel."""
    hard = resource.prlimit(kept.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(kept.pid, resource.RLIMIT_FSIZE, (FULL_BYTES, hard))
    yield lambda: resource.prlimit(kept.pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def filled(_: ByProcess, folder: Path) -> Iterator[Callable[[], object]]:
    """A disk of its own, small and with a file on it that can go."""
    in_the_way = folder / "in the way"
    in_the_way.write_bytes(bytes(3 * FULL_BYTES))
    yield in_the_way.unlink


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Root alone may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={4 * FULL_BYTES}", "none", str(folder)], stderr=subprocess.DEVNULL
    )
    if mounted.returncode != 0:
        pytest.skip("this user may mount nothing")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def check_a_full_disk(folder: Path, full: Callable[..., Any]) -> None:
    path = folder / "events.db"
    kept = ByProcess(path)
    try:
        kept.write(steps_of(0))
        with full(kept, folder) as relieve:
            accepted, payload = EACH, b"p" * 10_000
            with pytest.raises(ServiceException, match=rf"^the event queue at {path} could not be written: "):
                while accepted < 1_000:
                    kept.write([QUEUE, ("append", [an_event(accepted, payload=payload)])])
                    accepted += 1
            assert accepted > 2 * EACH
            asked = [
                kept.ask("write", [QUEUE, ("append", [an_event(5_000 + n, payload=b"p" * FULL_BYTES)])]) for n in (1, 2)
            ]
            assert all(error is not None for error, _ in kept.wait(*asked))
            assert [row.seq for row in kept.next_events(1, -1, ALL, ALL)] == list(range(accepted))
            relieve()
        kept.write([QUEUE, ("append", [an_event(8_000)]), ("remove", [0])])
    finally:
        kept.close()
    assert found_in(path)[1] == [*range(1, accepted), 8_000]


def test_a_full_disk_refuses_new_events_and_loses_none_that_were_written(tmp_path: Path) -> None:
    check_a_full_disk(tmp_path, limited)


def test_a_disk_that_is_really_full_does_so_too(small_disk: Path) -> None:
    check_a_full_disk(small_disk, filled)


# --- with an engine ---------------------------------------------------------------------------------------------------


@pytest.fixture
def code(tmp_path: Path) -> Path:
    made = tmp_path / "app.py"
    made.write_text(
        "import socket\n\n\n"
        "def handler(event, context):\n"
        "    return event\n\n\n"
        "def waits(event, context):\n"
        "    with socket.create_connection(event) as gate:\n"
        "        gate.recv(1)\n"
    )
    return made


def keeper_of(door: BlockingDoor) -> Any:
    return door.inside.events._keeper


def on_disk(door: BlockingDoor) -> bool:
    """Whether any event is."""

    async def ask() -> Any:
        asked = asyncio.get_running_loop().create_future()
        keeper_of(door).ask("oldest_ms", (), lambda error, result: asked.set_result((error, result)))
        return await asked

    error, oldest_ms = asyncio.run_coroutine_threadsafe(ask(), door.inside._loop).result(PATIENCE_S)
    assert error is None
    return bool(oldest_ms)


def invocations(door: BlockingDoor) -> int:
    count: int = door.stats("f")["functions"]["f"]["versions"]["$LATEST"]["invocations"]
    return count


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def test_an_engine_whose_disk_is_full_refuses_events_and_runs_each_that_it_accepted_once(
    tmp_path: Path, code: Path, gate: Gate
) -> None:
    with BlockingDoor(data_dir=tmp_path / "data") as door:
        door.create_function("f", code=code, handler="app.waits")
        door.invoke("f", gate.address, invocation_type="Event")
        gate.wait_entered()
        pid = keeper_of(door).pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
        for _ in range(3):
            with pytest.raises(ServiceException, match=r"^the event queue at .*/events\.db could not be written: "):
                door.invoke("f", gate.address, invocation_type="Event")
        gate.open()
        wait_until(lambda: invocations(door) == 1)
        assert on_disk(door)  # that it is done could not be written
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        door.invoke("f", gate.address, invocation_type="Event")
        gate.wait_entered()
        gate.open()
        wait_until(lambda: invocations(door) == 2)
        wait_until(lambda: not on_disk(door))
        assert keeper_of(door).pid == pid
    assert found_in(tmp_path / "data" / "events.db")[1] == []


def test_an_engine_whose_keeper_is_killed_goes_on_accepting_and_runs_each_event_once(
    tmp_path: Path, code: Path
) -> None:
    with BlockingDoor(data_dir=tmp_path / "data") as door:
        door.create_function("f", code=code, handler="app.handler")
        for number in range(200):
            assert door.invoke("f", number, invocation_type="Event").status_code == 202
            if number % 20 == 10:
                kill(keeper_of(door).pid)
        wait_until(lambda: invocations(door) == 200 and not on_disk(door))
    assert found_in(tmp_path / "data" / "events.db")[1] == []


def keepers_of(service: Service) -> list[int]:
    """Processes that keep the events of this service's folder, its own and those of its dead forerunners."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(service.folder / "data" / "events.db") in words:
            found.append(process.pid)
    return found


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.end_if_running()


def accept(service: Service, number: int) -> None:
    with service.connect() as client:
        answer = client.call("invoke", "f", b"%d" % number, {"invocation_type": "Event"})
        assert answer["status_code"] == 202


def test_it_ends_when_its_engine_is_killed_and_the_next_engine_opens_and_goes_on(service: Service) -> None:
    service.start()
    with service.connect() as client:
        client.deploy("f")
    for number in range(3):
        accept(service, number)
        [keeper] = keepers_of(service)
        with watched(keeper) as wait_gone:
            service.end(signal.SIGKILL)
            wait_gone()
        service.start()
    accept(service, 3)
    service.end()
    assert keepers_of(service) == []
    with BlockingDoor(data_dir=service.folder / "data") as door:
        wait_until(lambda: not on_disk(door))
    assert found_in(service.folder / "data" / "events.db")[1] == []


def test_an_engine_waits_for_the_last_commit_of_a_killed_ones_keeper(service: Service) -> None:
    service.start()
    with service.connect() as client:
        client.deploy("f")
    accept(service, 1)
    [old] = keepers_of(service)
    with watched(old) as wait_gone:
        os.kill(old, signal.SIGSTOP)  # in the midst of it
        service.end(signal.SIGKILL)
        process = service.begin()
        wait_until(lambda: len(keepers_of(service)) == 2)
        os.kill(old, signal.SIGCONT)
        wait_gone()
    assert process.stdout is not None
    assert " ready, pid " in process.stdout.readline()
    accept(service, 2)


def test_it_ends_with_its_engine_even_if_a_child_that_the_host_forked_lives_on(tmp_path: Path, code: Path) -> None:
    data = tmp_path / "data"
    argv = [sys.executable, "-P", str(CODE / "host_that_forks_with_events.py"), str(data), str(code)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as host:
        assert host.stdin is not None and host.stdout is not None
        keeper, child = json.loads(host.stdout.readline())
        below = {process.pid for process in psutil.Process(host.pid).children(recursive=True)} - {keeper, child}
        with watched(child) as wait_child, watched(keeper, *below) as wait_gone:
            host.kill()
            host.wait(PATIENCE_S)
            try:
                wait_gone()
                with Engine(data_dir=data) as engine:
                    assert engine.invoke("f", 1, invocation_type="Event").status_code == 202
            finally:
                host.stdin.close()
                wait_child()
    with Engine():  # removes the dead host's cgroups, which the child's copy of their lock kept until now
        pass
