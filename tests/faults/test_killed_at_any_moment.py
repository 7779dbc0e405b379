"""Processes killed at random moments under load: every call gets exactly one answer, and nothing is left.

ENGINE_CHAOS_S: how many seconds a storm lasts; 5 unless told otherwise, 60 and more before a release:
`ENGINE_CHAOS_S=60 pytest tests/faults/test_killed_at_any_moment.py`.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop
from doors import DOORS, ONE_VCPU_MB, PATIENCE_S, Door, Function, family_pids, watched, zygote_pid
from notes import Notes

from engine import InvokeResult
from engine.core import zygotes
from engine.errors import ServiceException

CODE = Path(__file__).parent / "code"
CHAOS_S = float(os.environ.get("ENGINE_CHAOS_S", "5"))
CALLERS = 64
KILL_EVERY_S = 0.02
TOKENS_MAX = 1 << 23
FAILED = 16
MANY = 16  # starts at once
RSS_GROWTH_MAX = 32 << 20  # one function's ledger, its log text and a byte for each answer; not more with time


def descriptors() -> Counter[str]:
    """What this process holds open, by kind."""
    kinds: Counter[str] = Counter()
    for fd in os.listdir("/proc/self/fd"):
        try:
            kinds[os.readlink(f"/proc/self/fd/{fd}").split(":")[0]] += 1
        except FileNotFoundError:
            continue  # the listing's own
    return kinds


class Storm:
    """64 callers with unique tokens, and a hand that kills a process every 20 ms: an environment, the init of one, or
    either while it waits in stock. Keeps a byte per answer."""

    def __init__(self, door: Door, notes: Notes) -> None:
        self.function = Function(door, "echoes")
        self.notes = notes
        self.tokens = count()
        self.answers = bytearray(TOKENS_MAX)  # by token: how many answers, and FAILED for an ExitError
        self.kills = 0
        self.over = threading.Event()

    def call(self) -> int:
        """One caller; how many calls it made."""
        chance = random.Random(threading.get_ident())
        for made in count():
            if self.over.is_set():
                return made
            token = next(self.tokens)
            event = {"token": token, "notes": self.notes.address, "ms": chance.choice((0, 0, 1, 5))}
            self.answers[token] += 1 + check(token, self.function.door.invoke("echoes", event))
        raise AssertionError("count() has no end")

    def kill_one(self, chance: random.Random) -> None:
        births = self.function.door.inside._supervisor.births
        pairs = [(blank.pid, blank.own_pid) for blank in (*list(births._homes.values()), *list(births._stock))]
        init, environment = chance.choice([pair for pair in pairs if min(pair) > 0] or [(0, 0)])
        if init:
            self.kills += kill_of(*chance.choice([(init, births.zygote.pid), (environment, init)]))

    def rage(self, seconds: float) -> int:
        """How many calls were made meanwhile."""
        chance = random.Random(1)
        with ThreadPoolExecutor(CALLERS) as threads:
            callers = [threads.submit(self.call) for _ in range(CALLERS)]
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                self.kill_one(chance)
                self.over.wait(KILL_EVERY_S)
            self.over.set()
            return sum(caller.result() for caller in callers)


def kill_of(pid: int, parent: int) -> bool:
    """SIGKILL, if it still is this parent's child."""
    try:
        pidfd = os.pidfd_open(pid)
        try:
            if psutil.Process(pid).ppid() != parent:
                return False
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
    except (OSError, psutil.NoSuchProcess):
        return False  # it died of the kill before
    return True


@pytest.fixture(scope="module")
def _libuv_is_there() -> None:
    """libuv makes itself a signal pipe with the first loop of a process, and keeps it."""
    uvloop.new_event_loop().close()


