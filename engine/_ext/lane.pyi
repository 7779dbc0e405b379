from collections.abc import Callable
from typing import Any

from .._ext.environment import Environment
from .._ext.journal import Journal
from .._ext.linux import Mapping
from .._ext.meter import Meter, Quota
from ..model import FunctionConfiguration

class Lane:
    configuration: FunctionConfiguration
    name: str
    version: str
    quota: Quota
    book: object
    on_event: Callable[[Lane, Environment | None, str, int], None]
    meter: Meter
    journal: Journal
    source: int
    environments: list[Environment | None]
    ready: int
    starting: int
    outstanding: int
    events: int
    backlog: int
    poisoned: bool
    demanded: bool
    active: bool
    closed: bool
    service_ns: float
    turnaround_ns: float
    longest_ns: float
    cpu_share: float
    cold_ns: float
    pending: Any
    region_fd: int
    event_fd: int
    mapping: Mapping
    old_mappings: list[Mapping]
    def __init__(
        self,
        configuration: FunctionConfiguration,
        quota: Quota,
        meter: Meter,
        journal: Journal,
        *,
        source: int,
        log_limit: int,
        spin_us: float,
        spin_limit: int,
    ) -> None: ...
    def format(self) -> None: ...
    def drain_now(self) -> int: ...
    def close(self) -> None: ...
