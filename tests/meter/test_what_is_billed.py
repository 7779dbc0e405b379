"""Results, REPORT lines, counts and the bill say the same, to the millisecond."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

import pytest
from doors import Door, Function

from engine import InvokeResult
from engine.records.billing import billed_ms_from_ns, printed_ms
from engine.records.prices import PriceList

Deploy = Callable[..., Function]

REPORT = re.compile(
    r"REPORT RequestId: (?P<id>\S+)\tDuration: (?P<ms>\d+\.\d\d) ms\tBilled Duration: (?P<billed>\d+) ms\t"
    r"Memory Size: (?P<memory>\d+) MB\tMax Memory Used: (?P<most>\d+) MB\t"
    r"(?:Init Duration: (?P<init>\d+\.\d\d) ms\t)?(?P<status>.*)"
)
STATUS = {
    "ok": "",
    "error": "Status: error\tError Type: ValueError",
    "exit": "Status: error\tError Type: Runtime.ExitError",
    "timeout": "Status: timeout",
}


def nanoseconds(time_ms: float | None) -> int:
    return round((time_ms or 0) * 1e6)


def assert_billed_by_the_rule(result: InvokeResult) -> None:
    assert result.billed_ms == billed_ms_from_ns(nanoseconds(result.duration_ms), nanoseconds(result.init_ms))


def assert_reported_as_answered(function: Function, result: InvokeResult) -> None:
    found = REPORT.fullmatch(function.log(result)[-1])
    assert found is not None
    assert found["id"] == result.request_id
    assert found["ms"] == printed_ms(nanoseconds(result.duration_ms))
    assert found["billed"] == str(result.billed_ms)
    assert (found["memory"], found["most"]) == (str(result.memory_mb), str(result.max_memory_mb))
    assert found["init"] == (None if result.init_ms is None else printed_ms(nanoseconds(result.init_ms)))
    assert found["status"] == STATUS[result.outcome]


def every_ending(function: Function) -> list[InvokeResult]:
    events = [{}, {}, {"spin_ms": 3}, {"raise": "x"}, {"exit": 3}, {}, {"hang": 1}, {"raise": "y"}, {}]
    return [function(event) for event in events]


def test_results_are_billed_by_lambdas_rule_and_reported_as_answered(deploy: Deploy) -> None:
    function = deploy(timeout_s=1)
    results = every_ending(function)
    assert [result.outcome for result in results] == ["ok"] * 3 + ["error", "exit", "ok", "timeout", "error", "ok"]
    for result in results:
        assert_billed_by_the_rule(result)
        assert_reported_as_answered(function, result)
    assert results[6].duration_ms == 1_000
    assert results[2].duration_ms >= 3


def test_only_a_cold_start_has_an_init(deploy: Deploy) -> None:
    function = deploy(timeout_s=1)
    results = every_ending(function)
    assert [result.start for result in results] == ["cold"] + ["warm"] * 4 + ["cold", "warm", "cold", "warm"]
    assert [result.init_ms is not None for result in results] == [result.start == "cold" for result in results]
    assert all(result.init_ms is None or result.init_ms > 0 for result in results)


def test_statistics_count_what_was_answered(deploy: Deploy) -> None:
    function = deploy(timeout_s=1)
    results = every_ending(function)
    told = function.stats()
    assert told["invocations"] == len(results)
    assert told["errors"] == sum(result.function_error is not None for result in results) == 4
    assert told["timeouts"] == 1
    assert told["cold_starts"] == sum(result.start == "cold" for result in results) == 3
    assert told["warm_starts"] == 6
    assert told["billed_ms"] == sum(result.billed_ms for result in results)
    assert told["throttles"] == 0
    assert told["concurrency"] == 0
    assert told["init_ms"]["count"] == 3
    for name, times in (("duration_ms", [r.duration_ms for r in results]), ("wait_ms", [r.queued_ms for r in results])):
        assert told[name]["count"] == len(times)
        assert told[name]["max"] == pytest.approx(max(times))
        assert told[name]["mean"] == pytest.approx(sum(times) / len(times))
        middle = sorted(times)[len(times) // 2]
        assert middle <= told[name]["p50"] * (1 + 1e-9) and told[name]["p50"] <= middle * (1 + 1 / 16)


def test_the_bill_is_the_sum_over_the_results(deploy: Deploy, door: Door) -> None:
    results: list[InvokeResult] = []
    for memory_mb in (128, 1_769, 3_008):
        function = deploy(memory_mb=memory_mb)
        function()
        function.door.bill()
        function({"spin_ms": 5})
        function({"raise": "x"})
        mb_ms = sum(result.billed_ms * memory_mb for result in function.results)
        (line,) = [line for line in door.bill().lines if line.function == function.name]
        assert line.requests == 3
        assert line.gb_seconds == Decimal(mb_ms) / 1_024_000
        assert line.cost == PriceList.load().cost(3, Decimal(mb_ms) / 1_024_000)
        results += function.results
    table = door.bill()
    assert table.total.requests == sum(line.requests for line in table.lines)
    assert table.total.gb_seconds == sum(line.gb_seconds for line in table.lines)
    assert table.total.cost == sum(line.cost for line in table.lines)  # far below the first tier's end


def test_the_bill_outlives_updates_and_the_function(deploy: Deploy, door: Door) -> None:
    function = deploy(memory_mb=128)
    first = function()
    door.update_function_configuration(function.name, memory_mb=1_769)
    second = function()
    version = door.publish_version(function.name).version
    third = function(qualifier=version)
    door.delete_function(function.name)
    mb_ms = first.billed_ms * 128 + (second.billed_ms + third.billed_ms) * 1_769
    for by, lines in (("function", 1), ("version", 2), ("day", 1)):
        mine = [line for line in door.bill(by=by).lines if line.function == function.name]
        assert sum(line.requests for line in mine) == 3
        assert sum(line.gb_seconds for line in mine) == Decimal(mb_ms) / 1_024_000
        assert len(mine) >= lines


def test_a_dry_run_and_a_refusal_are_not_billed(deploy: Deploy, door: Door) -> None:
    function = deploy()
    assert function(invocation_type="DryRun").status_code == 204
    assert function.stats()["invocations"] == 0
    assert [line for line in door.bill().lines if line.function == function.name] == []


def test_memory_that_is_touched_is_reported(deploy: Deploy) -> None:
    function = deploy(memory_mb=512)
    small = function()
    large = function({"touch_mb": 50, "spin_ms": 1})
    assert 1 <= small.max_memory_mb < 50
    assert 50 <= large.max_memory_mb < 50 + 2 * small.max_memory_mb
    assert large.memory_mb == small.memory_mb == 512


def test_the_most_memory_used_never_falls_within_an_environment(deploy: Deploy) -> None:
    function = deploy(memory_mb=512)
    large = function({"touch_mb": 50, "spin_ms": 1})
    after = function({"forget": True})
    assert after.start == "warm"
    assert after.max_memory_mb >= large.max_memory_mb


def test_no_more_memory_is_reported_than_the_function_has(deploy: Deploy) -> None:
    function = deploy(memory_mb=128)
    for touch_mb in (80, 80, 80):
        result = function({"touch_mb": touch_mb})
        assert result.max_memory_mb <= 128
        assert_reported_memory(function, result)


def assert_reported_memory(function: Function, result: InvokeResult) -> None:
    found = REPORT.fullmatch(function.log(result)[-1])
    assert found is not None and found["most"] == str(result.max_memory_mb)
