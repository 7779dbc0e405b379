"""F0: frozen values that cross rooms. No behaviour beyond deriving one field from others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from . import config

Code: TypeAlias = "str | os.PathLike[str] | bytes"  # a folder, a .zip or .jar, a .py file, or the bytes of a zip
Network: TypeAlias = Literal["host", "loopback", "none"]
RecursiveLoop: TypeAlias = Literal["Allow", "Terminate"]
TenantIsolation: TypeAlias = Literal["PER_TENANT"]


@dataclass(frozen=True, slots=True)
class StoredCode:
    """A code bundle unpacked on this host.

    `sha256` is Lambda's CodeSha256: base64 of SHA-256 over the zip. `size` is the zip's length in bytes. `root` is the
    folder it was unpacked to, shared by every function with the same bundle and never written to after unpacking.
    `unzipped_bytes` is what its files hold, as Lambda's limit on code with layers counts it.
    """

    sha256: str
    size: int
    root: Path
    unzipped_bytes: int = 0


@dataclass(frozen=True, slots=True)
class FunctionConfiguration:
    """One version of one function, immutable: an update makes a new one with a new `revision_id`.

    `network` is what it may reach; None is the engine's own default. `snap_start` is Lambda's PublishedVersions:
    `$LATEST` only hands it on to versions that are published of it, and `starts_from_snapshot` says where it holds.
    Log levels are there with the format JSON only. `tenant_isolation`: no environment serves two tenants. `kept` are
    settings that Lambda has and this engine only gives back.
    """

    function_name: str
    handler: str
    runtime: str
    code: StoredCode
    version: str = "$LATEST"
    description: str = ""
    role: str = "arn:aws:iam::000000000000:role/execution_role"
    memory_mb: int = config.MEMORY_DEFAULT_MB
    timeout_s: int = config.TIMEOUT_DEFAULT_S
    ephemeral_storage_mb: int = config.EPHEMERAL_MIN_MB
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    layers: tuple[StoredCode, ...] = ()
    architecture: str = "x86_64"
    region: str = config.REGION_DEFAULT
    account_id: str = config.ACCOUNT_ID_DEFAULT
    revision_id: str = ""
    last_modified: str = ""  # ISO 8601 with milliseconds and +0000, as Lambda writes it
    network: Network | None = None
    snap_start: bool = False
    dead_letter_target_arn: str | None = None
    layer_arns: tuple[str, ...] = ()  # of each of `layers` the ARN of its version; "" of what was given as code
    log_format: Literal["Text", "JSON"] = "Text"
    application_log_level: str | None = None
    system_log_level: Literal["DEBUG", "INFO", "WARN"] | None = None
    log_group_name: str = ""
    tenant_isolation: TenantIsolation | None = None
    kept: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def function_arn(self) -> str:
        """The unqualified ARN for `$LATEST`, qualified for a published version."""
        arn = f"arn:aws:lambda:{self.region}:{self.account_id}:function:{self.function_name}"
        return arn if self.version == "$LATEST" else f"{arn}:{self.version}"

    @property
    def starts_from_snapshot(self) -> bool:
        """Whether environments of this version start from a snapshot of an initialised one."""
        return self.snap_start and self.version != "$LATEST"

    @property
    def log_group(self) -> str:
        """The CloudWatch log group that its log is in: `log_group_name`, else Lambda's own for the function."""
        return self.log_group_name or f"/aws/lambda/{self.function_name}"


@dataclass(frozen=True, slots=True)
class FunctionState:
    """Whether a version can be invoked as it is meant to be. `reason_code` is Lambda's StateReasonCode."""

    state: Literal["Pending", "Active", "Failed"] = "Active"
    reason: str | None = None
    reason_code: str | None = None


