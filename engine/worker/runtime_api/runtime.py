"""The Runtime API, 2018-06-01: what a runtime asks, and in which order it may.

A runtime asks for `next` and gets an invocation, answers it, and asks again. Its first `next` ends init.
"""

from __future__ import annotations

import json

from .connection import Request, Sink
from .invocation import ERROR_TYPE, Invocation, StreamSink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = b"/2018-06-01/runtime/"
ASSIGNMENT = b"/engine/assignment"
MODE = b"lambda-runtime-function-response-mode"


class RuntimeApi:
    """`on_ready()`: the runtime asked for its first invocation. `on_init_error(body, type)`: it cannot.

    `on_next()`: it waits for an invocation. `on_ended()`: it has ended the one it had.
    """

    def __init__(
        self,
        *,
        on_ready: Callable[[], object],
        on_init_error: Callable[[bytes, str], object],
        on_next: Callable[[], object],
        on_ended: Callable[[], object],
    ) -> None:
        self._on_ready, self._on_init_error = on_ready, on_init_error
        self._on_next, self._on_ended = on_next, on_ended
        self.is_ready = False
        self.current: Invocation | None = None
        self.stream: StreamSink | None = None
        self.assignment: bytes | None = None
        self._parked: Request | None = None
        self._failed: tuple[Invocation, bytes, str] | None = None

    @property
    def waits(self) -> bool:
        """Whether the runtime waits for an invocation."""
        return self._parked is not None and self._parked.connection.is_open

    def hand_out(self, invocation: Invocation) -> None:
        """Give the runtime that waits this invocation."""
        request, self._parked = self._parked, None
        if request is None:
            raise RuntimeError("an invocation for a runtime that does not wait for one")
        self.current = invocation
        request.reply(200, invocation.event, invocation.head())

    def tell_failure(self) -> None:
        """End the invocation that the runtime said has failed.

        Not when it said so: AWS's client for Java writes the stack trace to the log after that, before it asks for the
        next. Lambda, too, takes an invocation for over only then.
        """
        failed, self._failed = self._failed, None
        if failed is not None:
            invocation, body, error_type = failed
            invocation.fail(body, error_type)
            self._on_ended()

    # --- requests -----------------------------------------------------------------------------------------------------

    def serves(self, path: bytes) -> bool:
        return path.startswith(VERSION) or path == ASSIGNMENT

    def open_sink(self, request: Request) -> Sink | None:
        """For the body of a streamed answer. AWS's client for Go does not say that it streams: it sends chunks."""
        if request.method != b"POST" or not _comes_in_pieces(request):
            return None
        invocation = self._named(request, b"response")
        if invocation is None or not invocation.is_open or self.stream is not None:
            return None
        self.stream = StreamSink(invocation, request, self._stream_ended)
        return self.stream

    def serve(self, request: Request) -> None:
        path = request.path
        if path == ASSIGNMENT:
            self._assign(request)
            return
        rest = path[len(VERSION) :]
        if rest == b"invocation/next":
            self._only(request, b"GET", self._next)
        elif rest == b"init/error":
            self._only(request, b"POST", self._init_error)
        elif rest == b"restore/next":
            self._only(request, b"GET", self._restore)
        elif rest == b"restore/error":
            self._only(request, b"POST", self._init_error)
        elif rest.startswith(b"invocation/") and rest.endswith((b"/response", b"/error")):
            self._only(request, b"POST", self._end)
        else:
            request.reply(404, b"404 page not found\n", content_type=b"text/plain; charset=utf-8")

    def _only(self, request: Request, method: bytes, serve: Callable[[Request], object]) -> None:
        if request.method == method:
            serve(request)
        else:
            request.reply(405, b"", b"Allow: %b\r\n" % method)

    def _assign(self, request: Request) -> None:
        if not request.connection.is_channel or self.assignment is None:
            request.reply(404, b"404 page not found\n", content_type=b"text/plain; charset=utf-8")
            return
        request.reply(200, self.assignment)

    def _next(self, request: Request) -> None:
        self.tell_failure()
        if self.current is not None and self.current.is_open:
            request.refuse(403, "InvalidStateTransition", "State transition is not allowed")
            return
        self._parked = request
        if not self.is_ready:
            self.is_ready = True
            self._on_ready()
        self._on_next()

    def _restore(self, request: Request) -> None:
        """There is no snapshot of a runtime's memory here: it goes on at once, as after a restoration."""
        request.reply(200)

    def _init_error(self, request: Request) -> None:
        if self.is_ready:
            request.refuse(403, "InvalidStateTransition", "State transition is not allowed")
            return
        request.accept()
        self._on_init_error(request.body, _error_type(request))

    def _end(self, request: Request) -> None:
        kind = b"error" if request.path.endswith(b"/error") else b"response"
        invocation = self._named(request, kind)
        if invocation is None:
            request.refuse(400, "InvalidRequestID", "Invalid request ID")
        elif not invocation.is_open or self._failed is not None:
            request.refuse(403, "InvalidStateTransition", "State transition is not allowed")
        elif kind == b"error":
            self._failed = invocation, request.body, _error_type(request)
            request.accept()
        else:
            too_large = request.is_too_large
            invocation.answer(request.body)
            if too_large:
                request.refuse_size()
            else:
                request.accept()
            self._on_ended()

    def _named(self, request: Request, kind: bytes) -> Invocation | None:
        """The invocation under way, if the path is of it."""
        current = self.current
        if current is None:
            return None
        path = b"%binvocation/%b/%b" % (VERSION, current.request_id.encode(), kind)
        return current if request.path == path else None

    def _stream_ended(self, _: StreamSink) -> None:
        self.stream = None
        self._on_ended()


def _comes_in_pieces(request: Request) -> bool:
    mode, encoding = request.headers.get(MODE, b""), request.headers.get(b"transfer-encoding", b"")
    return mode.lower() == b"streaming" or encoding.lower() == b"chunked"


def _error_type(request: Request) -> str:
    """Not every client sends it beside the body."""
    named = request.headers.get(ERROR_TYPE)
    if named is not None:
        return named.decode("latin-1")
    try:
        told = json.loads(request.body)
    except ValueError:
        return ""
    return str(told.get("errorType") or "") if isinstance(told, dict) else ""
