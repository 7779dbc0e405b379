"""One HTTP/1.1 connection to the shim: requests in, answers out in the same order.

Parsing is httptools' (llhttp), in bounds. Head and body of an answer go out in one send, on sockets without delay:
apart, each turn would cost the 40 ms of a delayed acknowledgement. On the channel of a bootstrap of our own, answers
are held back while the last request of a batch still waits for its own: one wake-up instead of two.
"""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Callable, Mapping

import httptools

from .loop import READ, WRITE, Loop

READ_BYTES = 262_144
HEAD_MAX_BYTES = 2_097_152  # one client sends up to 1 MiB of X-Ray error cause in a header
BODY_MAX_BYTES = 6_291_556 + 1  # what is more is read and dropped: one byte over tells that it was too much
PIPELINED_MAX = 16
JSON = b"application/json"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PHRASES = {
    200: b"OK",
    202: b"Accepted",
    400: b"Bad Request",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    413: b"Payload Too Large",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    503: b"Service Unavailable",
}


class Sink:
    """Takes a body as it comes, instead of it being gathered in the request."""

    def chunk(self, data: bytes) -> bool:
        """False: read no more for now; `Connection.resume` is called later."""
        raise NotImplementedError

    def end(self, trailers: Mapping[bytes, bytes]) -> None:
        raise NotImplementedError

    def broken(self) -> None:
        """The connection ended in the middle."""
        raise NotImplementedError


