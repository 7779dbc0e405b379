"""Init code that fails, exits or hangs: logged as `Phase: init`, then done again within the invocation."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from doors import PATIENCE_S, BlockingDoor, Function

import engine.core.supervisor
from engine import InvokeResult

Deploy = Callable[..., Function]

# name: (code, handler, the answer's errorType, its errorMessage)
FAILURES = {
    "a missing import": (
        "import nothere", "app.handler",
        "Runtime.ImportModuleError", "Unable to import module 'app': No module named 'nothere'",
    ),
    "a missing module": (
        "pass", "other.handler",
        "Runtime.ImportModuleError", "Unable to import module 'other': No module named 'other'",
    ),
    "the engine itself": (
        "import engine", "app.handler",
        "Runtime.ImportModuleError", "Unable to import module 'app': No module named 'engine'",
    ),
    "a missing handler": (
        "pass", "app.handler",
        "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'",
    ),
    "a syntax error": (
        "def handler(:\n", "app.handler",
        "Runtime.UserCodeSyntaxError", "Syntax error in module 'app': invalid syntax (app.py, line 1)",
    ),
    "a handler without a module": (
        "pass", "handler",
        "Runtime.MalformedHandlerName", "Bad handler 'handler': not enough values to unpack (expected 2, got 1)",
    ),
    "an exception": (
        "print('loading')\nraise KeyError('k')", "app.handler",
        "KeyError", "'k'",
    ),
}  # fmt: skip


def written(folder: Path, code: str) -> Path:
    file = folder / "app.py"
    file.write_text(code)
    return file


def check_log(function: Function, result: InvokeResult, init_status: str) -> None:
    """First the init that failed, then the invocation with its own."""
    log = function.whole_log()
    (report,) = (line for line in log if line.startswith("INIT_REPORT ") and "\tPhase: init\t" in line)
    assert re.fullmatch(rf"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: init\t{init_status}", report)
    start = log.index(f"START RequestId: {result.request_id} Version: $LATEST")
    assert log.index(report) < start
    assert log.index(f"END RequestId: {result.request_id}") > start
    assert "\tInit Duration: " not in log[-1]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failing_init_is_told_by_every_invocation(deploy: Deploy, tmp_path: Path, failure: str) -> None:
    code, handler, error_type, message = FAILURES[failure]
    function = deploy(handler, code=written(tmp_path, code))
    first = function()
    answer = first.json()
    assert list(answer) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert (answer["errorType"], answer["errorMessage"], answer["requestId"]) == (error_type, message, "")
    assert (first.function_error, first.outcome, first.init_ms) == ("Unhandled", "error", None)
    assert first.billed_ms == -(-round(first.duration_ms * 1e6) // 1_000_000)
    check_log(function, first, f"Status: error\tError Type: {re.escape(error_type)}")
    log = function.log(first)
    assert log[-1].endswith(f"Status: error\tError Type: {error_type}")
    assert any(line.startswith(f"[ERROR] {error_type}: ") for line in log)
    (again,) = (line for line in log if line.startswith("INIT_REPORT "))
    told = (
        rf"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: invoke\tStatus: error\tError Type: {re.escape(error_type)}"
    )
    assert re.fullmatch(told, again)
    assert ("loading" in log) == (failure == "an exception")
    assert function().json() == answer
    stats = function.stats()
    assert (stats["invocations"], stats["errors"]) == (2, 2)


def test_a_syntax_error_shows_the_line_and_an_exception_no_frame_of_the_engine(deploy: Deploy, tmp_path: Path) -> None:
    wrong = deploy("app.handler", code=written(tmp_path, "def handler(:\n"))
    (place,) = wrong().json()["stackTrace"]
    assert re.fullmatch(r'  File ".*/app\.py" Line 1\n    def handler\(:\n?', place)
    raising = deploy("app.handler", code=written(tmp_path, "def load():\n    raise KeyError('k')\nload()"))
    trace = raising().json()["stackTrace"]
    assert not any("/worker/" in frame or "port.pyx" in frame for frame in trace)
    assert [re.sub(r".*, in (.*)\n(?s:.*)", r"\1", frame) for frame in trace[-2:]] == ["<module>", "load"]


def test_an_init_that_is_heard_to_have_failed_after_its_process_ended_is_logged_all_the_same(
    deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = deploy("app.handler", code=written(tmp_path, "raise KeyError('k')"))
    supervisor = function.door.inside._supervisor
    later = supervisor._later

    def without_word_of_it(call: Any, *arguments: Any) -> None:
        if arguments[-1] != "init_failed":
            later(call, *arguments)

    monkeypatch.setattr(supervisor, "_later", without_word_of_it)
    deaths = supervisor.deaths
    result = function()
    assert supervisor.deaths - deaths <= 2  # the init's, and that of the one within the invocation
    assert result.json()["errorType"] == "KeyError"
    check_log(function, result, "Status: error\tError Type: KeyError")


@pytest.mark.parametrize("code", ["import os; os._exit(3)", "import sys; sys.exit(3)"])
def test_an_init_that_exits_is_an_exit_error(deploy: Deploy, tmp_path: Path, code: str) -> None:
    function = deploy("app.handler", code=written(tmp_path, f"print('loading')\n{code}"))
    for result in (function(), function()):
        message = f"RequestId: {result.request_id} Error: Runtime exited with error: exit status 3"
        assert result.json() == {"errorType": "Runtime.ExitError", "errorMessage": message}
        assert result.outcome == "exit"
        assert "loading" in function.log(result)
        assert function.log(result)[-1].endswith("\tStatus: error\tError Type: Runtime.ExitError")
    assert (
        sum("\tPhase: init\tStatus: error\tError Type: Runtime.ExitError" in line for line in function.whole_log()) == 1
    )


def test_an_init_that_works_the_second_time_serves_and_its_time_is_the_invocations(
    deploy: Deploy, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as told, ThreadPoolExecutor(1) as threads:
        told.settimeout(PATIENCE_S)
        code = f"""