@pytest.mark.parametrize("name", DOORS)
@pytest.mark.usefixtures("_libuv_is_there")
def test_every_call_gets_exactly_one_answer_and_nothing_is_left(name: str) -> None:
    before, children = descriptors(), psutil.Process().children(recursive=True)
    warm_up, notes = Notes(), Notes()
    with DOORS[name]() as door:
        door.create_function("echoes", code=CODE, handler="hostile.echoes", memory_mb=ONE_VCPU_MB, timeout_s=30)
        Storm(door, warm_up).rage(1.0)
        gc.collect()
        rss = psutil.Process().memory_info().rss
        storm = Storm(door, notes)
        invoked, failed = (storm.function.stats()[name] for name in ("invocations", "errors"))
        made = storm.rage(CHAOS_S)
        gc.collect()
        growth = psutil.Process().memory_info().rss - rss
        stats = storm.function.stats()
        assert door.invoke("echoes", {"token": -1, "notes": notes.address, "ms": 0}).json() == -1
        with watched(*[pid for pid in family_pids(door) if psutil.pid_exists(pid)]) as wait_gone:
            door.close()
            wait_gone()
    warm_up.close()
    noted = notes.close()
    assert set(storm.answers[:made]) == {1, 1 + FAILED}  # nobody was left out or told twice
    assert not any(storm.answers[made:])
    ended = storm.answers.count(1 + FAILED)
    assert 0 < ended <= storm.kills
    ran = Counter(int(line) for line in noted if line != "-1")
    assert max(ran.values()) == 1  # no invocation was run by two environments
    assert all(token in ran for token in range(made) if storm.answers[token] == 1)
    assert stats["invocations"] - invoked == made
    assert stats["errors"] - failed == ended
    assert (stats["concurrency"], stats["timeouts"], stats["throttles"]) == (0, 0, 0)
    # What it was: shown by `pytest -rP`.
    print(f"{name}: {storm.kills} kills, {made} answers, {ended} ExitErrors, {growth >> 20} MB grown")  # noqa: T201
    assert growth < RSS_GROWTH_MAX
    gc.collect()
    assert descriptors() == before
    assert psutil.Process().children(recursive=True) == children


def check(token: int, result: InvokeResult) -> int:
    """A token's answer is the token, or an ExitError that names this invocation: then FAILED."""
    if result.function_error is None:
        assert result.json() == token
        return 0
    message = f"RequestId: {result.request_id} Error: Runtime exited with error: signal: killed"
    assert result.json() == {"errorType": "Runtime.ExitError", "errorMessage": message}
    return FAILED


def calls(function: Function, times: int, event: Any) -> list[InvokeResult]:
    return [function.door.invoke(function.name, event) for _ in range(times)]


def test_a_killed_zygote_ends_what_ran_and_is_replaced(hostile: Function, gate: Any, door: Door) -> None:
    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(hostile, {"gate": gate.address}) for _ in range(4)]
        gate.wait_entered(4)
        with watched(*family_pids(door)) as wait_gone:
            old = zygote_pid(door)
            os.kill(old, signal.SIGKILL)
            wait_gone()
        for result in (call.result() for call in running):
            message = f"RequestId: {result.request_id} Error: Runtime exited with error: signal: killed"
            assert result.json() == {"errorType": "Runtime.ExitError", "errorMessage": message}
    assert (hostile(1).json(), hostile.results[-1].start) == (1, "cold")
    assert zygote_pid(door) != old
    assert hostile.stats()["concurrency"] == 0


def test_a_zygote_killed_over_and_over_under_load_loses_no_call(hostile: Function, door: Door) -> None:
    killed = 0
    with ThreadPoolExecutor(16) as threads:
        running = [threads.submit(calls, hostile, 50, {"n": 1}) for _ in range(16)]
        while not all(call.done() for call in running) and killed < 8:
            pid = zygote_pid(door)
            with watched(pid) as wait_gone:
                os.kill(pid, signal.SIGKILL)
                wait_gone()
            killed += 1
            assert door.invoke("hostile", {"n": 2}).status_code == 200
            wait_replaced(door, pid)
        results = [result for call in running for result in call.result()]
    assert len(results) == 16 * 50
    for result in results:
        assert result.json() == {"n": 1} or result.json()["errorType"] == "Runtime.ExitError"
    assert hostile({"n": 3}).json() == {"n": 3}
    assert hostile.stats()["concurrency"] == 0


