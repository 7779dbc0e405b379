from collections.abc import Callable
from typing import Any

from engine._ext.lane import Lane
from engine._ext.result import InvokeResult
from engine._ext.scheduler import Door, Scheduler

class Party: ...

class Exchange(Door):
    scheduler: Scheduler
    def __init__(
        self,
        scheduler: Scheduler,
        *,
        lane_of: Callable[[str, str | None], Lane],
        tenant_lane_of: Callable[[str, str | None, str, str], Lane],
        control: Callable[[Any, int | None, str, bytes], None],
        options: Callable[[bytes], tuple[str | None, str, bytes, bool, str | None, str | None]],
        receipt: Callable[[Lane, str], InvokeResult],
        accept: Callable[[Lane, str, str | None, bytes, bytes, Any], None],
        traced: Callable[[Lane, bytes, str, str], bytes],
        error_answer: Callable[[int, BaseException], bytes],
        refusal: Callable[[int], Exception],
        left: Callable[[Any], None],
        failed: Callable[[Any, Exception], None],
    ) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...
    def fileno(self) -> int: ...
    def readable(self) -> None: ...