@dataclass(frozen=True, slots=True)
class LayerVersion:
    """One published version of a layer, immutable. `created_date` is ISO 8601; "" of `license_info` is none."""

    layer_name: str
    version: int
    code: StoredCode
    description: str = ""
    compatible_runtimes: tuple[str, ...] = ()
    compatible_architectures: tuple[str, ...] = ()
    license_info: str = ""
    created_date: str = ""
    region: str = config.REGION_DEFAULT
    account_id: str = config.ACCOUNT_ID_DEFAULT

    @property
    def layer_arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account_id}:layer:{self.layer_name}"

    @property
    def layer_version_arn(self) -> str:
        return f"{self.layer_arn}:{self.version}"


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """What this engine's account may have and has, as Lambda counts it.

    `total_code_size_bytes` are the zips of every version of every function and layer, each counted, of at most
    `total_code_size_limit_bytes`. The other two limits are of one bundle, unpacked and as a zip in a request.
    """

    total_code_size_limit_bytes: int
    code_size_unzipped_limit_bytes: int
    code_size_zipped_limit_bytes: int
    concurrent_executions: int
    unreserved_concurrent_executions: int
    total_code_size_bytes: int
    function_count: int


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One line of a function's log as CloudWatch would hold it. `timestamp_ms` is Unix time."""

    timestamp_ms: int
    stream: str
    message: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for a version. `routing`: the part of its invocations, 0.0 to 1.0, that goes to another version."""

    function_name: str
    name: str
    function_version: str
    description: str = ""
    revision_id: str = ""
    routing: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def versions(self) -> tuple[str, ...]:
        """All versions that it leads to, its own first."""
        return self.function_version, *self.routing


@dataclass(frozen=True, slots=True)
class ProvisionedRequest:
    """How much provisioned concurrency a version or an alias is to have, and since when (ISO 8601)."""

    requested: int
    last_modified: str


@dataclass(frozen=True, slots=True)
class ProvisionedConcurrencyConfig:
    """Provisioned concurrency of a version or an alias, in Lambda's words.

    `status` is IN_PROGRESS, READY, or FAILED with a `status_reason`; what failed is tried again.
    """

    function_arn: str
    requested_provisioned_concurrent_executions: int
    available_provisioned_concurrent_executions: int
    allocated_provisioned_concurrent_executions: int
    status: Literal["IN_PROGRESS", "READY", "FAILED"]
    status_reason: str | None
    last_modified: str


@dataclass(frozen=True, slots=True)
class EventInvokeConfig:
    """What happens to events of a function (`$LATEST`), version or alias. None is Lambda's default, or no destination.

    Destinations are ARNs: of a queue, a topic, a bucket, an event bus, or of a function here. `last_modified` is ISO
    8601.
    """

    function_arn: str
    last_modified: str = ""
    maximum_retry_attempts: int | None = None
    maximum_event_age_s: int | None = None
    on_success: str | None = None
    on_failure: str | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """When to invoke a function, in the words of EventBridge Scheduler.

    expression: `rate(5 minutes)`, `cron(0 12 * * ? *)` or `at(2026-12-24T18:00:00)`, read in `timezone` (IANA).
    function: a name, `name:qualifier` or ARN. payload: the event, JSON; None is Scheduler's own "Scheduled Event".
    flexible_window_minutes: 0 is "OFF"; else each invocation comes some time within so many minutes. start_ms, end_ms:
    Unix time between which it holds; None is without bound. action_after_completion: "DELETE" removes it once no
    invocation is left to come. maximum_retry_attempts, maximum_event_age_s: of its events. dead_letter_arn: a queue
    for those that failed for good.
    """

    name: str
    expression: str
    function: str
    timezone: str = "UTC"
    payload: bytes | None = None
    state: Literal["ENABLED", "DISABLED"] = "ENABLED"
    flexible_window_minutes: int = 0
    start_ms: int | None = None
    end_ms: int | None = None
    maximum_retry_attempts: int | None = None
    maximum_event_age_s: int | None = None
    dead_letter_arn: str | None = None
    action_after_completion: Literal["NONE", "DELETE"] = "NONE"
    description: str = ""
    created_ms: int = 0
    last_modified_ms: int = 0


@dataclass(frozen=True, slots=True)
class Resource:
    """A document that the engine keeps for its doors: a policy, tags, and the like.

    `kind` and `key` name it. `document` is JSON, the reader's own copy. It goes with `function` (a bare name), if that
    is given. `revision_id` is new with each writing.
    """

    kind: str
    key: str
    document: Mapping[str, Any]
    function: str | None = None
    revision_id: str = ""
    last_modified_ms: int = 0


@dataclass(frozen=True, slots=True)
class MetricName:
    """That there are points of a metric: of a function, and of one version of it, or the alias that events went to."""

    metric: str
    function: str
    version: str


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """What one period from `start_ms` (Unix time) has of a metric. `percentiles` by number: "99", "99.9"."""

    start_ms: int
    count: int
    sum: float
    minimum: float
    maximum: float
    percentiles: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """Points of one metric by time; periods without a sample have none. `unit` is CloudWatch's word."""

    metric: str
    unit: str
    points: tuple[MetricPoint, ...]


@dataclass(frozen=True, slots=True)
class LogStream:
    """What one environment has logged, and is still held. Unix times; `last_ingested_ms` is when the last was kept."""

    name: str
    first_event_ms: int
    last_event_ms: int
    last_ingested_ms: int


@dataclass(frozen=True, slots=True)
class StoredLogEvent:
    """One line of a function's log with its id, by which it is told again from others of the same time and text."""

    event_id: str
    timestamp_ms: int
    ingested_ms: int
    stream: str
    message: str


@dataclass(frozen=True, slots=True)
class LogSlice:
    """Log events in the order in which they were kept. `after` and `before` are cursors for what follows and what
    comes before them; `has_more`: there is more in the direction that was asked for, now."""

    events: tuple[StoredLogEvent, ...]
    before: str
    after: str
    has_more: bool


@dataclass(frozen=True, slots=True)
class LogSummary:
    """That a function has a log. `stored_bytes` is what its functions printed, as far as it is held."""

    function_name: str
    log_group: str
    first_event_ms: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class LogPage:
    """Log events and where they end: `cursor` says it to whoever asks for what came after. Only its maker reads it."""

    events: tuple[LogEvent, ...]
    cursor: str
