"""The records of the platform: what it tells of an environment's init and of each invocation, with its own numbers.

The core measures for itself: its REPORT line can differ from the record here by some microseconds.
"""

from __future__ import annotations

import math
import os
import time

from ...records.report import iso_ms
from .telemetry import Telemetry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from .invocation import Invocation

TRACING = "X-Amzn-Trace-Id"
SUCCESS, ERROR, TIMEOUT = "success", "error", "timeout"


class Chronicle:
    """`phase`: whether init is one of its own (init), or belongs to the first invocation (invoke)."""

    def __init__(self, telemetry: Telemetry, given: Mapping[str, Any], phase: str, start_ns: int) -> None:
        self._telemetry, self._given = telemetry, given
        self._start_ns = start_ns
        self._init_ns: int | None = None  # to be told with the first invocation
        self._init = {"initializationType": given["initialization_type"], "phase": phase}
        self._invocation: Invocation | None = None
        self._began_ns = self._answered_ns = self._runtime_done_ns = 0
        self._status, self._error_type = SUCCESS, ""
        telemetry.platform(
            "platform.initStart",
            {
                **self._init,
                "runtimeVersion": given["runtime"],
                "functionName": given["function_name"],
                "functionVersion": given["version"],
                "instanceId": given["log_stream"].rpartition("]")[2],
                "instanceMaxMemory": given["memory_mb"] << 20,
            },
        )

    # --- init ---------------------------------------------------------------------------------------------------------

    def runtime_initialised(self, error_type: str = "") -> None:
        status = ERROR if error_type else SUCCESS
        self._telemetry.platform("platform.initRuntimeDone", {**self._init, "status": status, **_error(error_type)})

    def init_ended(self, error_type: str = "") -> None:
        took_ns = time.monotonic_ns() - self._start_ns
        if self._init["phase"] == "init":
            self._init_ns = took_ns
        status = ERROR if error_type else SUCCESS
        metrics = {"durationMs": _ms(took_ns)}
        record = {**self._init, "status": status, "metrics": metrics, **_error(error_type)}
        self._telemetry.platform("platform.initReport", record)

    # --- an invocation ------------------------------------------------------------------------------------------------

    def began(self, invocation: Invocation) -> None:
        self._invocation, self._began_ns = invocation, time.monotonic_ns()
        self._answered_ns = self._runtime_done_ns = 0
        self._status, self._error_type = SUCCESS, ""
        record = {"requestId": invocation.request_id, "version": self._given["version"], **self._tracing(invocation)}
        self._telemetry.platform("platform.start", record)

    def answered(self, error_type: str) -> None:
        """The runtime has answered; error_type: of an invocation that failed."""
        self._answered_ns = time.monotonic_ns()
        if error_type:
            self._status, self._error_type = ERROR, error_type

    def runtime_done(self, produced_bytes: int) -> None:
        """It waits for its next invocation. Once for each."""
        if self._invocation is not None and not self._runtime_done_ns:
            self._runtime_done_ns = time.monotonic_ns()
            self._tell_runtime_done(self._invocation, {"producedBytes": produced_bytes})

    def cut_short(self, status: str, error_type: str) -> None:
        """The invocation under way ends without the runtime."""
        self._status, self._error_type = status, error_type
        invocation = self._invocation
        if invocation is None:
            return
        self._telemetry.platform("platform.fault", f"RequestId: {invocation.request_id} {error_type or status}")
        if not self._runtime_done_ns:
            self._runtime_done_ns = time.monotonic_ns()
            self._tell_runtime_done(invocation, {})

    def _tell_runtime_done(self, invocation: Invocation, metrics: Mapping[str, Any]) -> None:
        spans = [_span("responseLatency", self._began_ns, self._answered_ns)] if self._answered_ns else []
        if self._answered_ns:
            spans.append(_span("runtimeOverhead", self._answered_ns, self._runtime_done_ns))
        record = {
            "requestId": invocation.request_id,
            "status": self._status,
            "metrics": {"durationMs": _ms(self._runtime_done_ns - self._began_ns), **metrics},
            "spans": spans,
            **_error(self._error_type),
            **self._tracing(invocation),
        }
        self._telemetry.platform("platform.runtimeDone", record)

    def ended(self, pids: Iterable[int]) -> None:
        """It is over for everybody. `pids`: of the processes whose memory counts with this one's."""
        invocation, self._invocation = self._invocation, None
        if invocation is None:
            return
        now_ns = time.monotonic_ns()
        took_ns, init_ns = now_ns - self._began_ns, self._init_ns
        self._init_ns = None
        memory_mb = self._given["memory_mb"]
        metrics = {
            "durationMs": _ms(took_ns),
            "billedDurationMs": max(1, math.ceil((took_ns + (init_ns or 0)) / 1e6)),
            "memorySizeMB": memory_mb,
            "maxMemoryUsedMB": min(memory_mb, _peak_mb(pids)),
            **({} if init_ns is None else {"initDurationMs": _ms(init_ns)}),
        }
        self._telemetry.platform("platform.end", {"requestId": invocation.request_id})
        record = {
            "requestId": invocation.request_id,
            "status": self._status,
            "metrics": metrics,
            "spans": [_span("extensionOverhead", self._runtime_done_ns, now_ns)] if self._runtime_done_ns else [],
            **_error(self._error_type),
            **self._tracing(invocation),
        }
        self._telemetry.platform("platform.report", record)

    def _tracing(self, invocation: Invocation) -> dict[str, Any]:
        return {"tracing": tracing(invocation)}


def tracing(invocation: Invocation) -> dict[str, str]:
    """Its trace header, as extensions are told of it."""
    return {"type": TRACING, "value": invocation.trace_id}


def _span(name: str, from_ns: int, to_ns: int) -> dict[str, Any]:
    wall_ms = (time.time_ns() - time.monotonic_ns() + from_ns) // 1_000_000
    return {"name": name, "start": iso_ms(wall_ms), "durationMs": _ms(max(0, to_ns - from_ns))}


def _error(error_type: str) -> dict[str, str]:
    return {"errorType": error_type} if error_type else {}


def _ms(time_ns: int) -> float:
    return round(time_ns / 1e6, 3)


def _peak_mb(pids: Iterable[int]) -> int:
    """The most that these processes and this one ever held, each at its own time: an upper bound."""
    peak_kb = 0
    for pid in (os.getpid(), *pids):
        try:
            with open(f"/proc/{pid}/status") as status:
                peak_kb += next((int(line.split()[1]) for line in status if line.startswith("VmHWM:")), 0)
        except OSError:  # it has ended
            continue
    return math.ceil(peak_kb / 1024)
