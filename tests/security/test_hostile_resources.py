"""Functions that take all there is: they are told so, or end; nobody else has less."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from standing import CODE, EXITED, OUT_OF_MEMORY, PATIENCE_S, Hostile, homes

import engine.core.supervisor

KILLED = "Runtime exited with error: signal: killed"
PROCESSES = 1_024
HOG_MB = 128
Deploy = Callable[..., Hostile]


def test_a_fork_bomb_stops_at_1024_processes_and_is_told_so(hostile: Hostile, enforced: frozenset[str]) -> None:
    if "pids" not in enforced:
        return
    children, refusal = hostile.told("forks")
    assert refusal == "EAGAIN"
    assert PROCESSES - 3 <= children <= PROCESSES - 1  # itself and its init count too
    assert hostile.invoke().function_error is None


def test_a_fork_bomb_whose_children_fork_too_is_gone_at_its_time_limit(
    hasty: Hostile, enforced: frozenset[str]
) -> None:
    if "pids" in enforced:
        hasty.times_out("forks", hang=True)


def test_a_thread_bomb_stops_at_1024_threads_and_is_told_so(hostile: Hostile, enforced: frozenset[str]) -> None:
    if "pids" not in enforced:
        return
    for _ in range(2):
        threads, refusal = hostile.told("starts_threads")
        assert refusal == "can't start new thread"
        assert PROCESSES - 8 <= threads <= PROCESSES - 1
    assert hostile.results[-1].start == "warm"


@pytest.mark.parametrize("way", ["heap", "child", "grandchildren"])
def test_a_memory_hog_is_killed_and_its_report_says_out_of_memory(deploy: Deploy, way: str) -> None:
    hostile = deploy(memory_mb=HOG_MB)
    hostile.invoke()
    result = hostile.ends("takes_memory", KILLED, verdict=OUT_OF_MEMORY, way=way)
    assert int(hostile.report(result)["most"]) == HOG_MB


def test_memory_in_a_file_without_a_name_counts(deploy: Deploy, enforced: frozenset[str]) -> None:
    if "pids" in enforced:
        deploy(memory_mb=HOG_MB).ends("takes_memory_in_files", KILLED, verdict=OUT_OF_MEMORY)


def test_an_init_that_hogs_memory_is_killed_again_inside_the_invocation(deploy: Deploy, tmp_path: Path) -> None:
    code = "import os\nif not os.environ.get('TAME'):\n held = bytearray(400 << 20)\nfrom attacks import handler\n"
    hostile = deploy(memory_mb=HOG_MB, code=_with(code, tmp_path), handler="app.handler")
    result = hostile.invoke()
    message = f"RequestId: {result.request_id} Error: {KILLED}"
    assert result.json() == {"errorType": "Runtime.ExitError", "errorMessage": message}
    assert hostile.report(result)["status"] == OUT_OF_MEMORY
    hostile.door.update_function_configuration(hostile.name, environment={"TAME": "1"})


def _with(code: str, folder: Path) -> Path:
    for file in CODE.glob("*.py"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "app.py").write_text(code)
    return folder


def test_descriptors_end_at_1024_and_each_process_has_its_own(hostile: Hostile) -> None:
    for _ in range(2):
        opened, refusal = hostile.told("opens_files")
        assert (refusal, 1_000 < opened <= 1_024 - 3) == ("EMFILE", True)
    children, (own, _) = hostile.told("opens_files_in_children")
    assert (children, own) == (["24"], opened)
    assert hostile.results[-1].start == "warm"


@pytest.mark.parametrize("size_mb", [512, 1_024])
def test_tmp_has_the_size_that_was_asked_for_and_then_is_full(
    deploy: Deploy, enforced: frozenset[str], size_mb: int
) -> None:
    if "files" in enforced:
        hostile = deploy(ephemeral_storage_mb=size_mb)
        assert hostile.told("fills_tmp") == [size_mb, "ENOSPC"]
        assert hostile.told("fills_tmp") == [size_mb, "ENOSPC"]


def test_tmp_full_of_names_is_full_or_costs_its_own_function_its_memory(
    deploy: Deploy, enforced: frozenset[str]
) -> None:
    """An inode is kernel memory, and counts as the function's."""
    if not {"files", "pids"} <= enforced:
        return
    hostile = deploy(memory_mb=HOG_MB)
    result = hostile.attack("fills_tmp_with_names")
    if result.function_error is None:
        assert result.json() == "ENOSPC"
    else:
        assert result.json()["errorMessage"].endswith(KILLED)
        assert hostile.report(result)["status"] in (OUT_OF_MEMORY, EXITED)


@pytest.mark.parametrize("way", ["print", "child"])
def test_a_flood_on_stdout_is_cut_at_a_mebibyte_and_says_so(hostile: Hostile, way: str) -> None:
    assert hostile.told("floods", lines=100_000, way=way) == 0
    log = hostile.log(hostile.results[-1])
    assert sum(len(line) + 1 for line in log) <= (1 << 20) + 1_000
    assert sum(line == "y" * 99 for line in log) > 10_000
    assert hostile.invoke().start == "warm"
    assert len(hostile.log(hostile.results[-1])) == 3  # START, END, REPORT: nothing of the flood


def test_a_flood_without_end_is_ended_at_its_time_limit(hasty: Hostile) -> None:
    hasty.times_out("floods_for_ever")


def test_a_log_pipe_made_small_and_stubborn_holds_up_its_own_function_alone(hostile: Hostile) -> None:
    written = hostile.told("shrinks_its_log")
    assert written > 0
    assert sum(line == "w" * 99 for line in hostile.log(hostile.results[-1])) * 100 == written


def test_threads_that_are_left_stand_still_between_invocations(hostile: Hostile, enforced: frozenset[str]) -> None:
    """The kernel says that all of the environment is frozen; an invocation finds it running again."""
    for _ in range(2):
        hostile.told("leaves_a_thread", at_its_work=not hostile.results)
        if "freeze" in enforced:
            (cell,) = (home.cell for lane, home in homes(hostile.door) if lane == hostile.name)
            deadline = time.monotonic() + PATIENCE_S
            while not cell.frozen():
                assert time.monotonic() < deadline
                time.sleep(0.002)
    assert hostile.invoke().start == "warm"


def test_a_daemon_that_left_its_session_is_frozen_and_goes_with_its_environment(hostile: Hostile) -> None:
    hostile.told("leaves_everything")
    assert hostile.invoke().start == "warm"


def test_an_init_that_hangs_is_ended_and_done_again_under_the_time_limit(
    deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.core.supervisor, "INIT_TIMEOUT_S", 0.3)
    code = "import os, signal\nif not os.environ.get('TAME'):\n signal.pause()\nfrom attacks import handler\n"
    hostile = deploy(timeout_s=1, code=_with(code, tmp_path), handler="app.handler")
    result = hostile.invoke()
    message = f"RequestId: {result.request_id} Error: Task timed out after 1.00 seconds"
    assert result.json() == {"errorType": "Sandbox.Timedout", "errorMessage": message}
    assert hostile.report(result)["status"] == "Status: timeout"
    monkeypatch.undo()
    hostile.door.update_function_configuration(hostile.name, environment={"TAME": "1"})
