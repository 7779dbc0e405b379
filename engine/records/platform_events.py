"""F1: the platform's log lines in JSON format (`platform.*` events, schema 2022-12-13), one object per line."""

from __future__ import annotations

import json
from collections.abc import Mapping

from .billing import billed_ms_from_ns
from .record import INITIALIZATION, InvocationRecord
from .report import iso_ms

Value = str | int | float | Mapping[str, float]


def init_start(record: InvocationRecord) -> str:
    body: dict[str, Value] = {
        "initializationType": INITIALIZATION[record.start],
        "phase": "init",
        "runtimeVersion": record.runtime_version,
        "runtimeVersionArn": record.runtime_version_arn,
        "functionName": record.function_name,
        "functionVersion": record.version,
    }
    return _event("platform.initStart", record.init_started_ms, body)


def init_report(
    wall_ms: int,
    init_ns: int,
    initialization_type: str = "on-demand",
    phase: str = "init",
    status: str = "success",
    error_type: str | None = None,
) -> str:
    """`initialization_type` is `on-demand`, `provisioned-concurrency` or `snap-start`."""
    body: dict[str, Value] = {
        "initializationType": initialization_type,
        "phase": phase,
        "status": status,
        "metrics": {"durationMs": _ms(init_ns)},
    }
    return _event("platform.initReport", wall_ms, body | _error(error_type))


def restore_start(record: InvocationRecord, wall_ms: int) -> str:
    body: dict[str, Value] = {
        "initializationType": INITIALIZATION[record.start],
        "runtimeVersion": record.runtime_version,
        "runtimeVersionArn": record.runtime_version_arn,
        "functionName": record.function_name,
        "functionVersion": record.version,
    }
    return _event("platform.restoreStart", wall_ms, body)


def restore_report(record: InvocationRecord) -> str:
    body: dict[str, Value] = {
        "initializationType": INITIALIZATION[record.start],
        "status": "success",
        "metrics": {"durationMs": _ms(record.restore_ns or 0)},
    }
    return _event("platform.restoreReport", record.started_ms, body)


def start(record: InvocationRecord) -> str:
    body: dict[str, Value] = {"requestId": record.request_id, "version": record.version}
    return _event("platform.start", record.started_ms, body | _tenant(record))


def runtime_done(record: InvocationRecord) -> str:
    body: dict[str, Value] = {
        "requestId": record.request_id,
        "status": record.status,
        "metrics": {"durationMs": _ms(record.duration_ns)},
    }
    return _event("platform.runtimeDone", record.wall_ms, body | _error(record.reported_error_type) | _tenant(record))


def report(record: InvocationRecord) -> str:
    metrics: dict[str, float] = {
        "durationMs": _ms(record.duration_ns),
        "billedDurationMs": record.billed_ms,
        "memorySizeMB": record.memory_mb,
        "maxMemoryUsedMB": record.max_memory_mb,
    }
    if record.restore_ns is not None:
        metrics["restoreDurationMs"] = _ms(record.restore_ns)
        metrics["billedRestoreDurationMs"] = billed_ms_from_ns(record.billed_restore_ns)
    elif record.init_ns is not None:
        metrics["initDurationMs"] = _ms(record.init_ns)
    body: dict[str, Value] = {"requestId": record.request_id, "metrics": metrics, "status": record.status}
    return _event("platform.report", record.wall_ms, body | _error(record.reported_error_type) | _tenant(record))


def _event(kind: str, wall_ms: int, body: Mapping[str, Value]) -> str:
    return json.dumps({"time": iso_ms(wall_ms), "type": kind, "record": body}, separators=(",", ":"))


def _tenant(record: InvocationRecord) -> dict[str, Value]:
    return {"tenantId": record.tenant_id} if record.tenant_id else {}


def _error(error_type: str | None) -> dict[str, Value]:
    return {} if error_type is None else {"errorType": error_type}


def _ms(time_ns: int) -> float:
    """Milliseconds with three decimals, as Lambda gives them."""
    return round(time_ns / 1e6, 3)
