"""The invocation that a runtime has: its event and what comes beside it, and how it is ended."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from ..._ext import port, relay
from .connection import Connection, Request, Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STREAM_MAX_BYTES = 209_715_200
UNKNOWN = "Runtime.Unknown"
TRACE_VARIABLE = b"_X_AMZN_TRACE_ID"
ERROR_TYPE = b"lambda-runtime-function-error-type"
ERROR_BODY = b"lambda-runtime-function-error-body"


class Invocation:
    """Made when the place has claimed one. `is_open` until it is ended, once."""

    def __init__(self, place: relay.Relay, beside: dict[str, Any]) -> None:
        """`beside` is what the place's `extras` fills, anew for each invocation."""
        beside.clear()
        self._place = place
        self.event = place.event()
        self.request_id = place.request_id()
        self.deadline_ms = place.deadline_ms()
        self.trace_id = str(beside.get("trace_id") or place.variables[TRACE_VARIABLE].decode())
        self.beside = dict(beside)
        self.is_open = True

    def head(self) -> bytes:
        """The headers that it comes with, whole lines."""
        lines = [
            f"Lambda-Runtime-Aws-Request-Id: {self.request_id}",
            f"Lambda-Runtime-Deadline-Ms: {self.deadline_ms}",
            f"Lambda-Runtime-Invoked-Function-Arn: {self._place.invoked_function_arn}",
            f"Lambda-Runtime-Trace-Id: {_one_line(self.trace_id)}",
        ]
        for name, header in _BESIDE.items():
            if self.beside.get(name):
                lines.append(f"{header}: {_one_line(self.beside[name])}")
        return "\r\n".join([*lines, ""]).encode("utf-8", "replace")

    def answer(self, body: bytes) -> None:
        """What the handler returned."""
        self.is_open = False
        self._place.answer(body)

    def fail(self, body: bytes, error_type: str) -> None:
        """It failed, as `body` says."""
        self.is_open = False
        self._place.refuse(body, error_type or UNKNOWN)

    def begin_stream(self, content_type: bytes) -> bool:
        """Whether whoever called reads as it comes; then `pour` takes what is next."""
        if not self._place.is_streamed():
            return False
        self._place.begin_stream(content_type[:255] or port.BYTES)
        return True

    def pour(self, data: bytes, offset: int) -> int:
        """How many bytes from `offset` on there was room for."""
        return self._place.send_some(data, offset)


class StreamSink(Sink):
    """The body of a streamed answer, handed on as it comes; gathered for a caller who wants it whole."""

    def __init__(self, invocation: Invocation, request: Request, on_ended: _OnEnded) -> None:
        self._invocation = invocation
        self._request = request
        self._connection: Connection = request.connection
        self._on_ended = on_ended
        self._streams = invocation.begin_stream(request.headers.get(b"content-type", port.BYTES))
        self._gathered: list[bytes] = []
        self._total = 0
        self._left: list[tuple[bytes, int]] = []  # what the ring has no room for yet: one chunk of 256 KB at most
        self._trailers: Mapping[bytes, bytes] | None = None

    def chunk(self, data: bytes) -> bool:
        most = STREAM_MAX_BYTES if self._streams else relay.ANSWER_MAX_BYTES
        kept = data[: max(0, most + (not self._streams) - self._total)]
        self._total += len(data)
        if not self._streams:
            self._gathered.append(kept)
            return True
        if kept and self._invocation.is_open:
            self._left.append((kept, 0))
            return self.go_on()
        return True

    def go_on(self) -> bool:
        """Hand on what was left, as far as there is room now. Whether nothing is left."""
        while self._left and self._invocation.is_open:
            data, offset = self._left[0]
            offset += self._invocation.pour(data, offset)
            if offset < len(data):
                self._left[0] = (data, offset)
                return False
            self._left.pop(0)
        if self._trailers is not None:
            self._finish(self._trailers)
        else:
            self._connection.resume()
        return True

    def end(self, trailers: Mapping[bytes, bytes]) -> None:
        if self._left:
            self._trailers = trailers
        else:
            self._finish(trailers)

    def _finish(self, trailers: Mapping[bytes, bytes]) -> None:
        invocation, self._trailers = self._invocation, None
        if invocation.is_open:
            if ERROR_TYPE in trailers or ERROR_BODY in trailers:
                invocation.fail(
                    _decoded(trailers.get(ERROR_BODY, b"")), trailers.get(ERROR_TYPE, b"").decode("latin-1")
                )
            elif not self._streams:
                invocation.answer(b"".join(self._gathered))
            elif self._total > STREAM_MAX_BYTES:
                invocation.fail(port.STREAM_TOO_LARGE, "Function.ResponseSizeTooLarge")
            else:
                invocation.answer(b"")
        if not self._streams and self._total > relay.ANSWER_MAX_BYTES:
            self._request.refuse_size()
        else:
            self._request.accept()
        self._on_ended(self)

    def broken(self) -> None:
        invocation = self._invocation
        if invocation.is_open:
            invocation.fail(
                json.dumps({
                    "errorMessage": "the runtime ended its answer before it was whole",
                    "errorType": "Runtime.TruncatedResponse",
                }).encode(),
                "Runtime.TruncatedResponse",
            )  # fmt: skip
        self._on_ended(self)


_BESIDE = {
    "client_context": "Lambda-Runtime-Client-Context",
    "identity": "Lambda-Runtime-Cognito-Identity",
    "tenant_id": "Lambda-Runtime-Aws-Tenant-Id",
}

if TYPE_CHECKING:
    from collections.abc import Callable

    _OnEnded = Callable[[StreamSink], object]


def _one_line(text: object) -> str:
    """As a header's value: what a caller sent must not begin a header of its own."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text))


def _decoded(body: bytes) -> bytes:
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:
        return body
