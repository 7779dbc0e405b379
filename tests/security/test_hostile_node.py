"""A handful of attacks in JavaScript: what the engine gives Node.js to run by is no way out, and costs nobody else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from standing import CODE, OUT_OF_MEMORY, Hostile, births, environment_pid

import engine.sync
from engine.core.primed import PrimedStock
from engine.runtimes.nodejs import newest_runtime

Deploy = Callable[..., Hostile]
KILLED = "Runtime exited with error: signal: killed"


@pytest.fixture(scope="module")
def opened(opened: engine.sync.Engine) -> Iterator[engine.sync.Engine]:
    """Without processes that wait for a function: what is held could not be counted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PrimedStock, "_kind", lambda *_: None)
        yield opened


@pytest.fixture
def deploy(deploy: Deploy) -> Deploy:
    """As for functions of the engine's own Python, in the newest JavaScript that this host runs."""

    def create(**settings: Any) -> Hostile:
        return deploy(code=CODE / "node", runtime=newest_runtime(), **settings)

    return create


def test_it_has_no_more_than_1024_processes(hostile: Hostile, enforced: frozenset[str]) -> None:
    if "pids" in enforced:
        children, refusal = hostile.told("spawns")
        assert refusal == "EAGAIN"
        assert 900 <= children <= 1_022
        assert hostile.invoke().function_error is None


@pytest.mark.parametrize("way", ["takesMemory", "childTakesMemory"])
def test_memory_ends_it_and_its_report_says_so(deploy: Deploy, way: str) -> None:
    hostile = deploy(memory_mb=192)
    hostile.invoke()
    hostile.ends(way, KILLED, verdict=OUT_OF_MEMORY)


def test_a_heap_that_is_full_ends_it(deploy: Deploy) -> None:
    """Node.js has a limit of its own below the function's, and aborts there."""
    hostile = deploy(memory_mb=256, timeout_s=240)  # a seventh of a CPU, and garbage is collected all the time
    result = hostile.attack("takesTheHeap")
    assert result.json()["errorType"] == "Runtime.ExitError"
    assert result.json()["errorMessage"].split("Error: ")[1] in (KILLED, "Runtime exited with error: signal: aborted")


def test_descriptors_and_tmp_end_where_they_should(hostile: Hostile, enforced: frozenset[str]) -> None:
    opened, refusal = hostile.told("opensFiles")
    assert (refusal, 900 < opened < 1_024) == ("EMFILE", True)
    if "files" in enforced:
        refusal, files = hostile.told("fillsTmp")
        assert (refusal, 120 <= files <= 129) == ("ENOSPC", True)
    assert hostile.invoke().start == "warm"


def test_nothing_of_the_host_is_read_or_written(hostile: Hostile, enforced: frozenset[str]) -> None:
    if not {"files", "processes"} <= enforced:
        return
    victim = str(hostile.door.get_function("victim").code.root)
    paths = [f"{victim}/victim.py", "/etc/shadow", "/root/.bashrc", "/proc/1/environ", f"/proc/{os.getpid()}/environ"]
    assert set(hostile.told("reads", paths=paths).values()) <= {"ENOENT", "EACCES"}
    own = ["/var/task/attacks.mjs", "/var/rapid/nodejs/x", "/var/cache/runtimes/x", "/opt/x", "/usr/bin/env"]
    assert set(hostile.told("writes", paths=own).values()) <= {"EROFS", "EACCES", "ENOENT", "ETXTBSY"}


def test_it_sees_itself_and_signals_nobody_else(hostile: Hostile, enforced: frozenset[str]) -> None:
    if "processes" not in enforced:
        return
    assert hostile.told("processes") == [hostile.told("ownPid")]
    others = [os.getpid(), births(hostile.door).zygote.pid, environment_pid(hostile.door, "victim"), 1]
    assert set(hostile.told("signals", pids=others)) <= {"ESRCH", "EPERM"}
    hostile.ends("endsAll", KILLED)  # what serves it, and so itself


def test_a_flood_on_stdout_is_cut_at_a_mebibyte(hostile: Hostile) -> None:
    hostile.told("floods", lines=50_000)
    log = hostile.log(hostile.results[-1])
    assert sum(line == "y" * 99 for line in log) > 10_000
    assert sum(len(line) + 1 for line in log) <= (1 << 20) + 1_000
    assert hostile.invoke().start == "warm"


@pytest.mark.parametrize(
    ("attack", "how", "reason"),
    [
        ("exits", {"status": 0}, "Runtime exited without providing a reason"),
        ("exits", {"status": 3}, "Runtime exited with error: exit status 3"),
        ("ends", {"signal": "SIGKILL"}, KILLED),
        ("ends", {"signal": "SIGSEGV"}, "Runtime exited with error: signal: segmentation fault"),
        ("aborts", {}, "Runtime exited with error: signal: aborted"),
    ],
)
def test_however_it_ends_its_caller_is_told(hostile: Hostile, attack: str, how: Any, reason: str) -> None:
    hostile.invoke()
    log = hostile.log(hostile.ends(attack, reason, **how))
    assert any(line.endswith("\tattacking") for line in log), log


@pytest.mark.parametrize(("attack", "how"), [("spins", {}), ("ends", {"signal": "SIGSTOP"})])
def test_a_loop_and_a_stop_end_at_the_time_limit(hasty: Hostile, attack: str, how: Any) -> None:
    hasty.invoke()
    hasty.times_out(attack, **how)


@pytest.mark.parametrize("attack", ["leavesADaemon", "leavesThreads"])
def test_what_it_leaves_goes_with_its_environment(hostile: Hostile, attack: str) -> None:
    """The fixture deletes the function, and counts."""
    hostile.told(attack)
    assert hostile.invoke().start == "warm"
