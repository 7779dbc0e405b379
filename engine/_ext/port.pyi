from collections.abc import Callable
from typing import Any, Final

SOURCE: Final[str]
TOO_LARGE: Final[bytes]
STREAM_TOO_LARGE: Final[bytes]
TOO_LARGE_TYPE: Final[str]
BYTES: Final[bytes]
HTTP_RESPONSE: Final[bytes]
PRELUDE_END: Final[bytes]

class LambdaContext:
    aws_request_id: str
    function_name: str
    function_version: str
    memory_limit_in_mb: str
    invoked_function_arn: str
    log_group_name: str
    log_stream_name: str
    client_context: object
    identity: object
    tenant_id: str | None
    def get_remaining_time_in_millis(self) -> int: ...
    def w3c(self) -> dict[str, str]: ...
    def log(self, message: object) -> None: ...

class Port:
    handler: Callable[..., Any]
    unmarshal: Callable[[bytes], object]
    marshal: Callable[[object], bytes]
    to_chunk: Callable[[object], bytes]
    fault: Callable[[BaseException, str], tuple[bytes, str]]
    flush: Callable[[], None]
    extras: Callable[[bytes], tuple[object, dict[str, str], str | None, str | None]]
    make_identity: Callable[[str | None], object]
    log_sink: Callable[[str], None]
    variables: dict[bytes, bytes]
    function_name: str
    function_version: str
    memory_limit_in_mb: str
    invoked_function_arn: str
    log_group_name: str
    log_stream_name: str
    def open(self, region_fd: int, index: int, event_fd: int, log_fd: int, timeout_ns: int) -> None: ...
    def leave(self) -> None: ...
    def init_ended(self, start_ns: int, failed: bool, error_type: str = "", restored_ns: int = 0) -> None: ...
    def request_id(self) -> str: ...
    def tenant_id(self) -> str | None: ...
    def claim(self) -> bool: ...
    def serve(self) -> None: ...
    def begin(self) -> None: ...
    def begin_stream(self, content_type: bytes) -> None: ...
    def send(self, chunk: bytes) -> bool: ...
    def refuse(self, answer: bytes, error_type: str) -> None: ...
