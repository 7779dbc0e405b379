"""The Runtime API, 2018-06-01: what a runtime asks, and in which order it may.

A runtime asks for `next` and gets an invocation, answers it, and asks again. Its first `next` ends init. States, codes
and words are those of AWS's open-source runtime interface emulator, which is Lambda's own init cut down.
"""

from __future__ import annotations

import json

from .invocation import ERROR_TYPE, Invocation, StreamSink
from .request import ACCEPTED_AS_MOST, GIVEN, Request, Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .request import Line

VERSION = b"/2018-06-01/runtime/"
NEXT = VERSION + b"invocation/next"
INVOCATION = VERSION + b"invocation/"
ASSIGNMENT = b"/engine/assignment"
MODE = b"lambda-runtime-function-response-mode"
STREAMING = b"streaming"
ID_LENGTH = 36
BREAKS_FOR_S = 0.1  # a connection that ends in the middle of an answer, before it is known whether its process did


class RuntimeApi:
    """`on_ready()`: the runtime asked for its first invocation. `on_init_error(body, type)`: it cannot.

    `on_next()`: it waits for an invocation. `take()`: one that is there already, if that is all there is to giving it
    one. `after(seconds, call)`: see Loop.
    """

    def __init__(
        self,
        *,
        on_ready: Callable[[], object],
        on_init_error: Callable[[bytes, str], object],
        on_next: Callable[[], object],
        take: Callable[[], Invocation | None],
        after: Callable[[float, Callable[[], object]], object],
    ) -> None:
        self._on_ready, self._on_init_error = on_ready, on_init_error
        self._on_next, self._take, self._after = on_next, take, after
        self.is_ready = False
        self.has_failed = False
        self.current: Invocation | None = None
        self._holder: Line | None = None
        self.stream: StreamSink | None = None
        self.assignment: bytes | None = None
        self._parked: Request | None = None
        self._failed: tuple[Invocation, bytes, str] | None = None

    @property
    def waits(self) -> bool:
        """Whether the runtime waits for an invocation, and has none."""
        parked, current = self._parked, self.current
        return parked is not None and parked.connection.is_open and (current is None or not current.is_open)

    @property
    def is_between(self) -> bool:
        """Whether an invocation was answered, and nobody asked for the next."""
        return self.current is not None and not self.current.is_open and self.stream is None and self._parked is None

    @property
    def state(self) -> str:
        """Its name, as Lambda tells it."""
        if self.has_failed:
            return "InitError"
        if self.current is None:
            return "Started"
        if not self.current.is_open or self._failed is not None:
            return "RuntimeResponseSentState"
        return "Ready" if self.stream is None else "InvocationResponse"

    def hand_out(self, invocation: Invocation) -> None:
        """Give the runtime that waits this invocation."""
        request, self._parked = self._parked, None
        if request is None:
            raise RuntimeError("an invocation for a runtime that does not wait for one")
        self._give(invocation, request.connection)
        request.reply(200, invocation.event, invocation.head())

    def _give(self, invocation: Invocation, line: Line) -> None:
        self.current = invocation
        if self._holder is not line:
            if self._holder is not None:
                self._holder.has_invocation = False
            self._holder = line
        line.has_invocation = True

    def tell_failure(self) -> None:
        """End the invocation that the runtime said has failed.

        Not when it said so: AWS's client for Java writes the stack trace to the log after that, before it asks for the
        next. Lambda, too, takes an invocation for over only then.
        """
        failed, self._failed = self._failed, None
        if failed is not None and failed[0].is_open:  # an extension may have ended it
            invocation, body, error_type = failed
            invocation.fail(body, error_type)

    # --- requests -----------------------------------------------------------------------------------------------------

    def serves(self, path: bytes) -> bool:
        return path.startswith(VERSION) or path == ASSIGNMENT

    def open_sink(self, request: Request) -> Sink | None:
        """For the body of a streamed answer. AWS's client for Go does not say that it streams: it sends chunks."""
        if request.method != b"POST" or not _comes_in_pieces(request):
            return None
        invocation = self._named(request.path)
        if invocation is None or not request.path.endswith(b"/response"):
            return None
        if not invocation.is_open or self._failed is not None or self.stream is not None:
            return None
        self.stream = StreamSink(invocation, request, self._stream_ended, self._stream_broke)
        return self.stream

    def serve_hot(self, path: bytes, body: bytes, line: Line) -> bytes | None:
        """The answer to one of the two requests that every invocation takes, where all is as usual.

        None: nothing is done, and `serve` is to be asked. A third of what a call takes here was on that way.
        """
        current = self.current
        if current is None or self._failed is not None or self.stream is not None:
            return None
        if current.is_open:
            if path != current.answer_path or current.hold is not None:
                return None
            current.answer(body)
            return ACCEPTED_AS_MOST
        if path != NEXT or self._parked is not None or self.has_failed:
            return None
        taken = self._take()
        if taken is None:
            return None
        self._give(taken, line)
        return GIVEN % (taken.head(), len(taken.event), taken.event)

    def serve(self, request: Request) -> None:
        path = request.path
        if path == NEXT:
            self._only(request, b"GET", self._next)
        elif path.startswith(INVOCATION) and path.endswith((b"/response", b"/error")):
            self._only(request, b"POST", self._end)
        elif path in (VERSION + b"init/error", VERSION + b"restore/error"):
            self._only(request, b"POST", self._init_error)
        elif path == VERSION + b"restore/next":
            self._only(request, b"GET", self._restore)
        elif path == ASSIGNMENT and request.connection.is_channel and self.assignment is not None:
            request.reply(200, self.assignment)
        else:
            request.not_found()

    def _only(self, request: Request, method: bytes, serve: Callable[[Request], object]) -> None:
        if request.method == method:
            serve(request)
        else:
            request.reply(405, b"", b"Allow: %b\r\n" % method)

    def _refuse_turn(self, request: Request, to: str) -> None:
        turn = f"State transition from {self.state} to {to} failed for runtime."
        request.refuse(403, "InvalidStateTransition", f"{turn} Error: State transition is not allowed")

    def _next(self, request: Request) -> None:
        """Who asks while it has one is given it again: its answer may have been lost with a connection."""
        self.tell_failure()
        current = self.current
        if self.has_failed or (self.stream is not None and not self.stream.is_whole):
            self._refuse_turn(request, "Ready")
        elif current is not None and current.is_open and self.stream is None:
            request.reply(200, current.event, current.head())
        else:
            self._park(request)

    def _park(self, request: Request) -> None:
        """One waits at a time: who asked before, perhaps over a connection that it gave up, is told so."""
        before, self._parked = self._parked, request
        if before is not None and before.connection.is_open:
            self._refuse_turn(before, "Ready")
        if not self.is_ready:
            self.is_ready = True
            self._on_ready()
        if self.stream is None:
            self._on_next()

    def _restore(self, request: Request) -> None:
        """There is no snapshot of a runtime's memory here: it goes on at once, as after a restoration."""
        request.reply(200)

    def _init_error(self, request: Request) -> None:
        if self.is_ready or self.has_failed:
            self._refuse_turn(request, "InitError")
            return
        self.has_failed = True
        request.accept()
        self._on_init_error(request.body, _error_type(request))

    def _end(self, request: Request) -> None:
        is_error = request.path.endswith(b"/error")
        invocation = self._named(request.path)
        if invocation is None:
            request.refuse(400, "InvalidRequestID", "Invalid request ID")
        elif not invocation.is_open or self._failed is not None or self.stream is not None:
            self._refuse_turn(request, "InvocationErrorResponse" if is_error else "InvocationResponse")
        elif is_error:
            self._failed = invocation, request.body, _error_type(request)
            request.accept()
        else:
            self._answer(invocation, request)

    def _answer(self, invocation: Invocation, request: Request) -> None:
        mode = request.headers.get(MODE)
        if mode and mode.lower() != STREAMING:
            told = {"errorType": "Runtime.InvalidResponseModeHeader", "errorMessage": "Invalid function response mode"}
            invocation.fail(json.dumps(told).encode(), told["errorType"])
            request.refuse(400, "InvalidFunctionResponseMode", "Invalid function response mode")
        else:
            invocation.answer(request.body)
            if request.is_too_large:
                request.refuse_size()
            else:
                request.accept()

    def _named(self, path: bytes) -> Invocation | None:
        """The invocation under way, or the one before the next, if the path is of it."""
        current, start = self.current, len(INVOCATION)
        if current is None or path[start : start + ID_LENGTH] != current.request_id.encode():
            return None
        return current if path[start + ID_LENGTH :] in (b"/response", b"/error") else None

    def _stream_ended(self) -> None:
        self.stream = None
        if self.waits:
            self._on_next()

    def _stream_broke(self, stream: StreamSink) -> None:
        """If its process has ended too, then that is what the caller is told."""
        self._after(BREAKS_FOR_S, stream.give_up)


def _comes_in_pieces(request: Request) -> bool:
    mode, encoding = request.headers.get(MODE, b""), request.headers.get(b"transfer-encoding", b"")
    return mode.lower() == STREAMING or (not mode and encoding.lower() == b"chunked")


def _error_type(request: Request) -> str:
    """Not every client sends it beside the body."""
    named = request.headers.get(ERROR_TYPE)
    if named is not None:
        return named.decode("latin-1")
    try:
        told = json.loads(request.body)
    except (ValueError, RecursionError):
        return ""
    error_type = told.get("errorType") if isinstance(told, dict) else None
    return " ".join(error_type.split()) if isinstance(error_type, str) else ""
