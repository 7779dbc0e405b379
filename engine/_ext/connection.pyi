import asyncio
from collections.abc import Callable
from typing import Any

from engine._ext.lane import Lane
from engine._ext.result import InvokeResult
from engine._ext.scheduler import Scheduler

IN_FLIGHT_MAX: int
MESSAGE_MAX: int
DEPTH_MAX: int
UNREAD_MAX: int
VIOLATIONS: dict[int, str]

class Exchange:
    scheduler: Scheduler
    requests: int
    connections: int
    def __init__(
        self,
        scheduler: Scheduler,
        *,
        lane_of: Callable[[str, str | None], Lane],
        control: Callable[[Any, int | None, str, bytes], None],
        options: Callable[[bytes], tuple[str | None, str, bytes, bool]],
        receipt: Callable[[Lane, str], InvokeResult],
        error_answer: Callable[[int, BaseException], bytes],
        refusal: Callable[[int], Exception],
    ) -> None: ...
    def flush(self) -> None: ...

class Ticket:
    def set_result(self, result: InvokeResult) -> None: ...
    def set_exception(self, error: BaseException) -> None: ...

class Connection(asyncio.Protocol):
    transport: Any
    peer: Any
    trusted: bool
    closing: bool
    in_flight: int
    def __init__(self, exchange: Exchange, *, trusted: bool) -> None: ...
    def connection_made(self, transport: Any) -> None: ...
    def connection_lost(self, error: Exception | None) -> None: ...
    def eof_received(self) -> bool: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def drain(self) -> None: ...
    def respond(self, answer: bytes | None) -> None: ...
