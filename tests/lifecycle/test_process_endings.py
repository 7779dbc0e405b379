"""However a function's process ends: Lambda's answer, its log lines, its bill; then the next invocation works."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from doors import Function, watched

from engine import InvokeResult

Deploy = Callable[..., Function]

REASONS = {
    "os._exit(0)": "Runtime exited without providing a reason",
    "os._exit(3)": "Runtime exited with error: exit status 3",
    "sys.exit()": "Runtime exited without providing a reason",
    "sys.exit(4)": "Runtime exited with error: exit status 4",
    "sys.exit(text)": "Runtime exited with error: exit status 1",
    "KeyboardInterrupt": "Runtime exited with error: exit status 1",
    "SIGKILL": "Runtime exited with error: signal: killed",
    "SIGTERM": "Runtime exited with error: signal: terminated",
    "SIGSEGV": "Runtime exited with error: signal: segmentation fault",
    "abort": "Runtime exited with error: signal: aborted",
    "C stack": "Runtime exited with error: signal: segmentation fault",
}
REPORT = re.compile(
    r"REPORT RequestId: (?P<id>\S+)\tDuration: (?P<ms>\d+\.\d\d) ms\tBilled Duration: (?P<billed>\d+) ms\t"
    r"Memory Size: (?P<memory>\d+) MB\tMax Memory Used: (?P<most>\d+) MB\t"
    r"(Init Duration: (?P<init>\d+\.\d\d) ms\t)?(?P<status>.*)"
)


def billed(result: InvokeResult) -> int:
    """Lambda's rule, from the result's own times, counted in whole nanoseconds."""
    took_ns = round(result.duration_ms * 1e6) + round((result.init_ms or 0) * 1e6)
    return max(1, math.ceil(took_ns / 1_000_000))


def check_report(line: str, result: InvokeResult, status: str) -> None:
    """The REPORT line says what the result says."""
    report = REPORT.fullmatch(line)
    assert report is not None, line
    assert report["id"] == result.request_id
    assert abs(float(report["ms"]) - result.duration_ms) <= 0.0101
    assert int(report["billed"]) == result.billed_ms == billed(result)
    assert int(report["memory"]) == result.memory_mb
    assert int(report["most"]) == result.max_memory_mb > 0
    assert (report["init"] is not None) == (result.init_ms is not None) == (result.start == "cold")
    assert report["status"] == status


def differences(before: dict[str, Any], after: dict[str, Any], *names: str) -> dict[str, int]:
    return {name: after[name] - before[name] for name in names}


COUNTS = ("invocations", "errors", "timeouts", "throttles", "cold_starts", "warm_starts", "billed_ms")


@pytest.mark.parametrize("way", REASONS)
def test_a_process_that_ends_is_an_exit_error_and_the_next_invocation_works(deploy: Deploy, way: str) -> None:
    function = deploy("ends")
    first = function()
    before = function.stats()
    with watched(function.pid(first.json())) as wait_gone:
        ended = function({"way": way})
        wait_gone()
    message = f"RequestId: {ended.request_id} Error: {REASONS[way]}"
    assert ended.json() == {"errorType": "Runtime.ExitError", "errorMessage": message}
    assert list(ended.json()) == ["errorType", "errorMessage"]
    assert (ended.function_error, ended.status_code, ended.start, ended.outcome) == ("Unhandled", 200, "warm", "exit")
    log = function.log(ended)
    assert log[:2] == [f"START RequestId: {ended.request_id} Version: $LATEST", "own line"]
    assert log[-2] == f"END RequestId: {ended.request_id}"
    check_report(log[-1], ended, "Status: error\tError Type: Runtime.ExitError")
    changed = differences(before, function.stats(), *COUNTS)
    assert changed == {
        **dict.fromkeys(COUNTS, 0), "invocations": 1, "errors": 1, "warm_starts": 1, "billed_ms": ended.billed_ms,
    }  # fmt: skip
    after = function()
    assert (after.function_error, after.start) == (None, "cold")
    assert after.json() != first.json()
    assert function.stats()["environments"] == {"ready": 1, "starting": 0}


def test_what_a_dying_process_said_last_is_in_its_log(deploy: Deploy) -> None:
    function = deploy("ends")
    ended = function({"way": "sys.exit(text)"})
    assert function.log(ended)[2:4] == ["own line", "last words"]
    interrupted = function({"way": "KeyboardInterrupt"})
    assert "KeyboardInterrupt" in function.log(interrupted)


def test_a_first_invocation_that_ends_its_process_is_billed_with_its_init(deploy: Deploy) -> None:
    function = deploy("ends")
    ended = function({"way": "os._exit(3)"})
    assert (ended.start, ended.init_ms is not None) == ("cold", True)
    log = function.log(ended)
    assert log[0].startswith("INIT_START Runtime Version: python:3.")
    assert log[1].startswith("START RequestId: ")
    check_report(log[-1], ended, "Status: error\tError Type: Runtime.ExitError")


def test_a_success_is_reported_cold_then_warm(deploy: Deploy) -> None:
    function = deploy("ends")
    cold, warm = function(), function()
    assert (cold.start, warm.start, cold.json()) == ("cold", "warm", warm.json())
    opening, *lines = function.log(cold)
    assert opening.startswith("INIT_START Runtime Version: python:3.")
    ended = [f"START RequestId: {cold.request_id} Version: $LATEST", "own line", f"END RequestId: {cold.request_id}"]
    assert lines[:-1] == ended
    check_report(lines[-1], cold, "")
    check_report(function.log(warm)[-1], warm, "")
    assert len(function.log(warm)) == 4
    stats = function.stats()
    assert {name: stats[name] for name in COUNTS} == {
        "invocations": 2, "errors": 0, "timeouts": 0, "throttles": 0, "cold_starts": 1, "warm_starts": 1,
        "billed_ms": cold.billed_ms + warm.billed_ms,
    }  # fmt: skip
    assert (stats["concurrency"], stats["environments"]) == (0, {"ready": 1, "starting": 0})


def test_an_exception_is_told_with_the_users_frames_alone(deploy: Deploy) -> None:
    function = deploy("raises")
    for say in ("no such thing", 'quoted "text"\nand a line', "ünïcödé ☃"):
        raised = function({"say": say})
        answer = raised.json()
        assert list(answer) == ["errorMessage", "errorType", "requestId", "stackTrace"]
        assert (answer["errorMessage"], answer["errorType"]) == (say, "ValueError")
        assert answer["requestId"] == raised.request_id
        frames = [re.fullmatch(r'  File "(.*)", line \d+, in (\w+)\n    (.*)\n', text) for text in answer["stackTrace"]]
        assert [frame and frame[2] for frame in frames] == ["raises", "deeper"]
        assert all(frame is not None and frame[1].endswith("/endings.py") for frame in frames)
        assert (raised.function_error, raised.outcome) == ("Unhandled", "error")
        log = function.log(raised)
        assert "own line" in log
        assert any(line.startswith(f"[ERROR] ValueError: {say.splitlines()[0]}") for line in log)
        assert not any("port.pyx" in line or "/worker/" in line for line in log)
        check_report(log[-1], raised, "Status: error\tError Type: ValueError")
    assert function.stats()["errors"] == 3
    assert len({result.start for result in function.results}) == 2  # one process served all


def test_memory_over_the_limit_ends_the_environment_as_out_of_memory(deploy: Deploy) -> None:
    function = deploy("ends", memory_mb=128, timeout_s=30)
    for way in ("memory", "memory of a child"):
        with watched(function.pid(function().json())) as wait_gone:
            starved = function({"way": way})
            wait_gone()
        message = f"RequestId: {starved.request_id} Error: Runtime exited with error: signal: killed"
        assert starved.json() == {"errorType": "Runtime.ExitError", "errorMessage": message}
        assert starved.outcome == "oom"
        check_report(function.log(starved)[-1], starved, "Status: error\tError Type: Runtime.OutOfMemory")
        assert starved.max_memory_mb == 128
        assert function().function_error is None
