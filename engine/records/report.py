"""F1: the platform's log lines in text format, without a newline at the end. JSON: `platform_events.py`."""

from __future__ import annotations

from datetime import UTC, datetime

from .billing import billed_ms_from_ns, printed_ms
from .record import InvocationRecord


def init_start_line(runtime: str, runtime_arn: str = "") -> str:
    """`runtime` with its version, such as `python:3.13.v31`."""
    return f"INIT_START Runtime Version: {runtime}\tRuntime Version ARN: {runtime_arn}"


def start_line(request_id: str, version: str) -> str:
    return f"START RequestId: {request_id} Version: {version}"


def end_line(request_id: str) -> str:
    return f"END RequestId: {request_id}"


def report_line(record: InvocationRecord) -> str:
    """REPORT. A success ends with a tab, as Lambda's does; a failure with its Status."""
    fields = [
        f"REPORT RequestId: {record.request_id}",
        f"Duration: {printed_ms(record.duration_ns)} ms",
        f"Billed Duration: {record.billed_ms} ms",
        f"Memory Size: {record.memory_mb} MB",
        f"Max Memory Used: {record.max_memory_mb} MB",
    ]
    if record.restore_ns is not None:
        fields.append(f"Restore Duration: {printed_ms(record.restore_ns)} ms")
        fields.append(f"Billed Restore Duration: {billed_ms_from_ns(record.billed_restore_ns)} ms")
    elif record.init_ns is not None:
        fields.append(f"Init Duration: {printed_ms(record.init_ns)} ms")
    return "\t".join([*fields, _status(record.status, record.reported_error_type)])


def init_report_line(init_ns: int, phase: str = "init", status: str = "success", error_type: str | None = None) -> str:
    """INIT_REPORT of a failed or timed-out init; `phase` is `invoke` when it was done again within an invocation."""
    fields = [f"INIT_REPORT Init Duration: {printed_ms(init_ns)} ms", f"Phase: {phase}"]
    return "\t".join([*fields, _status(status, error_type)])


def restore_start_line(runtime: str, runtime_arn: str = "") -> str:
    """As INIT_START, of a start from a snapshot."""
    return f"RESTORE_START Runtime Version: {runtime}\tRuntime Version ARN: {runtime_arn}"


def restore_report_line(restore_ns: int) -> str:
    return f"RESTORE_REPORT Restore Duration: {printed_ms(restore_ns)} ms"


def timeout_line(request_id: str, wall_ms: int, duration_ns: int) -> str:
    """What the platform writes into the function's log when it ends an invocation for its time."""
    return f"{iso_ms(wall_ms)} {request_id} Task timed out after {duration_ns / 1e9:.2f} seconds"


def dropped_line(dropped_bytes: int) -> str:
    """Ours, not Lambda's: the mark where log lines are missing."""
    return f"[engine] {dropped_bytes} bytes of log were dropped here"


def iso_ms(wall_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds."""
    second = datetime.fromtimestamp(wall_ms // 1_000, UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{wall_ms % 1_000:03d}Z"


def _status(status: str, error_type: str | None) -> str:
    if status == "success":
        return ""
    return f"Status: {status}" if error_type is None else f"Status: {status}\tError Type: {error_type}"