import os, socket, time
with socket.create_connection({told.getsockname()}) as asked:
    if asked.recv(4) == b"fail":
        os._exit(1)
until = time.monotonic() + 0.05
while time.monotonic() < until:
    pass
def handler(event, context):
    return context.get_remaining_time_in_millis()
"""
        function = deploy("app.handler", code=written(tmp_path, code), timeout_s=3)
        call = threads.submit(function)
        for word in (b"fail", b"work"):
            with told.accept()[0] as init:
                init.sendall(word)
        first, second = call.result(), function()
    assert (first.function_error, first.start, first.init_ms) == (None, "cold", None)
    assert first.duration_ms >= 50
    assert first.billed_ms >= 50
    assert first.json() <= 2950
    assert (second.function_error, second.start) == (None, "warm")


def test_an_init_that_hangs_is_ended_and_done_again_under_the_functions_limit(
    deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.core.supervisor, "INIT_TIMEOUT_S", 0.3)
    function = deploy(
        "app.handler", code=written(tmp_path, "import signal\nprint('loading')\nsignal.pause()"), timeout_s=1
    )
    result = function()
    message = f"RequestId: {result.request_id} Error: Task timed out after 1.00 seconds"
    assert result.json() == {"errorType": "Sandbox.Timedout", "errorMessage": message}
    assert (result.duration_ms, result.billed_ms, result.init_ms) == (1000.0, 1000, None)
    check_log(function, result, "Status: timeout")
    assert "loading" in function.log(result)


def test_init_code_that_was_mended_by_an_update_runs_before_the_invocation_again(
    deploy: Deploy, tmp_path: Path
) -> None:
    function = deploy("app.handler", code=written(tmp_path, "import nothere"))
    assert function().json()["errorType"] == "Runtime.ImportModuleError"
    mended: Any = "def handler(event, context):\n    return 'mended'"
    function.door.update_function_code(function.name, code=written(tmp_path, mended))
    result = function()
    assert (result.json(), result.start) == ("mended", "cold")
    assert result.init_ms is not None


def test_an_init_that_takes_too_much_memory_is_told_where_memory_is_polled_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.sandbox.choose._CANDIDATES", ())
    code = "held = []\nwhile True:\n    held.append(b'x' * (8 << 20))\n"
    with BlockingDoor() as door:
        door.create_function("hog", code=written(tmp_path, code), handler="app.handler", memory_mb=128, timeout_s=60)
        result = door.invoke("hog")
        assert result.json()["errorMessage"].endswith("Error: Runtime exited with error: signal: killed")
        assert result.outcome == "oom"
