"""The log of an invocation, against lines recorded from Lambda."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records import platform_events, report
from engine.records.record import InvocationRecord, LogStyle
from engine.records.render import TEXT, init_ahead, init_ahead_done, init_failed, render
from engine.records.streams import STREAM, stream_name

ID = "8f507cfc-xmpl-4697-b07a-ac58fc914c95"
ENDED_MS = 1_672_531_200_500  # 2023-01-01T00:00:00.500Z
WARM = InvocationRecord(
    request_id=ID,
    function_name="hello",
    version="$LATEST",
    stream="2023/01/01/[$LATEST]0123456789abcdef0123456789abcdef",
    start="warm",
    queued_ns=1_000_000_000,
    claimed_ns=1_000_050_000,
    done_ns=1_250_110_000,
    wall_ms=ENDED_MS,
    duration_ns=2_370_000,
    init_ns=None,
    billed_ms=3,
    memory_mb=1_024,
    max_memory_mb=95,
)
COLD = replace(WARM, start="cold", init_ns=423_980_000, billed_ms=427)
ALL = LogStyle("JSON", "DEBUG")
HEAD = f"REPORT RequestId: {ID}\tDuration: 2.37 ms\tBilled Duration: "


def test_a_cold_report_is_lambdas_to_the_last_tab() -> None:
    tail = "427 ms\tMemory Size: 1024 MB\tMax Memory Used: 95 MB\tInit Duration: 423.98 ms\t"
    assert report.report_line(COLD) == HEAD + tail


def test_a_warm_report_has_no_init() -> None:
    assert report.report_line(WARM) == HEAD + "3 ms\tMemory Size: 1024 MB\tMax Memory Used: 95 MB\t"


@pytest.mark.parametrize(
    ("outcome", "error_type", "status"),
    [
        ("timeout", "Sandbox.Timedout", "Status: timeout"),
        ("error", "Runtime.ImportModuleError", "Status: error\tError Type: Runtime.ImportModuleError"),
        ("exit", "Runtime.ExitError", "Status: error\tError Type: Runtime.ExitError"),
        ("oom", "Runtime.ExitError", "Status: error\tError Type: Runtime.OutOfMemory"),
        ("error", None, "Status: error"),
    ],
)
def test_a_failure_appends_its_status(outcome: str, error_type: str | None, status: str) -> None:
    failed = replace(WARM, outcome=outcome, error_type=error_type)  # type: ignore[arg-type]
    assert report.report_line(failed) == HEAD + f"3 ms\tMemory Size: 1024 MB\tMax Memory Used: 95 MB\t{status}"


def test_a_snapshot_report_has_its_restore_in_place_of_init() -> None:
    restored = replace(WARM, start="snapshot", restore_ns=789_640_000, billed_restore_ns=789_640_000, billed_ms=793)
    tail = "793 ms\tMemory Size: 1024 MB\tMax Memory Used: 95 MB\t"
    assert (
        report.report_line(restored) == HEAD + tail + "Restore Duration: 789.64 ms\tBilled Restore Duration: 790 ms\t"
    )
    assert report.restore_report_line(789_640_000) == "RESTORE_REPORT Restore Duration: 789.64 ms"


def test_the_other_lines_are_lambdas() -> None:
    assert report.start_line(ID, "$LATEST") == f"START RequestId: {ID} Version: $LATEST"
    assert report.end_line(ID) == f"END RequestId: {ID}"
    assert (
        report.init_start_line("python:3.13.v31", "arn:aws:lambda:us-east-1::runtime:ab")
        == "INIT_START Runtime Version: python:3.13.v31\tRuntime Version ARN: arn:aws:lambda:us-east-1::runtime:ab"
    )
    assert (
        report.init_report_line(150_790_000, status="error", error_type="Runtime.UserCodeSyntaxError")
        == "INIT_REPORT Init Duration: 150.79 ms\tPhase: init\tStatus: error\tError Type: Runtime.UserCodeSyntaxError"
    )
    assert (
        report.init_report_line(10_000_000_000, "invoke", "timeout")
        == "INIT_REPORT Init Duration: 10000.00 ms\tPhase: invoke\tStatus: timeout"
    )


def messages(record: InvocationRecord) -> list[str]:
    return [event.message for event in render(record)]


def test_an_invocation_reads_start_its_own_lines_end_report() -> None:
    record = replace(WARM, log=b"first\n[INFO]\tone\rtwo\n\nlast without newline")
    assert messages(record) == [
        f"START RequestId: {ID} Version: $LATEST",
        "first",
        "[INFO]\tone\rtwo",
        "",
        "last without newline",
        f"END RequestId: {ID}",
        report.report_line(record),
    ]


def test_a_silent_invocation_has_three_events() -> None:
    assert len(render(WARM)) == len(render(WARM, ALL)) == 3


def test_dropped_bytes_are_marked_after_the_lines_that_were_kept() -> None:
    lines = messages(replace(WARM, log=b"kept\n", log_dropped_bytes=4_096))
    assert lines[1:3] == ["kept", "[engine] 4096 bytes of log were dropped here"]


def test_a_time_out_is_told_among_the_functions_lines() -> None:
    record = replace(WARM, outcome="timeout", duration_ns=1_000_000_000, billed_ms=1_000)
    assert messages(record)[1] == f"2023-01-01T00:00:00.500Z {ID} Task timed out after 1.00 seconds"
    assert "\tDuration: 1000.00 ms\tBilled Duration: 1000 ms\t" in messages(record)[-1]


def test_a_cold_start_opens_with_its_runtime_where_that_is_known() -> None:
    known = replace(COLD, runtime_version="python:3.11.v1", runtime_version_arn="arn:x")
    first, second = render(known)[:2]
    assert first.message == "INIT_START Runtime Version: python:3.11.v1\tRuntime Version ARN: arn:x"
    assert (first.timestamp_ms, second.timestamp_ms) == (ENDED_MS - 250 - 423, ENDED_MS - 250)
    assert messages(COLD)[0].startswith("START")


def test_json_records_are_lambdas_shapes() -> None:
    failed = replace(COLD, outcome="exit", error_type="Runtime.ExitError", runtime_version="python:3.11.v1")
    init, start, done, last = (json.loads(event.message) for event in render(failed, LogStyle("JSON")))
    assert init["type"] == "platform.initStart"
    assert init["record"]["initializationType"] == "on-demand"
    assert start == {
        "time": "2023-01-01T00:00:00.250Z",
        "type": "platform.start",
        "record": {"requestId": ID, "version": "$LATEST"},
    }
    assert done["type"] == "platform.runtimeDone"
    assert done["record"] == {
        "requestId": ID,
        "status": "error",
        "metrics": {"durationMs": 2.37},
        "errorType": "Runtime.ExitError",
    }
    assert last == {
        "time": "2023-01-01T00:00:00.500Z",
        "type": "platform.report",
        "record": {
            "requestId": ID,
            "metrics": {
                "durationMs": 2.37,
                "billedDurationMs": 427,
                "memorySizeMB": 1024,
                "maxMemoryUsedMB": 95,
                "initDurationMs": 423.98,
            },
            "status": "error",
            "errorType": "Runtime.ExitError",
        },
    }


def kinds(record: InvocationRecord, style: LogStyle) -> list[str]:
    return [json.loads(event.message)["type"].removeprefix("platform.") for event in render(record, style)]


@pytest.mark.parametrize(
    ("level", "succeeded", "failed"),
    [
        ("DEBUG", ["initStart", "initReport", "start", "runtimeDone", "report"], None),
        ("INFO", ["initStart", "start", "report"], ["initStart", "start", "runtimeDone", "report"]),
        ("WARN", [], ["runtimeDone", "report"]),
    ],
)
def test_system_levels_leave_out_what_lambdas_mapping_puts_below_them(
    level: Any, succeeded: list[str], failed: list[str] | None
) -> None:
    record, style = replace(COLD, runtime_version="python:3.11.v1"), LogStyle("JSON", level)
    assert kinds(record, style) == succeeded
    assert kinds(replace(record, outcome="error", error_type="Runtime.E"), style) == (failed or succeeded)


def test_application_levels_leave_out_objects_of_a_lower_level_and_nothing_else() -> None:
    lines = [
        "plain",
        "{no object",
        '{"level": "debug", "n": 1}',
        '{"level": "WARNING"}',
        '{"level": "Warn"}',
        '{"log_level": "ERROR"}',
        '{"level": "CRITICAL"}',
        '{"level": 7}',
        "{}",
        '["level"]',
        "[" * 100_000,
        '{"a":' * 100_000,
    ]
    log = "\n".join(lines).encode()

    def shown(*style: Any) -> list[str]:
        events = render(replace(WARM, log=log, init_log=log), LogStyle(*style))
        return [event.message for event in events if event.message in lines]

    others = {"plain", "{no object", '["level"]', lines[-2], lines[-1]}
    warnings = [line for line in lines if line in others or line in lines[3:7]]
    fatal = [line for line in lines if line in others or line == lines[6]]
    assert shown("Text", "INFO", "FATAL") == shown("JSON", "INFO", "TRACE") == lines * 2
    assert shown("JSON", "INFO", "INFO") == [line for line in lines if line != lines[2]] * 2
    assert shown("JSON", "INFO", "WARN") == warnings * 2
    assert shown("JSON", "INFO", "FATAL") == fatal * 2


def test_a_restoration_is_told_at_the_level_info() -> None:
    restored = replace(WARM, start="snapshot", restore_ns=5_000_000)
    assert kinds(restored, LogStyle("JSON")) == ["restoreStart", "restoreReport", "start", "report"]
    assert kinds(restored, LogStyle("JSON", "WARN")) == []


def test_an_init_ahead_is_told_in_the_style_of_its_version() -> None:
    ahead = replace(WARM, start="provisioned", init_ns=5_000_000, runtime_version="python:3.11.v1")
    assert list(init_ahead(TEXT, ahead)) == ["INIT_START Runtime Version: python:3.11.v1\tRuntime Version ARN: "]
    assert list(init_ahead_done(TEXT, ahead)) == []
    told = [
        json.loads(line) for line in (*init_ahead(LogStyle("JSON"), ahead), *init_ahead_done(LogStyle("JSON"), ahead))
    ]
    assert [line["type"] for line in told] == ["platform.initStart", "platform.initReport"]
    assert {line["record"]["initializationType"] for line in told} == {"provisioned-concurrency"}
    quiet = LogStyle("JSON", "WARN")
    assert [*init_ahead(quiet, ahead), *init_ahead_done(quiet, ahead)] == []
    failed = json.loads(init_failed(quiet, ENDED_MS, 5_000_000, "provisioned", "error", "Runtime.E"))
    assert (failed["type"], failed["record"]["status"]) == ("platform.initReport", "error")
    assert init_failed(TEXT, ENDED_MS, 5_000_000, "cold", "error", "Runtime.E").startswith("INIT_REPORT Init Duration")


def test_a_failed_init_has_its_own_json_report() -> None:
    event = json.loads(platform_events.init_report(ENDED_MS, 150_790_000, status="timeout"))
    assert event["type"] == "platform.initReport"
    assert event["record"] == {
        "initializationType": "on-demand",
        "phase": "init",
        "status": "timeout",
        "metrics": {"durationMs": 150.79},
    }


@given(st.binary(max_size=300), st.sampled_from([TEXT, ALL]))
def test_whatever_a_function_writes_is_rendered_in_order(log: bytes, style: LogStyle) -> None:
    events = render(replace(WARM, log=log), style)
    times = [event.timestamp_ms for event in events]
    assert times == sorted(times)
    own = [event.message for event in events[1:-2]]
    assert "\n".join(own) == log.decode("utf-8", "replace").removesuffix("\n")
    assert all("\n" not in event.message for event in events)
    assert {(event.stream, event.request_id) for event in events} == {(WARM.stream, ID)}


def test_stream_names_carry_day_version_and_32_hex_digits() -> None:
    token = "0123456789abcdef0123456789abcdef"
    assert stream_name("$LATEST", ENDED_MS, token) == f"2023/01/01/[$LATEST]{token}"
    assert stream_name("42", ENDED_MS, token) == f"2023/01/01/[42]{token}"
    assert re.fullmatch(STREAM, stream_name("7", ENDED_MS))
    assert stream_name("7", ENDED_MS) != stream_name("7", ENDED_MS)


@pytest.mark.parametrize(("version", "token"), [("latest", "0" * 32), ("1", "0" * 31), ("1", "G" * 32)])
def test_what_is_no_stream_name_is_refused(version: str, token: str) -> None:
    with pytest.raises(ValueError, match="not a log stream"):
        stream_name(version, ENDED_MS, token)
