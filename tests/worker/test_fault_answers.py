"""A failed invocation gives the answer and the log text of AWS's Python runtime client."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.runtimes.bootstraps.python import faults, marshal
from engine.runtimes.bootstraps.python.faults import Fault

SOURCE = '''
class Silent(Exception):
    pass

class Renamed(ValueError):
    """A subclass keeps its own name."""

def inner(depth):
    if depth == 0:
        raise Renamed("tief: \\u00e4\\n  second line")
    return inner(depth - 1)

def nested(event, context):
    return inner(2)

def silent(event, context):
    raise Silent

def two_arguments(event, context):
    raise ValueError("a", 1)

def lookup(event, context):
    return {}["missing"]

def chained(event, context):
    try:
        1 / 0
    except ZeroDivisionError as error:
        raise RuntimeError("second") from error

def noted(event, context):
    error = ValueError("noted")
    error.add_note("a note")
    raise error

def group(event, context):
    raise ExceptionGroup("several", [ValueError(1), TypeError(2)])

def recursive(event, context):
    return recursive(event, context)

def assertion(event, context):
    assert event == 1, {"a": 1}

def wrapped_line(event, context):
    return int(
        "x",
    )

def evaluated(event, context):
    exec(compile("raise OSError(2, 'nothing', 'file')", "<made>", "exec"))

def blank_message(event, context):
    raise ValueError("")

def unserialisable(event, context):
    return {1, 2}

def stop(event, context):
    raise StopIteration(3)
'''
HANDLERS = [line.split("(")[0][4:] for line in SOURCE.splitlines() if line.startswith("def ") and "event" in line]


@pytest.fixture
def functions(task_root: Path) -> Any:
    (task_root / "failing.py").write_text(SOURCE)
    importlib.invalidate_caches()
    return importlib.import_module("failing")


def run(function: Callable[..., object]) -> bytes:
    unmarshal, to_json = marshal.codec(ensure_ascii=True)
    return to_json(function(unmarshal(b"{}"), None))


@pytest.mark.parametrize("name", HANDLERS)
def test_a_failing_handler_is_answered_and_logged_as_by_awss_client(
    name: str, functions: Any, oracle: SimpleNamespace, failure_of: Callable[..., Any]
) -> None:
    function = getattr(functions, name)
    expected, log = oracle.invoke(function)
    answer = failure_of(lambda: run(function), "id-1")
    if name != "recursive":  # the depth left for the function differs by a few frames of the caller's
        assert answer == expected
        assert faults.log_text(answer) == log
    assert list(answer) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert answer["errorType"] == expected["errorType"]


def test_a_recursion_error_folds_its_repeated_frames(functions: Any, failure_of: Callable[..., Any]) -> None:
    answer = failure_of(lambda: functions.recursive(1, 2), "id-1")
    assert answer["errorMessage"] == "maximum recursion depth exceeded"
    assert len(answer["stackTrace"]) < 10
    assert "[Previous line repeated" in answer["stackTrace"][-1]


def test_an_exception_that_cannot_be_printed_is_answered_all_the_same(failure_of: Callable[..., Any]) -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise SystemExit(9)

    def fail() -> None:
        raise Unprintable

    answer = failure_of(fail, "id-1")
    assert answer["errorType"] == "Unprintable"
    assert answer["errorMessage"] == "<exception str() failed>"


def test_a_text_of_the_users_own_class_becomes_an_exact_str() -> None:
    class Text(str):
        __slots__ = ()

    class Odd(Exception):
        def __str__(self) -> str:
            return Text("odd")

    assert type(faults.text_of(Odd())) is str


def test_frames_of_the_runtime_are_left_out_and_the_users_stay(functions: Any) -> None:
    try:
        functions.silent(1, 2)
    except functions.Silent as exc:
        named = faults.describe(type(exc), exc, exc.__traceback__, request_id="", own_files={__file__})
        unnamed = faults.describe(type(exc), exc, exc.__traceback__, request_id="")
    assert len(named["stackTrace"]) == 1
    assert len(unnamed["stackTrace"]) == 2


def test_a_failure_of_the_runtimes_own_frame_alone_has_an_empty_trace(failure_of: Callable[..., Any]) -> None:
    not_callable: Any = 7
    try:
        not_callable({}, None)
    except TypeError as exc:
        answer = faults.describe(type(exc), exc, exc.__traceback__, request_id="r", own_files={__file__})
    assert answer["stackTrace"] == []
    assert answer["errorMessage"] == "'int' object is not callable"


def test_a_source_loader_that_fails_costs_only_the_source_lines(failure_of: Callable[..., Any]) -> None:
    class Loader:
        def get_source(self, _name: str) -> str:
            raise ValueError("no source for you")

    space = {"__name__": "loaded", "__loader__": Loader()}
    exec(compile("def handler():\n    raise KeyError('k')\n", "<from a loader>", "exec"), space)
    answer = failure_of(space["handler"], "r")
    assert answer["errorType"] == "KeyError"
    assert answer["stackTrace"] == ['  File "<from a loader>", line 2, in handler\n']


def test_a_stack_beyond_the_bound_keeps_its_outermost_frames(monkeypatch: pytest.MonkeyPatch, functions: Any) -> None:
    monkeypatch.setattr(faults, "FRAMES_MAX", 2)
    try:
        functions.nested(1, 2)
    except ValueError as exc:
        answer = faults.describe(type(exc), exc, exc.__traceback__, request_id="", own_files={__file__})
    assert [line.split(", in ")[1].split("\n")[0] for line in answer["stackTrace"]] == ["nested", "inner"]


def test_the_log_text_is_one_line_with_hard_spaces_for_the_indent() -> None:
    fault = Fault("Runtime.UserCodeSyntaxError", "Syntax error in module 'a': x", ['  File "a.py" Line 1\n    def\n'])
    text = faults.log_text(faults.describe(Fault, fault, None, request_id=""))
    assert text == (
        "[ERROR] Runtime.UserCodeSyntaxError: Syntax error in module 'a': x\rTraceback (most recent call last):\r"
        '\u00a0\u00a0File "a.py" Line 1\r\u00a0\u00a0\u00a0\u00a0def\n'
    )


TEXT = st.text(alphabet=st.sampled_from(" \t\n\r\x0b\x85\u2028ab\u00e4"), max_size=12)


@given(message=TEXT, error_type=TEXT, trace=st.lists(TEXT, max_size=4))
def test_any_error_is_logged_as_by_awss_client(message: str, error_type: str, trace: list[str]) -> None:
    from awslambdaric import bootstrap

    class Sink:
        text = ""

        def log_error(self, lines: list[str]) -> None:
            self.text = "\r".join(lines) + "\n"

    error = bootstrap.make_error(message, error_type, trace, "id")
    sink = Sink()
    bootstrap.log_error(error, sink)
    assert faults.log_text(error) == sink.text


ORACLE_JSON = """
import json, sys
from awslambdaric import bootstrap
error = bootstrap.make_error("m\\u00e4", "ValueError", ["  File x\\n"], "id-1")
bootstrap.log_error(error, bootstrap.StandardLogSink())
"""


@pytest.mark.parametrize("runtime", ["python3.11", "python3.13"])
def test_the_json_log_record_of_an_error_is_that_of_awss_client(runtime: str) -> None:
    # The client reads the format from the environment when it is imported, so it gets a process of its own.
    environment = {**os.environ, "AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}"}
    command = [sys.executable, "-X", "utf8", "-c", ORACLE_JSON]
    expected = subprocess.run(command, env=environment, capture_output=True, check=True).stdout.decode()
    error: Any = {
        "errorMessage": "m\u00e4",
        "errorType": "ValueError",
        "requestId": "id-1",
        "stackTrace": ["  File x\n"],
    }
    _, to_json = marshal.codec(runtime in marshal.ASCII_ONLY_RUNTIMES)
    own = faults.log_json(error, to_json)
    stamps = json.loads(own)["timestamp"], json.loads(expected)["timestamp"]
    assert own.replace(stamps[0], "T") == expected.replace(stamps[1], "T")


@pytest.mark.parametrize("ending", [SystemExit(0), SystemExit("bye"), KeyboardInterrupt(), GeneratorExit()])
def test_awss_client_lets_through_what_ends_a_process(ending: BaseException, oracle: SimpleNamespace) -> None:
    # The rule this module's callers follow: only Exception is answered.
    def end(_event: object, _context: object) -> None:
        raise ending

    with pytest.raises(type(ending)):
        oracle.invoke(end)
