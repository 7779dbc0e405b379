from collections.abc import Callable
from typing import Final

from .._ext.result import InvokeResult

RING_BYTES: Final[int]
STREAM_MAX_BYTES: Final[int]
JSON: Final[str]
BYTES: Final[str]

class Flow:
    listener: Callable[[], object] | None
    content_type: str | None
    request_id: str | None
    executed_version: str | None
    error: BaseException | None
    result: InvokeResult | None
    ended: bool
    def __init__(self, listener: Callable[[], object] | None = None) -> None: ...
    @property
    def at_end(self) -> bool: ...
    @property
    def is_readable(self) -> bool: ...
    def take(self, limit: int) -> bytes: ...
    def discard(self) -> None: ...
    def set_result(self, result: InvokeResult) -> None: ...
    def set_exception(self, error: BaseException) -> None: ...
