"""The object that a handler gets as its second argument."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from .context import client_context, cognito_identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAMES = (
    *("aws_request_id", "log_group_name", "log_stream_name", "function_name", "memory_limit_in_mb"),
    *("function_version", "invoked_function_arn", "client_context", "identity", "tenant_id"),
)


class LambdaContext:
    """One invocation. Raises what `context.client_context` does."""

    def __init__(self, headers: Mapping[bytes, bytes], log: Callable[[str], None]) -> None:
        def sent(name: bytes) -> str | None:
            value = headers.get(b"lambda-runtime-" + name)
            return None if value is None else value.decode("utf-8", "replace")

        self.aws_request_id = sent(b"aws-request-id")
        self.invoked_function_arn = sent(b"invoked-function-arn")
        self.tenant_id = sent(b"aws-tenant-id")
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self._epoch_deadline_time_in_ms = int(headers.get(b"lambda-runtime-deadline-ms", b"0"))
        self._log = log
        self._identity_document = sent(b"cognito-identity")
        self._identity: Any = None
        self.client_context: Any
        self.client_context, self._trace = client_context(sent(b"client-context"))

    @property
    def identity(self) -> Any:
        if self._identity is None:
            self._identity = cognito_identity(self._identity_document)
        return self._identity

    @identity.setter
    def identity(self, value: object) -> None:
        self._identity = value

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation times out; 0 when it should have."""
        return max(self._epoch_deadline_time_in_ms - time.time_ns() // 1_000_000, 0)

    def w3c(self) -> dict[str, str]:
        """The W3C trace context that the caller sent."""
        return dict(self._trace)

    def log(self, message: object) -> None:
        """Write a message to the function's log."""
        self._log(str(message))

    def __repr__(self) -> str:
        fields = ",".join(f"{name}={getattr(self, name)}" for name in NAMES)
        return f"{type(self).__name__}([{fields}])"
