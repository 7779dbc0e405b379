"""F1: an invocation's record read as log events. Nothing of this runs when an invocation is served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from engine.model import LogEvent

from . import platform_events, report
from .record import INITIALIZATION, InvocationRecord, LogStyle

TEXT = LogStyle()
APPLICATION_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")


def render(record: InvocationRecord, style: LogStyle = TEXT) -> list[LogEvent]:
    """Everything CloudWatch would show of one invocation, in order and with times that never go back.

    The function's own lines bear the time of completion: when each was written is not recorded.
    """
    own = _lines(record.log, record.log_dropped_bytes, record.wall_ms, style)
    init = _lines(record.init_log, record.init_log_dropped_bytes, record.started_ms, style)
    if style.log_format == "JSON":
        before, after = list(_json_beginning(record, style)), list(_json_closing(record, style))
        start = list(_json_start(record, style))
    else:
        before, start, after = _text_beginning(record), _text_start(record), _text_closing(record)
    events = [*before, *init, *start, *own, *after]
    return [LogEvent(time_ms, record.stream, message, record.request_id) for time_ms, message in events]


def _lines(log: bytes, dropped_bytes: int, time_ms: int, style: LogStyle) -> list[tuple[int, str]]:
    lines = own_lines(log.decode("utf-8", "replace"), style)
    if dropped_bytes:
        lines.append(report.dropped_line(dropped_bytes))
    return [(time_ms, line) for line in lines]


def own_lines(text: str, style: LogStyle) -> list[str]:
    """What a function wrote, split at newlines alone: a carriage return is how it keeps several lines in one event."""
    lines = text.removesuffix("\n").split("\n") if text else []
    if style.log_format != "JSON" or style.application_level == APPLICATION_LEVELS[0]:
        return lines
    least = APPLICATION_LEVELS.index(style.application_level)
    return [line for line in lines if not line.startswith("{") or _level_of(line) >= least]


def _level_of(line: str) -> int:
    """The level of an object that a function wrote: INFO where it has none that Lambda knows; of other text above all.

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html; `log_level` is what the
    runtime itself says of errors.
    """
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return len(APPLICATION_LEVELS)
    level = str(told.get("level", told.get("log_level"))).upper()
    level = {"WARNING": "WARN", "CRITICAL": "FATAL"}.get(level, level)
    return APPLICATION_LEVELS.index(level if level in APPLICATION_LEVELS else "INFO")


# --- as text ----------------------------------------------------------------------------------------------------------


def _text_beginning(record: InvocationRecord) -> list[tuple[int, str]]:
    """Of the init or restoration that came first."""
    beginning = []
    if record.start == "cold" and record.runtime_version:
        line = report.init_start_line(record.runtime_version, record.runtime_version_arn)
        beginning.append((record.init_started_ms, line))
    if record.start == "snapshot" and record.restore_ns is not None:
        line = report.restore_start_line(record.runtime_version, record.runtime_version_arn)
        beginning.append((_restore_started_ms(record), line))
        beginning.append((record.started_ms, report.restore_report_line(record.restore_ns)))
    return beginning


def _text_start(record: InvocationRecord) -> list[tuple[int, str]]:
    return [(record.started_ms, report.start_line(record.request_id, record.version))]


def _text_closing(record: InvocationRecord) -> list[tuple[int, str]]:
    lines = [report.end_line(record.request_id), report.report_line(record)]
    if record.outcome == "timeout":
        lines.insert(0, report.timeout_line(record.request_id, record.wall_ms, record.duration_ns))
    return [(record.wall_ms, line) for line in lines]


# --- as JSON: each with its level -------------------------------------------------------------------------------------


def _json_beginning(record: InvocationRecord, style: LogStyle) -> Iterator[tuple[int, str]]:
    if record.start == "cold" and record.runtime_version:
        if style.shows("INFO"):
            yield record.init_started_ms, platform_events.init_start(record)
        if style.shows("DEBUG") and record.init_ns is not None:
            yield record.started_ms, platform_events.init_report(record.started_ms, record.init_ns)
    if record.start == "snapshot" and record.restore_ns is not None and style.shows("INFO"):
        began_ms = _restore_started_ms(record)
        yield began_ms, platform_events.restore_start(record, began_ms)
        yield record.started_ms, platform_events.restore_report(record)


def _json_start(record: InvocationRecord, style: LogStyle) -> Iterator[tuple[int, str]]:
    if style.shows("INFO"):
        yield record.started_ms, platform_events.start(record)


def _json_closing(record: InvocationRecord, style: LogStyle) -> Iterator[tuple[int, str]]:
    failed = record.status != "success"
    if style.shows("WARN" if failed else "DEBUG"):
        yield record.wall_ms, platform_events.runtime_done(record)
    if style.shows("WARN" if failed else "INFO"):
        yield record.wall_ms, platform_events.report(record)


# --- outside invocations ----------------------------------------------------------------------------------------------


def init_ahead(style: LogStyle, record: InvocationRecord) -> Iterator[str]:
    """How the log tells of an init that no invocation waited for: before its output."""
    if style.log_format != "JSON":
        yield report.init_start_line(record.runtime_version)
    elif style.shows("INFO"):
        yield platform_events.init_start(record)


def init_ahead_done(style: LogStyle, record: InvocationRecord) -> Iterator[str]:
    """And after it; as text it has no such line."""
    if style.log_format == "JSON" and style.shows("INFO") and record.init_ns is not None:
        yield platform_events.init_report(record.started_ms, record.init_ns, INITIALIZATION[record.start])


def init_failed(style: LogStyle, wall_ms: int, init_ns: int, start: str, status: str, error_type: str | None) -> str:
    """How it tells of an init that failed."""
    if style.log_format == "JSON":
        return platform_events.init_report(wall_ms, init_ns, INITIALIZATION[start], "init", status, error_type)
    return report.init_report_line(init_ns, "init", status, error_type)


def _restore_started_ms(record: InvocationRecord) -> int:
    return record.started_ms - (record.restore_ns or 0) // 1_000_000
