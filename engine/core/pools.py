"""F3: the environments of one function version: what each is started with, and what is remembered between them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from .._ext.environment import Environment
from .._ext.lane import Lane
from .._ext.result import STARTS
from ..config import INIT_AHEAD_TIMEOUT_S, INIT_TIMEOUT_S, MEMORY_PER_VCPU_MB
from ..model import FunctionConfiguration, Network
from ..records import render, streams
from ..records.book import LogBook
from ..records.record import LogStyle
from ..sandbox.contract import Limits
from .cpu_demand import CpuDemand
from .languages import Started

PROCESSES_MAX = 1_024
SOON_NS = INIT_TIMEOUT_S * 1_000_000_000  # whoever starts for longer is not what a caller should wait for
PROVISIONED = STARTS.index("provisioned")
SNAPSHOT = STARTS.index("snapshot")


@dataclass(slots=True, eq=False)
class Pool:
    """One function version's lane, log and order template; or one tenant's, of a version that keeps tenants apart.

    `network` is what its environments may reach: the configuration's word, or the engine's. `started` is how its
    runtime's process is, None of functions that the engine's own Python runs. `late_init` is set while
    its last init failed: the next environment runs init inside its first invocation. `on_environment` is told of each
    environment that became ready, or is no more. `superseded` is set once nothing leads to this version any more: it
    ends when its last invocation has. A tenant's pool has the version's own for its `home`, which nothing runs in, and
    whose `tenants` are those that are found by their ids; `neighbours` are all of its function that are not gone yet.
    """

    configuration: FunctionConfiguration
    lane: Lane
    book: LogBook
    runtime_packages: str
    cpu_share: float | None
    credentials: dict[str, str]
    network: Network
    started: Started | None
    late_init: bool = False
    superseded: bool = False
    quiet_ticks: int = 0
    retries: int = 0
    on_gone: Callable[[], None] | None = None
    on_environment: Callable[[Environment], None] | None = None
    killed_for_memory: set[int] = field(default_factory=set)
    cpu_demand: CpuDemand = field(default_factory=CpuDemand)
    uid: int = -1
    namespace_fd: int = -1
    tenant_id: str = ""
    home: Pool | None = None
    tenants: dict[str, Pool] = field(default_factory=dict)
    neighbours: set[Pool] = field(default_factory=set)

    def tenant_is_current(self) -> bool:
        """Whether it is where its tenant's invocations go to."""
        return self.home is not None and self.home.tenants.get(self.tenant_id) is self

    @property
    def is_vacant(self) -> bool:
        """A tenant's that has neither environments nor invocations."""
        lane = self.lane
        return self.home is not None and lane.outstanding == 0 and not any(lane.environments)

    @property
    def style(self) -> LogStyle:
        """How the platform writes to its log."""
        configuration = self.configuration
        levels = configuration.system_log_level or "INFO", configuration.application_log_level or "INFO"
        return LogStyle(configuration.log_format, *levels)

    def limits(self) -> Limits:
        """What one environment may use once its init is over; until then no CPU quota applies."""
        return Limits(self.configuration.memory_mb, None, PROCESSES_MAX)

    @property
    def init_ahead_limit_s(self) -> int:
        """How long an init may take that nobody waits for."""
        return max(INIT_AHEAD_TIMEOUT_S, self.configuration.timeout_s)

    def starting_soon(self, now_ns: int) -> int:
        """Environments that start, without those initialised ahead that take longer than a cold start may."""
        starting = self.lane.starting
        if starting == 0 or self.on_environment is None:
            return starting
        members = [each for each in self.lane.environments if each is not None and not each.is_ready]
        return starting - sum(is_provisioned(each) and now_ns - each.spawned_ns > SOON_NS for each in members)

    def new_stream(self) -> str:
        """The name of a log stream that begins now."""
        return streams.stream_name(self.lane.version, time.time_ns() // 1_000_000)

    def note(self, stream: str, text: str) -> None:
        """Keep in the log what belongs to no invocation."""
        before, now_ns = self.lane.meter.ledger.appended, time.monotonic_ns()
        for message in render.own_lines(text, self.style):
            self.book.note(before, now_ns, stream, message)

    def order(
        self,
        environment: Environment,
        purpose: Literal["environment", "copy"],
        *,
        has_scratch: bool = False,
        uid: int | None = None,
    ) -> bytes:
        """What a blank is told of the function it gets: JSON. has_scratch: whether a mount for /tmp comes with it. uid:
        the user that it has already."""
        order = {
            **self._order("runtime" if self.started else purpose, environment.stream, has_scratch),
            "index": environment.index,
            "late": environment.late,
            "hooks": purpose == "environment" and self.configuration.starts_from_snapshot,
        }
        order["surroundings"]["initialization_type"] = self._initialization_type(environment)
        if self.started is not None:
            order["runtime"] = self.started.order()
        if uid is not None:
            order["room"]["uid"] = uid
        return json.dumps(order).encode()

    def template_order(self, stream: str, *, has_scratch: bool = False) -> bytes:
        """What a blank is told that is to make a snapshot: JSON."""
        order = self._order("template", stream, has_scratch)
        order["surroundings"]["initialization_type"] = "snap-start"
        return json.dumps(order).encode()

    def _order(self, purpose: str, stream: str, has_scratch: bool) -> dict[str, Any]:
        configuration = self.configuration
        return {
            "purpose": purpose,
            "timeout_ns": configuration.timeout_s * 1_000_000_000,
            "arn": configuration.function_arn,
            "layers": [str(layer.root) for layer in configuration.layers],
            "surroundings": self._surroundings(stream),
            "room": {
                "uid": self.uid,
                "tmp_mb": configuration.ephemeral_storage_mb,
                "network": self.network,
                "has_namespace": self.namespace_fd >= 0,
                "has_scratch": has_scratch,
            },
        }

    def _initialization_type(self, environment: Environment) -> str:
        if is_provisioned(environment):
            return "provisioned-concurrency"
        return "snap-start" if environment.start_code == SNAPSHOT else "on-demand"

    def _surroundings(self, stream: str) -> dict[str, Any]:
        """What the worker makes its environment variables and its import path from."""
        configuration = self.configuration
        return {
            "function_name": configuration.function_name,
            "version": configuration.version,
            "memory_mb": configuration.memory_mb,
            "log_group": configuration.log_group,
            "log_stream": stream,
            "log_format": configuration.log_format,
            "log_level": configuration.application_log_level,
            "handler": configuration.handler,
            "region": configuration.region,
            "runtime": configuration.runtime,
            "task_root": str(configuration.code.root),
            "runtime_dir": self.runtime_packages,
            "user": dict(configuration.environment),
            "credentials": self.credentials,
        }


def is_provisioned(environment: Environment) -> bool:
    """Whether it was initialised ahead, and is kept for as long as that is asked for."""
    return environment.start_code == PROVISIONED


def cpu_share(memory_mb: int) -> float:
    """vCPUs that Lambda gives a function of this size: 1,769 MB are one."""
    return memory_mb / MEMORY_PER_VCPU_MB
