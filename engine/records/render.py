"""F1: an invocation's record read as log events. Nothing of this runs when an invocation is served."""

from __future__ import annotations

from engine.model import LogEvent

from . import platform_events, report
from .record import InvocationRecord, LogFormat


def render(record: InvocationRecord, log_format: LogFormat = "Text") -> list[LogEvent]:
    """Everything CloudWatch would show of one invocation, in order and with times that never go back.

    The function's own lines bear the time of completion: when each was written is not recorded.
    """
    own = _lines(record.log, record.log_dropped_bytes, record.wall_ms)
    events = [*_opening(record, log_format), *own, *_closing(record, log_format)]
    return [LogEvent(time_ms, record.stream, message, record.request_id) for time_ms, message in events]


def _opening(record: InvocationRecord, log_format: LogFormat) -> list[tuple[int, str]]:
    opening = []
    if record.start == "cold" and record.runtime_version:
        text = report.init_start_line(record.runtime_version, record.runtime_version_arn)
        opening.append((record.init_started_ms, platform_events.init_start(record) if log_format == "JSON" else text))
    if record.start == "snapshot" and record.restore_ns is not None:
        opening += _restoration(record, log_format)
    opening += _lines(record.init_log, record.init_log_dropped_bytes, record.started_ms)
    text = report.start_line(record.request_id, record.version)
    return [*opening, (record.started_ms, platform_events.start(record) if log_format == "JSON" else text)]


def _restoration(record: InvocationRecord, log_format: LogFormat) -> list[tuple[int, str]]:
    restore_ns = record.restore_ns or 0
    began_ms = record.started_ms - restore_ns // 1_000_000
    if log_format == "JSON":
        first, last = platform_events.restore_start(record, began_ms), platform_events.restore_report(record)
    else:
        first = report.restore_start_line(record.runtime_version, record.runtime_version_arn)
        last = report.restore_report_line(restore_ns)
    return [(began_ms, first), (record.started_ms, last)]


def _lines(log: bytes, dropped_bytes: int, time_ms: int) -> list[tuple[int, str]]:
    """Split at newlines alone: a carriage return is how a function keeps several lines in one event."""
    lines = log.decode("utf-8", "replace").removesuffix("\n").split("\n") if log else []
    if dropped_bytes:
        lines.append(report.dropped_line(dropped_bytes))
    return [(time_ms, line) for line in lines]


def _closing(record: InvocationRecord, log_format: LogFormat) -> list[tuple[int, str]]:
    if log_format == "JSON":
        lines = [platform_events.runtime_done(record), platform_events.report(record)]
    else:
        lines = [report.end_line(record.request_id), report.report_line(record)]
    if record.outcome == "timeout" and log_format == "Text":
        lines.insert(0, report.timeout_line(record.request_id, record.wall_ms, record.duration_ns))
    return [(record.wall_ms, line) for line in lines]
