from collections.abc import Mapping
from typing import Any, Final, Literal

STARTS: Final[tuple[str, ...]]
OUTCOMES: Final[tuple[str, ...]]

def uuid_text(raw: bytes) -> str: ...

class InvokeResult:
    payload: bytes
    status_code: int
    function_error: str | None
    executed_version: str
    billed_ms: int
    memory_mb: int
    max_memory_mb: int
    log_tail: str | None
    @staticmethod
    def receipt(status_code: int, raw_id: bytes, executed_version: str, memory_mb: int) -> InvokeResult: ...
    @staticmethod
    def from_map(values: Mapping[str, Any]) -> InvokeResult: ...
    def json(self) -> Any: ...
    @property
    def request_id(self) -> str: ...
    @property
    def start(self) -> Literal["cold", "warm", "provisioned", "snapshot"]: ...
    @property
    def outcome(self) -> str: ...
    @property
    def duration_ms(self) -> float: ...
    @property
    def init_ms(self) -> float | None: ...
    @property
    def queued_ms(self) -> float: ...
