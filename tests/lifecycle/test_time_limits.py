"""A function over its time limit: ended at the limit whatever it does, and billed exactly the limit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from doors import Function, Gate, watched
from test_process_endings import check_report

Deploy = Callable[..., Function]
WAYS = ("sleeps", "C loop", "regex", "stops")


def test_what_runs_over_its_limit_is_ended_whatever_it_does(deploy: Deploy) -> None:
    """Sleeping, a C loop that never gives up the interpreter lock, one in re, and a process that stopped itself."""
    functions = [deploy("ends", timeout_s=1) for _ in WAYS]
    with ExitStack() as stack, ThreadPoolExecutor(len(WAYS)) as threads:
        gone = [stack.enter_context(watched(function.pid(function().json()))) for function in functions]
        began = time.monotonic()
        results = list(threads.map(lambda function, way: function({"way": way}), functions, WAYS))
        took_s = time.monotonic() - began
        for wait_gone in gone:
            wait_gone()
    assert 1.0 <= took_s < 5.0
    for function, result in zip(functions, results, strict=True):
        message = f"RequestId: {result.request_id} Error: Task timed out after 1.00 seconds"
        assert result.json() == {"errorType": "Sandbox.Timedout", "errorMessage": message}
        assert list(result.json()) == ["errorType", "errorMessage"]
        assert (result.function_error, result.status_code, result.outcome) == ("Unhandled", 200, "timeout")
        assert (result.duration_ms, result.billed_ms, result.start) == (1000.0, 1000, "warm")
        log = function.log(result)
        assert log[:2] == [f"START RequestId: {result.request_id} Version: $LATEST", "own line"]
        assert log[2].endswith(f"Z {result.request_id} Task timed out after 1.00 seconds")
        assert log[3] == f"END RequestId: {result.request_id}"
        assert "\tDuration: 1000.00 ms\tBilled Duration: 1000 ms\t" in log[4]
        check_report(log[4], result, "Status: timeout")
        stats = function.stats()
        assert (stats["invocations"], stats["errors"], stats["timeouts"]) == (2, 1, 1)
        after = function()
        assert (after.function_error, after.start) == (None, "cold")


def test_a_time_out_of_a_cold_start_is_billed_with_its_init(deploy: Deploy) -> None:
    function = deploy("ends", timeout_s=1)
    result = function({"way": "sleeps"})
    assert (result.start, result.duration_ms) == ("cold", 1000.0)
    assert result.init_ms is not None
    assert result.billed_ms == math.ceil((round(result.init_ms * 1e6) + 1_000_000_000) / 1e6)
    check_report(function.log(result)[-1], result, "Status: timeout")


def test_a_time_out_ends_its_own_environment_and_not_its_neighbours_of_the_same_function(
    deploy: Deploy, gate: Gate
) -> None:
    function = deploy("waits", timeout_s=3)
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(function, gate.address) for _ in range(2)]
        gate.wait_entered(2)
        gate.open()
        assert [call.result().json() for call in both] == ["old code", "old code"]
        assert len(function.pids()) == 2
        assert function(gate.address).outcome == "timeout"  # nobody opens
        gate.wait_entered()
        answers = threads.submit(function, gate.address)
        gate.wait_entered()
        gate.open()
        assert (answers.result().json(), answers.result().start) == ("old code", "warm")
