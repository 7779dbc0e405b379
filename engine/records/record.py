"""F1: what is kept of one invocation. How it reads as a log is `report.py`'s and `render.py`'s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Start = Literal["cold", "warm", "provisioned", "snapshot"]
Outcome = Literal["ok", "error", "timeout", "exit", "oom"]
LogFormat = Literal["Text", "JSON"]
SystemLevel = Literal["DEBUG", "INFO", "WARN"]
INITIALIZATION: Final[Mapping[str, str]] = {
    "cold": "on-demand",
    "warm": "on-demand",
    "provisioned": "provisioned-concurrency",
    "snapshot": "snap-start",
}
_LEVELS: Final[tuple[SystemLevel, ...]] = ("DEBUG", "INFO", "WARN")


@dataclass(frozen=True, slots=True)
class LogStyle:
    """How the platform's own lines of a version read, and which lines are left out of a log that is JSON.

    `system_level`: its own below it. `application_level`: what the function wrote as JSON objects of a lower level.
    """

    log_format: LogFormat = "Text"
    system_level: SystemLevel = "INFO"
    application_level: str = "TRACE"

    def shows(self, level: SystemLevel) -> bool:
        """Whether a line of this level is written; which line has which is AWS's System log level event mapping:
        https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html"""
        return _LEVELS.index(level) >= _LEVELS.index(self.system_level)


@dataclass(frozen=True, slots=True)
class InvocationRecord:
    """Stamps (`queued_ns`, `claimed_ns`, `done_ns`) are of CLOCK_MONOTONIC; `wall_ms` is Unix time at `done_ns`.

    `duration_ns` is what is reported: of a time-out exactly the limit. `init_ns` is set on a cold start only,
    `restore_ns` on a start from a snapshot only, of which `billed_restore_ns` is billed. `error_type` is Lambda's, such
    as `Runtime.ExitError`; `log` is all that the environment wrote meanwhile, and `log_dropped_bytes` what did not fit.
    `runtime_version` and `runtime_version_arn`, where known, give a cold start its INIT_START line. `init_log`,
    `init_log_dropped_bytes` are of the init that came before a cold start. `tenant_id` is "" where tenants are not kept
    apart.
    """

    request_id: str
    function_name: str
    version: str
    stream: str
    start: Start
    queued_ns: int
    claimed_ns: int
    done_ns: int
    wall_ms: int
    duration_ns: int
    init_ns: int | None
    billed_ms: int
    memory_mb: int
    max_memory_mb: int
    outcome: Outcome = "ok"
    error_type: str | None = None
    log: bytes = b""
    log_dropped_bytes: int = 0
    restore_ns: int | None = None
    billed_restore_ns: int = 0
    runtime_version: str = ""
    runtime_version_arn: str = ""
    init_log: bytes = b""
    init_log_dropped_bytes: int = 0
    tenant_id: str = ""

    @property
    def started_ms(self) -> int:
        """Unix time at which an environment took the invocation."""
        return self.wall_ms - max(0, self.done_ns - self.claimed_ns) // 1_000_000

    @property
    def init_started_ms(self) -> int:
        """Unix time at which the init before it began; of a warm start the same as `started_ms`."""
        return self.started_ms - (self.init_ns or 0) // 1_000_000

    @property
    def status(self) -> Literal["success", "error", "timeout"]:
        """The platform's word for the outcome."""
        if self.outcome == "ok":
            return "success"
        return "timeout" if self.outcome == "timeout" else "error"

    @property
    def reported_error_type(self) -> str | None:
        """The Error Type of REPORT: for want of memory Runtime.OutOfMemory, whatever the answer's type was."""
        if self.status != "error":
            return None
        return "Runtime.OutOfMemory" if self.outcome == "oom" else self.error_type
