from _thread import LockType
from asyncio import Future
from typing import Any

from .._ext.result import InvokeResult
from ..states import State

class Waiter:
    result: InvokeResult | None
    error: BaseException | None
    told: bool
    forward: Future[InvokeResult] | None
    def park(self) -> LockType: ...
    def nudge(self) -> None: ...
    def news(self) -> None: ...
    def set_result(self, result: InvokeResult) -> None: ...
    def set_exception(self, error: BaseException) -> None: ...

class Environment:
    index: int
    serial: int
    stream: str
    state: State
    cell: Any  # a Cell of the sandbox room; compiled code does not look inside
    pid: int
    log_fd: int
    bell_fd: int
    start_code: int
    late: bool
    served: int
    spawned_ns: int
    init_ns: int
    used_ns: int
    init_seen: bool
    is_ready: bool
    withdrawn: bool
    memory_kb: int
    def __init__(self, index: int, serial: int, stream: str) -> None: ...
    def watch(self, gauges: tuple[int, int, int, bytes, bytes], base_kb: int) -> None: ...
    def unwatch(self) -> None: ...
