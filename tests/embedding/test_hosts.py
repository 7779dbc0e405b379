"""An engine inside somebody else's program: it takes nothing over, and gives back everything."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from doors import DOORS, PATIENCE_S, BlockingDoor, Gate, environment_pid, family_pids, watched, zygote_pid
from holdings import holdings

import engine
import engine.sync
from engine import errors

Run = Callable[..., Any]
CODE = Path(__file__).parent / "code"
MODULES_MAX = 16  # that `import engine` may add to a bare interpreter: the package and what its head names


async def deploy(opened: engine.Engine, handler: str = "echoes", **settings: Any) -> None:
    await opened.create_function(handler, code=CODE, handler=f"hosted.{handler}", **settings)


def test_three_engines_live_in_one_loop_and_know_nothing_of_each_other(run: Run) -> None:
    async def main() -> None:
        async with engine.Engine() as one, engine.Engine() as two, engine.Engine() as three:
            for number, opened in enumerate((one, two, three)):
                await deploy(opened)
                assert (await opened.invoke("echoes", number)).json() == number
            answers = await asyncio.gather(
                *[opened.invoke("echoes", n) for n in range(50) for opened in (one, two, three)]
            )
            assert sorted(answer.json() for answer in answers) == sorted([*range(50)] * 3)
            await two.close()
            assert (await one.invoke("echoes", 1)).start == "warm"
            assert (await three.invoke("echoes", 3)).start == "warm"
            with pytest.raises(errors.EngineClosedError):
                await two.invoke("echoes", 2)

    run(main())


def test_engines_of_every_kind_live_in_one_process(_returns_everything: None) -> None:
    doors = [make() for make in DOORS.values()]
    for door in doors:
        door.__enter__()
        door.create_function("echoes", code=CODE, handler="hosted.echoes")
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda n: doors[n % 3].invoke("echoes", n).json(), range(300)))
    assert answers == list(range(300))
    for door in doors:
        door.__exit__(None, None, None)


def test_opening_and_closing_twenty_times_leaves_nothing(run: Run) -> None:
    async def once(opened: engine.Engine) -> None:
        async with opened:
            await deploy(opened)
            assert (await opened.invoke("echoes", 1)).json() == 1

    run(once(engine.Engine()))
    before = holdings()
    for _ in range(10):
        run(once(engine.Engine()))
    again = engine.Engine()
    for _ in range(10):
        run(once(again))
    assert holdings() == before


def test_opening_and_closing_the_blocking_engine_twenty_times_leaves_nothing(_returns_everything: None) -> None:
    for _ in range(20):
        with engine.sync.Engine() as opened:
            opened.create_function("echoes", code=CODE, handler="hosted.echoes")
            assert opened.invoke("echoes", 1).json() == 1


def test_many_threads_of_a_host_call_at_once(door: Any) -> None:
    door.create_function("echoes", code=CODE, handler="hosted.echoes", memory_mb=1769)
    with ThreadPoolExecutor(32) as threads:
        assert list(threads.map(lambda n: door.invoke("echoes", n).json(), range(2_000))) == list(range(2_000))
    assert door.stats("echoes")["functions"]["echoes"]["versions"]["$LATEST"]["concurrency"] == 0


def test_a_forked_child_cannot_use_the_engine_and_its_end_does_not_harm_it(_returns_everything: None) -> None:
    with engine.sync.Engine() as opened:
        opened.create_function("stream", code=CODE, handler="hosted.tells_its_stream")
        stream = opened.invoke("stream").json()
        folder = opened._engine._control._temporary
        assert folder is not None
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                opened.invoke("stream")
            except errors.ForeignProcessError as error:
                os.write(tell, str(error).encode())
            finally:
                os.close(tell)
                del opened
                os._exit(0)
        os.close(tell)
        with os.fdopen(told) as words:
            assert f"belongs to process {os.getpid()}" in words.read()
        assert os.waitpid(child, 0)[1] == 0
        assert folder.is_dir()
        result = opened.invoke("stream")
        assert (result.json(), result.start) == (stream, "warm")


def test_a_child_that_ends_as_a_whole_interpreter_leaves_its_parents_engine_alone(
    host: Callable[..., subprocess.Popen[str]],
) -> None:
    """The child unwinds its stack, runs its exit handlers and deallocates everything."""
    told, _ = host("host_that_forks.py").communicate(timeout=PATIENCE_S)
    assert json.loads(told) == {"child": 0, "refused": 3, "folder": True, "same": True, "after": None}


def test_signal_handlers_and_the_wakeup_descriptor_are_the_hosts(run: Run) -> None:
    numbers = [signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGALRM]

    async def main() -> None:
        before = [signal.getsignal(number) for number in numbers], signal.pthread_sigmask(signal.SIG_BLOCK, [])
        async with engine.Engine() as opened:
            await deploy(opened)
            await opened.invoke("echoes")
            assert (
                [signal.getsignal(number) for number in numbers],
                signal.pthread_sigmask(signal.SIG_BLOCK, []),
            ) == before

    before = [signal.getsignal(number) for number in numbers]
    run(main())
    assert [signal.getsignal(number) for number in numbers][2:] == before[2:]  # a Runner changes SIGINT while it runs


def test_a_host_may_reap_its_own_children_and_finds_no_zombie(door: Any) -> None:
    door.create_function("stream", code=CODE, handler="hosted.tells_its_stream")
    for _ in range(3):
        pid = environment_pid(door, door.invoke("stream").json())
        with watched(pid, psutil.Process(pid).ppid()) as wait_gone:
            os.kill(pid, signal.SIGKILL)
            wait_gone()
    assert subprocess.run(["true"], check=True).returncode == 0
    states = [child.status() for child in psutil.Process().children(recursive=False)]
    assert psutil.STATUS_ZOMBIE not in states
    assert len(states) >= 1


def test_a_program_that_the_host_starts_inherits_nothing_of_the_engines(door: Any) -> None:
    door.create_function("echoes", code=CODE, handler="hosted.echoes")
    door.invoke("echoes")
    listed = subprocess.run(["ls", "-l", "/proc/self/fd"], close_fds=False, capture_output=True, text=True, check=True)
    assert "memfd:" not in listed.stdout
    assert "[eventfd]" not in listed.stdout
    assert "[eventpoll]" not in listed.stdout
    assert "[pidfd]" not in listed.stdout
    assert "cgroup" not in listed.stdout


def test_an_environment_holds_nothing_of_the_hosts(door: Any, tmp_path: Path) -> None:
    """Not even what the host forgot to close on exec."""
    held = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(held, True)
    with BlockingDoor() as opened:
        opened.create_function("stream", code=CODE, handler="hosted.tells_its_stream")
        environment = environment_pid(opened, opened.invoke("stream").json())
        for pid in (environment, psutil.Process(environment).ppid(), zygote_pid(opened)):
            links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            assert str(tmp_path) not in links
    os.close(held)


def test_when_the_host_is_killed_its_processes_go_too(host: Callable[..., subprocess.Popen[str]]) -> None:
    process = host("host_that_waits.py")
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert len(told["processes"]) >= 3  # the zygote, an environment's init, the environment; blanks
    with watched(*told["processes"]) as wait_gone:
        process.kill()
        process.wait()
        wait_gone()
    with engine.sync.Engine():  # the next engine on this host clears up what the dead one could not
        assert not Path(told["folder"]).exists()


def test_a_cancelled_caller_leaves_the_invocation_running_and_its_lease_comes_back(run: Run, gate: Gate) -> None:
    async def main() -> None:
        async with engine.Engine(account_concurrency=2) as opened:
            await deploy(opened, "waits", timeout_s=60)
            first = asyncio.create_task(opened.invoke("waits", gate.address))
            await asyncio.to_thread(gate.wait_entered)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(opened.invoke("waits", gate.address), 0.05)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            with pytest.raises(errors.TooManyRequestsException):  # both still run
                await opened.invoke("waits", gate.address)
            await asyncio.to_thread(gate.wait_entered)
            gate.open()
            await until(lambda: concurrency(opened) == 0)
            third = asyncio.create_task(opened.invoke("waits", gate.address))
            await asyncio.to_thread(gate.wait_entered)
            gate.open()
            assert (await third).function_error is None

    run(main())


def test_an_interrupted_thread_leaves_the_invocation_running_and_its_lease_comes_back(
    gate: Gate, _returns_everything: None
) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    main = threading.get_ident()
    try:
        with engine.sync.Engine(account_concurrency=1) as opened, ThreadPoolExecutor(1) as threads:
            opened.create_function("waits", code=CODE, handler="hosted.waits", timeout_s=60)

            def send() -> None:
                gate.wait_entered()
                signal.pthread_kill(main, signal.SIGUSR1)

            sent = threads.submit(send)
            with pytest.raises(KeyboardInterrupt):
                opened.invoke("waits", gate.address)
            sent.result()
            with pytest.raises(errors.TooManyRequestsException):
                opened.invoke("waits", gate.address)
            gate.open()
            again = threads.submit(call_when_free, opened, gate.address)
            gate.wait_entered()
            gate.open()
            assert again.result().function_error is None
    finally:
        signal.signal(signal.SIGUSR1, before)


def call_when_free(opened: engine.sync.Engine, address: list[Any]) -> engine.InvokeResult:
    while True:
        try:
            return opened.invoke("waits", address)
        except errors.TooManyRequestsException:
            os.sched_yield()


def concurrency(opened: engine.Engine) -> int:
    return sum(pool.lane.outstanding for pool in opened._supervisor.pools)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until it holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0)


def test_closing_while_invocations_run_tells_every_caller(door: Any, gate: Gate) -> None:
    door.create_function("waits", code=CODE, handler="hosted.waits", timeout_s=60)
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(door.invoke, "waits", gate.address) for _ in range(8)]
        gate.wait_entered(8)
        with watched(*family_pids(door)) as wait_gone:
            door.close()
            for call in calls:
                with pytest.raises(errors.EngineClosedError):
                    call.result(timeout=PATIENCE_S)
            wait_gone()
    with pytest.raises(errors.EngineClosedError):
        door.invoke("waits")
    door.close()


def test_importing_the_engine_adds_few_modules() -> None:
    code = "import sys; before = set(sys.modules); import engine; print(*sorted(set(sys.modules) - before))"
    where = Path(engine.__file__ or "").parent.parent
    added = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(where)},
    ).stdout.split()
    assert "engine" in added
    assert len(added) <= MODULES_MAX, added
