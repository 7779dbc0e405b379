"""The invocation that a runtime has: its event and what comes beside it, and how it is ended."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import partial

from ..._ext import port, relay
from .request import Request, Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Hold = Callable[[str, int, Callable[[], object]], object]

STREAM_MAX_BYTES = 209_715_200
UNKNOWN = "Runtime.Unknown"
TRACE_VARIABLE = b"_X_AMZN_TRACE_ID"
ERROR_TYPE = b"lambda-runtime-function-error-type"
ERROR_BODY = b"lambda-runtime-function-error-body"
TRUNCATED_TYPE = "Runtime.TruncatedResponse"
TRUNCATED = (
    b'{"errorType":"Runtime.TruncatedResponse",'
    b'"errorMessage":"The runtime closed the connection before all of its streamed answer was there."}'
)
ANSWER_PATH = b"/2018-06-01/runtime/invocation/%b/response"
HEAD = (
    b"Lambda-Runtime-Aws-Request-Id: %b\r\n"
    b"Lambda-Runtime-Deadline-Ms: %d\r\n"
    b"Lambda-Runtime-Invoked-Function-Arn: %b\r\n"
    b"Lambda-Runtime-Trace-Id: %b\r\n"
)
BESIDE = {
    "client_context": b"Lambda-Runtime-Client-Context",
    "identity": b"Lambda-Runtime-Cognito-Identity",
    "tenant_id": b"Lambda-Runtime-Aws-Tenant-Id",
}


class Invocation:
    """Made when the place has claimed one. `is_open`, and its event there, until it is ended, once."""

    __slots__ = (
        *("_beside", "_id", "_place", "_trace_id"),
        *("answer_path", "deadline_ms", "event", "hold", "is_open", "request_id"),
    )

    def __init__(self, place: relay.Relay, beside: dict[str, Any]) -> None:
        """`beside` is what the place's `extras` fills, anew for each invocation."""
        beside.clear()
        self._place = place
        self.event = place.event()
        self.request_id = place.request_id()
        self._id = self.request_id.encode()
        self.answer_path = ANSWER_PATH % self._id
        self.deadline_ms = place.deadline_ms()
        self._beside = dict(beside) if beside else beside
        self._trace_id = place.variables[TRACE_VARIABLE]
        self.is_open = True
        self.hold: Hold | None = None  # takes what would end it, until extensions are done too

    @property
    def trace_id(self) -> str:
        return str(self._beside.get("trace_id") or self._trace_id.decode())

    def head(self) -> bytes:
        """The headers that it comes with, whole lines."""
        lines = HEAD % (
            self._id,
            self.deadline_ms,
            self._place.invoked_function_arn.encode(),
            _one_line(self.trace_id) if self._beside else self._trace_id,
        )
        if not self._beside:
            return lines
        beside = [(header, self._beside.get(name)) for name, header in BESIDE.items()]
        return lines + b"".join(b"%b: %b\r\n" % (header, _one_line(value)) for header, value in beside if value)

    def answer(self, body: bytes) -> None:
        """What the handler returned."""
        self._close()
        if self.hold is None:
            self._place.answer(body)
        else:
            self.hold("", len(body), partial(self._place.answer, body))

    def fail(self, body: bytes, error_type: str) -> None:
        """It failed, as `body` says."""
        self._close()
        error_type = error_type or UNKNOWN
        if self.hold is None:
            self._place.refuse(body, error_type)
        else:
            self.hold(error_type, len(body), partial(self._place.refuse, body, error_type))

    def refuse(self, body: bytes, error_type: str) -> None:
        """End it here and now."""
        self._close()
        self._place.refuse(body, error_type)

    def _close(self) -> None:
        if not self.is_open:
            raise RuntimeError(f"invocation {self.request_id} was ended twice")
        self.is_open, self.event = False, b""

    def begin_stream(self, content_type: bytes) -> bool:
        """Whether whoever called reads as it comes; then `pour` takes what is next."""
        if not self._place.is_streamed():
            return False
        self._place.begin_stream(content_type[:255] or port.BYTES)
        return True

    def pour(self, data: bytes) -> int:
        """How many of these bytes there was room for."""
        return self._place.send_some(data, 0)


class StreamSink(Sink):
    """The body of a streamed answer, handed on as it comes; gathered for a caller who wants it whole.

    `on_ended`: the invocation is ended by it. `on_broken`: its connection is gone before its end. `is_whole`: all of it
    was read, and perhaps not all handed on.
    """

    def __init__(
        self,
        invocation: Invocation,
        request: Request,
        on_ended: Callable[[], object],
        on_broken: Callable[[StreamSink], object],
    ) -> None:
        self.is_whole = False
        self._invocation = invocation
        self._request = request
        self._on_ended, self._on_broken = on_ended, on_broken
        self._streams = invocation.begin_stream(request.headers.get(b"content-type", port.BYTES))
        self._most = STREAM_MAX_BYTES if self._streams else relay.ANSWER_MAX_BYTES + 1
        self._total = 0
        self._left = bytearray()  # gathered, or what the ring has no room for yet: what one read gave, at most
        self._trailers: Mapping[bytes, bytes] = {}

    def chunk(self, data: bytes) -> bool:
        kept = data[: max(0, self._most - self._total)]
        self._total += len(data)
        if self._streams and not self._left:
            kept = kept[self._invocation.pour(kept) :]
        self._left += kept
        return not (self._streams and self._left)

    def go_on(self) -> None:
        """Hand on what was left, as far as there is room now."""
        if not self._streams or not self._invocation.is_open:
            return
        if self._left:
            del self._left[: self._invocation.pour(bytes(self._left))]
        if self._left:
            return
        if self.is_whole:
            self._finish()
        else:
            self._request.connection.resume()

    def end(self, trailers: Mapping[bytes, bytes]) -> None:
        self.is_whole, self._trailers = True, trailers
        if not (self._streams and self._left):
            self._finish()

    def _finish(self) -> None:
        invocation, trailers = self._invocation, self._trailers
        is_too_large = self._total > (STREAM_MAX_BYTES if self._streams else relay.ANSWER_MAX_BYTES)
        if ERROR_TYPE in trailers or ERROR_BODY in trailers:
            invocation.fail(_decoded(trailers.get(ERROR_BODY, b"")), trailers.get(ERROR_TYPE, b"").decode("latin-1"))
        elif not self._streams:
            invocation.answer(bytes(self._left))
        elif is_too_large:
            invocation.fail(port.STREAM_TOO_LARGE, relay.TOO_LARGE_TYPE)
        else:
            invocation.answer(b"")
        if is_too_large:
            self._request.refuse_size()
        else:
            self._request.accept()
        self._on_ended()

    def broken(self) -> None:
        self._on_broken(self)

    def give_up(self) -> None:
        """The rest of a broken one will not come."""
        if self._invocation.is_open:  # an extension may have ended it
            self._invocation.fail(TRUNCATED, TRUNCATED_TYPE)
        self._on_ended()


def _one_line(text: object) -> bytes:
    """As a header's value: what a caller sent must not begin a header of its own."""
    line = "".join(letter if letter.isprintable() else " " for letter in str(text))
    return line.encode()


def _decoded(body: bytes) -> bytes:
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:
        return body
