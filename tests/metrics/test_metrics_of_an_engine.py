"""Metrics by time of functions that really ran."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from doors import Gate

from engine.errors import TooManyRequestsException
from engine.model import MetricPoint
from engine.sync import Engine


def totals(opened: Engine, *metrics: str, **asked: object) -> dict[str, MetricPoint]:
    """One point of the last hours of each metric that has any."""
    now_ms = time.time_ns() // 1_000_000
    begin_ms = (now_ms // 3_600_000 - 1) * 3_600_000
    found = opened.metric_series(
        metrics,
        start_ms=begin_ms,
        end_ms=begin_ms + 10_800_000,
        period_s=10_800,
        **asked,  # type: ignore[arg-type]
    )
    return {series.metric: series.points[0] for series in found if series.points}


def test_invocations_errors_and_durations_are_there_at_once(opened: Engine) -> None:
    for event in (1, 2, "fail"):
        opened.invoke("counted", event)
    found = totals(opened, "Invocations", "Errors", "Duration", percentiles=(50, 99.9))
    assert (found["Invocations"].sum, found["Errors"].sum, found["Errors"].count) == (3, 1, 3)
    took = found["Duration"]
    assert took.count == 3
    assert 0 < took.minimum <= took.percentiles["50"] <= took.percentiles["99.9"] <= took.maximum <= took.sum


def test_versions_are_told_apart(opened: Engine) -> None:
    opened.publish_version("counted")
    opened.invoke("counted", 1)
    opened.invoke("counted:1", 1)
    opened.invoke("counted:1", 1)
    sums = {
        versions: totals(opened, "Invocations", function="counted", versions=versions)["Invocations"].sum
        for versions in ((), ("$LATEST",), ("1",))
    }
    assert sums == {(): 3, ("$LATEST",): 1, ("1",): 2}
    assert {(each.function, each.version) for each in opened.list_metrics() if each.metric == "Invocations"} == {
        ("counted", "$LATEST"),
        ("counted", "1"),
    }


def test_what_runs_at_once_and_what_is_throttled_is_counted(opened: Engine, gate: Gate) -> None:
    opened.put_function_concurrency("counted", 3)
    with ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(opened.invoke, "counted", gate.address) for _ in range(3)]
        gate.wait_entered(3)
        with pytest.raises(TooManyRequestsException):
            opened.invoke("counted", 1)
        assert totals(opened, "ConcurrentExecutions")["ConcurrentExecutions"].maximum == 3
        gate.open()
        assert [call.result().function_error for call in calls] == [None] * 3
    assert totals(opened, "Throttles")["Throttles"].sum == 1
    assert totals(opened, "ConcurrentExecutions")["ConcurrentExecutions"].maximum == 3
    assert totals(opened, "Throttles")["Throttles"].sum == 1  # what was sampled is not sampled again


def test_throttles_of_a_function_that_never_runs_are_counted(opened: Engine) -> None:
    opened.put_function_concurrency("counted", 0)
    for _ in range(2):
        with pytest.raises(TooManyRequestsException):
            opened.invoke("counted", 1)
    assert totals(opened, "Throttles", function="counted")["Throttles"].sum == 2


def test_events_are_counted(opened: Engine, gate: Gate) -> None:
    opened.put_function_event_invoke_config("counted", maximum_retry_attempts=0)
    opened.invoke("counted", gate.address, invocation_type="Event")
    gate.wait_entered()
    found = totals(opened, "AsyncEventsReceived", "AsyncEventAge", "AsyncEventsDropped")
    assert (found["AsyncEventsReceived"].sum, found["AsyncEventAge"].count) == (1, 1)
    assert "AsyncEventsDropped" not in found
    gate.open()


def test_provisioned_concurrency_is_counted(opened: Engine) -> None:
    opened.publish_version("counted")
    opened.put_provisioned_concurrency_config("counted", "1", 1)
    while opened.get_provisioned_concurrency_config("counted", "1").status != "READY":
        opened.invoke("counted", 1)  # something to wait for that takes its time
    opened.invoke("counted:1", 1)
    found = totals(
        opened, "ProvisionedConcurrencyInvocations", "ProvisionedConcurrentExecutions",
        "ProvisionedConcurrencyUtilization", function="counted", versions=("1",),
    )  # fmt: skip
    assert {name: point.maximum for name, point in found.items()} == {
        "ProvisionedConcurrencyInvocations": 1,
        "ProvisionedConcurrentExecutions": 1,
        "ProvisionedConcurrencyUtilization": 1,
    }


def test_metrics_of_a_deleted_function_stay(opened: Engine, source: Path) -> None:
    opened.create_function("gone", code=source, handler="app.handler")
    opened.invoke("gone", 1)
    opened.delete_function("gone")
    assert totals(opened, "Invocations", function="gone")["Invocations"].sum == 1
