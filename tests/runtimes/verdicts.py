"""What a caller is told, and what the log's REPORT line says of it, as tests of every language ask for it."""

from __future__ import annotations

import os
import time
from typing import Any

from doors import PATIENCE_S, Function

from engine import InvokeResult

OUT_OF_MEMORY = "Status: error\tError Type: Runtime.OutOfMemory"
TIMED_OUT = "Status: timeout"


def answer(function: Function, event: object = None, **options: Any) -> Any:
    """Of an invocation that succeeds."""
    result = function(event, **options)
    assert result.function_error is None, (result.payload[:2_000], function.log(result))
    return result.json()


def failure(function: Function, event: object = None) -> Any:
    """The error document of an invocation that fails."""
    result = function(event)
    assert (result.function_error, result.status_code) == ("Unhandled", 200), result.payload[:2_000]
    return result.json()


def ends(function: Function, event: object, error_type: str, reason: str, report: str = "") -> InvokeResult:
    """An invocation that the engine answers, for the function did not."""
    result = function(event)
    message = f"RequestId: {result.request_id} Error: {reason}"
    assert result.json() == {"errorType": error_type, "errorMessage": message}
    assert result.function_error == "Unhandled"
    assert report in function.log(result)[-1]
    return result


def times_out(function: Function, event: object) -> None:
    """Of a function whose limit is one second."""
    result = ends(function, event, "Sandbox.Timedout", "Task timed out after 1.00 seconds", TIMED_OUT)
    assert result.duration_ms == 1_000


def runs_out_of_memory(function: Function, event: object) -> None:
    reason = "Runtime exited with error: signal: killed"
    ends(function, event, "Runtime.ExitError", reason, OUT_OF_MEMORY)


def echoes_six_megabytes(function: Function) -> None:
    """Both ways, as JSON text that is not ASCII alone."""
    event = {"text": "é" * 1_500_000, "numbers": list(range(400_000))}
    assert answer(function, event) == event


def comes_to_log(function: Function, text: str) -> None:
    """What a process says when its invocation is over already, sooner or later."""
    deadline = time.monotonic() + PATIENCE_S
    while not any(text in line for line in function.whole_log()):
        assert time.monotonic() < deadline, function.whole_log()
        os.sched_yield()