def wait_replaced(door: Door, pid: int) -> None:
    """Until this zygote has a successor: whoever called may have been told of its end first."""
    until = time.monotonic() + PATIENCE_S
    while zygote_pid(door) == pid:
        assert time.monotonic() < until
        os.sched_yield()


@pytest.mark.parametrize("kind", DOORS)
def test_a_zygote_that_is_killed_with_many_starts_under_way_has_nobody_refused(kind: str) -> None:
    """Each of them is lost with it: that is one failure, not as many in a row."""
    with DOORS[kind](scaling="lambda") as door, ThreadPoolExecutor(MANY) as threads:
        for number in range(20):
            name = f"new-{number}"
            door.create_function(name, code=CODE, handler="hostile.writes", memory_mb=ONE_VCPU_MB)
            running = [threads.submit(calls, Function(door, name), 1, {"n": 1}) for _ in range(MANY)]
            pid = zygote_pid(door)
            spinning_s = time.monotonic() + number * 0.001  # a moment further on each time
            while time.monotonic() < spinning_s:
                os.sched_yield()
            with watched(pid) as wait_gone:
                os.kill(pid, signal.SIGKILL)
                wait_gone()
            wait_replaced(door, pid)
            for result in (result for call in running for result in call.result()):
                assert result.json() == {"n": 1} or result.json()["errorType"] == "Runtime.ExitError"


@pytest.mark.parametrize("holds_socket", [False, True], ids=["before-the-order", "after-the-order"])
def test_zygotes_that_keep_ending_are_told_to_those_who_wait(
    hostile: Function, door: Door, monkeypatch: pytest.MonkeyPatch, holds_socket: bool
) -> None:
    def ends_at_once(theirs: socket.socket) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "raise SystemExit(3)"]
        fds = (theirs.fileno(),) if holds_socket else ()
        return subprocess.Popen(command, stderr=subprocess.PIPE, pass_fds=fds)

    with monkeypatch.context() as broken:
        broken.setattr(zygotes, "_spawn", ends_at_once)
        with watched(*family_pids(door)) as wait_gone:  # a blank that still lives would take the function
            os.kill(zygote_pid(door), signal.SIGKILL)
            wait_gone()
        with pytest.raises(ServiceException, match="ends at once, time and again"):
            hostile(1)
    assert hostile(2).json() == 2  # the interpreter is whole again, and so is the function


def test_an_environment_killed_while_idle_costs_nobody_an_error(hostile: Function, neighbour: Function) -> None:
    for number in range(20):
        assert hostile(number).json() == number
        with watched(*hostile.pids()) as wait_gone:
            os.kill(hostile.pids()[0], signal.SIGKILL)
            wait_gone()
    assert hostile.stats()["errors"] == 0


def test_environments_killed_while_they_start_are_started_again(
    door: Door, neighbour: Function, tmp_path: Path
) -> None:
    """Init code that kills its process the first time it runs."""
    with socket.create_server(("127.0.0.1", 0)) as told, ThreadPoolExecutor(1) as threads:
        told.settimeout(PATIENCE_S)
        code = tmp_path / "app.py"
        code.write_text(
            f"import os, signal, socket\ntries = int(socket.create_connection({told.getsockname()}).recv(1))\n"
            "if tries < 1:\n    os.kill(os.getpid(), signal.SIGKILL)\ndef handler(event, context):\n    return tries\n"
        )
        door.create_function("starts", code=code, handler="app.handler", memory_mb=ONE_VCPU_MB)
        call = threads.submit(door.invoke, "starts")
        for tries in (b"0", b"1"):
            with told.accept()[0] as init:
                init.sendall(tries)
        assert call.result().json() == 1