class Request:
    """Header names are lower-case; of those sent twice the last counts. `reply` answers it, once."""

    __slots__ = (
        *("answer", "body", "connection", "headers", "is_last", "method"),
        *("parts", "path", "sink", "size", "trailers"),
    )

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.method = self.path = b""
        self.headers: dict[bytes, bytes] = {}
        self.trailers: dict[bytes, bytes] = {}
        self.parts: list[bytes] = []
        self.size = 0
        self.body = b""
        self.sink: Sink | None = None
        self.answer: tuple[bytes, ...] | None = None
        self.is_last = False

    @property
    def is_too_large(self) -> bool:
        return self.size >= BODY_MAX_BYTES

    def reply(self, status: int, body: bytes = b"", headers: bytes = b"", content_type: bytes = JSON) -> None:
        """`headers`: whole lines, each with its end."""
        closing = b"Connection: close\r\n" if self.is_last else b""
        head = b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\n%b%bContent-Length: %d\r\n\r\n" % (
            status, PHRASES[status], content_type, headers, closing, len(body),
        )  # fmt: skip
        self.answer = (head, body) if body else (head,)
        self.connection.flush()

    def refuse(self, status: int, error_type: str, message: str) -> None:
        """Answer with an error in the Runtime API's shape."""
        self.reply(status, json.dumps({"errorMessage": message, "errorType": error_type}).encode())

    def refuse_size(self) -> None:
        """413: an answer of more than a caller is given."""
        self.refuse(413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size (6291556 bytes).")

    def accept(self) -> None:
        """202, as most of the API answers."""
        self.reply(202, b'{"status":"OK"}\n')


class Connection:
    """`serve(request)` gets each request that is whole; `open_sink(request)` may give one whose head is a Sink."""

    def __init__(
        self,
        sock: socket.socket,
        loop: Loop,
        serve: Callable[[Request], object],
        open_sink: Callable[[Request], Sink | None],
        on_closed: Callable[[Connection], object],
        *,
        is_channel: bool = False,
    ) -> None:
        self.is_channel = is_channel
        self.is_open = True
        self._socket = sock
        self._fd = sock.fileno()
        self._loop = loop
        self._serve, self._open_sink, self._on_closed = serve, open_sink, on_closed
        self._parser = httptools.HttpRequestParser(self)
        self._request: Request | None = None  # that is not whole yet
        self._in_body = False
        self._head_bytes = 0
        self._waiting: deque[Request] = deque()  # whole and not answered, or answered out of turn
        self._unsent = b""
        self._is_feeding = False
        self._is_ending = False
        self._paused = False
        loop.watch(self._fd, self._on_event)

    # --- reading ------------------------------------------------------------------------------------------------------

    def _on_event(self, events: int) -> None:
        if events & WRITE:
            self._send_rest()
        if self.is_open and events & ~WRITE:
            self._read()

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            self._feed(data)
        else:
            self.close()

    def _feed(self, data: bytes) -> None:
        if self._is_ending:
            return
        if not self._in_body:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_MAX_BYTES + READ_BYTES:
                self._give_up(431, "RequestHeaderFieldsTooLarge", f"the head has more than {HEAD_MAX_BYTES} bytes")
                return
        self._is_feeding = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._read_without_offer(data[offer.args[0] :])
        except httptools.HttpParserError as error:
            self._give_up(400, "BadRequest", f"this is no HTTP/1.1 request: {error}")
        self._is_feeding = False
        self.flush()

    def _read_without_offer(self, rest: bytes) -> None:
        """Nobody here speaks another protocol: read the request as if none had been offered (Java's client does)."""
        request = self._request
        if request is None:
            raise RuntimeError("a parser offered an upgrade without a request")
        lines = [b"%b: %b\r\n" % header for header in request.headers.items() if header[0] != b"upgrade"]
        self._request = None
        self._parser = httptools.HttpRequestParser(self)
        self._feed(b"%b %b HTTP/1.1\r\n%b\r\n" % (request.method, request.path, b"".join(lines)) + rest)

    def _give_up(self, status: int, error_type: str, message: str) -> None:
        """Answer so, and end the connection: where the next request would begin is not known."""
        request = self._request or Request(self)
        self._break_sink()
        self._request, request.is_last, self._is_ending = None, True, True
        self._waiting.append(request)
        request.refuse(status, error_type, message)

    def pause(self) -> None:
        """Read nothing more until `resume`."""
        if not self._paused and self.is_open:
            self._paused = True
            self._listen()

    def resume(self) -> None:
        if self._paused and self.is_open:
            self._paused = False
            self._listen()

    def _listen(self) -> None:
        reads = 0 if self._paused else READ
        self._loop.change(self._fd, reads | (WRITE if self._unsent else 0))

    # --- what the parser tells ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._request = Request(self)
        self._in_body = False

    def on_url(self, url: bytes) -> None:
        if self._request is not None:
            self._request.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._request is not None:
            (self._request.trailers if self._in_body else self._request.headers)[name.lower()] = value

    def on_headers_complete(self) -> None:
        request = self._request
        if request is None:
            return
        request.method = self._parser.get_method()
        self._in_body, self._head_bytes = True, 0
        if self._parser.should_upgrade() and b"upgrade" in request.headers:
            return
        if request.headers.get(b"expect", b"").lower() == b"100-continue" and not self._waiting:
            self._send(CONTINUE)
        request.sink = self._open_sink(request)

    def on_body(self, data: bytes) -> None:
        request = self._request
        if request is None:
            return
        if request.sink is not None:
            if not request.sink.chunk(data):
                self.pause()
            return
        if request.size < BODY_MAX_BYTES:
            request.parts.append(data[: BODY_MAX_BYTES - request.size])
            request.size += len(request.parts[-1])

    def on_message_complete(self) -> None:
        request = self._request
        if request is None or (self._parser.should_upgrade() and b"upgrade" in request.headers):
            return
        self._request, self._in_body, self._head_bytes = None, False, 0
        if not self._parser.should_keep_alive():
            request.is_last = self._is_ending = True
        request.body = request.parts[0] if len(request.parts) == 1 else b"".join(request.parts)
        request.parts.clear()
        self._waiting.append(request)
        if len(self._waiting) >= PIPELINED_MAX:
            self.pause()
        if request.sink is not None:
            request.sink.end(request.trailers)
        else:
            self._serve(request)

    # --- writing ------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send every answer whose turn has come."""
        waiting = self._waiting
        if not self.is_open or self._is_feeding or (self.is_channel and waiting and waiting[-1].answer is None):
            return
        out: list[bytes] = []
        while waiting and waiting[0].answer is not None:
            request = waiting.popleft()
            out += request.answer or ()
            if request.is_last:
                self._is_ending = True
        if out:
            self._send(out[0] if len(out) == 1 else b"".join(out))
        if self._paused and len(waiting) < PIPELINED_MAX and (self._request is None or self._request.sink is None):
            self.resume()

    def _send(self, data: bytes) -> None:
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self._unsent = data[sent:]
            self._listen()
        elif self._is_ending and not self._waiting:
            self.close()

    def _send_rest(self) -> None:
        rest, self._unsent = self._unsent, b""
        self._send(rest)
        if self.is_open and not self._unsent:
            self._listen()

    def _break_sink(self) -> None:
        request = self._request
        if request is not None and request.sink is not None:
            sink, request.sink = request.sink, None
            sink.broken()

    def close(self) -> None:
        """Idempotent."""
        if not self.is_open:
            return
        self.is_open = False
        self._loop.forget(self._fd)
        self._socket.close()
        self._break_sink()
        self._waiting.clear()
        self._on_closed(self)
