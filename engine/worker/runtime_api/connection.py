"""One HTTP/1.1 connection to the shim: requests in, answers out in the same order.

The two requests that every invocation takes are read by `hot_request`, all others by httptools (llhttp), in bounds.
Head and body of an answer go out in one send, on sockets without delay: apart, each turn would cost the 40 ms of a
delayed acknowledgement. On the channel of a bootstrap of our own, answers are held back while the last request of a
batch still waits for its own: one wake-up instead of two.

What bounds a connection's memory: a head of `HEAD_MAX_BYTES` and a body of `BODY_MAX_BYTES` under way, `PIPELINED_MAX`
requests that wait for their answers, and answers that are not read: nothing is read while there is one.
"""

from __future__ import annotations

import os
import select
import socket
from collections import deque
from collections.abc import Callable, Sequence

import httptools

from ..._ext.hot_request import hot_request
from .loop import READ, WRITE, Loop
from .request import Request, Sink

READ_BYTES = 262_144
HEAD_MAX_BYTES = 2_097_152  # one client sends up to 1 MiB of X-Ray error cause in a header
PIPELINED_MAX = 16
LINGER_S = 2.0  # for whoever is refused in the middle of what it says: it reads the refusal only then
GONE = select.EPOLLHUP | select.EPOLLERR
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection:
    """`serve(request)` gets each request that is whole; `open_sink(request)` may give one whose head is a Sink.

    `serve_hot(path, body, connection)` is asked before, for one that came alone and is hot: it answers, or gives None.
    """

    def __init__(
        self,
        sock: socket.socket,
        loop: Loop,
        serve: Callable[[Request], object],
        open_sink: Callable[[Request], Sink | None],
        on_closed: Callable[[Connection], object],
        serve_hot: Callable[[bytes, bytes, Connection], bytes | None],
        *,
        is_channel: bool = False,
    ) -> None:
        self.is_channel = is_channel
        self.is_open = True
        self.has_invocation = False  # the last one was handed out on it
        self.heard_at = loop.turn  # when it last said something, in turns of the loop
        self._socket = sock
        self._fd = sock.fileno()
        self._loop = loop
        self._serve, self._open_sink, self._on_closed, self._serve_hot = serve, open_sink, on_closed, serve_hot
        self._parser = httptools.HttpRequestParser(self)
        self._request: Request | None = None  # that is not whole yet
        self._in_body = False
        self._unplaced_bytes = 0  # read since the last of what was read had its place: of a head, of trailers
        self._waiting: deque[Request] = deque()  # whole and not answered, or answered out of turn
        self._unsent = memoryview(b"")
        self._attached: Sequence[int] = ()
        self._is_feeding = False
        self._is_ending = False  # nothing more is read of it
        self._lingers = False
        self._sink_is_full = False
        self._events = READ
        self._is_watched = True
        loop.watch(self._fd, self._on_event)

    @property
    def is_busy(self) -> bool:
        """Whether an answer is owed or awaited, or a streamed one is being read."""
        reads_stream = self._request is not None and self._request.sink is not None
        return self.has_invocation or reads_stream or bool(self._waiting or self._unsent)

    @property
    def _is_between(self) -> bool:
        """Whether the next byte begins a request."""
        return self._request is None and not self._unplaced_bytes

    # --- reading ------------------------------------------------------------------------------------------------------

    def _on_event(self, events: int) -> None:
        if events & WRITE:
            self._send_rest()
        if not self.is_open:
            return
        if self._events & READ:
            if events & ~WRITE:
                self._read()
        elif events & GONE:
            self._lose()

    def _lose(self) -> None:
        """Nobody is at the other end, and this one does not read now: the kernel would tell so for ever."""
        if self._sink_is_full:
            self._loop.forget(self._fd)
            self._is_watched = False
        else:
            self.close()

    def _read(self) -> None:
        data = self._receive()
        self.heard_at = self._loop.turn
        if not data:
            if data is not None:
                self.close()
        elif self._is_ending:
            return
        elif self._is_between and self._read_hot(data):
            self._settle()
        else:
            self._feed(data)

    def _receive(self) -> bytes | None:
        """Nothing where the other end has no more to say, None where it says nothing now."""
        try:
            return self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""

    def _read_hot(self, data: bytes) -> bool:
        """Serve what is nothing but whole hot requests. Whether it is; else it is untouched, or its rest is fed."""
        found = hot_request(data, 0)
        if found is None:
            return False
        method, path, start, end = found
        if end > len(data):  # many a client sends head and body apart
            os.sched_yield()
            data += self._receive() or b""
            if end > len(data):
                return self._feed(data)
        if end == len(data) and not self._waiting:
            answer = self._serve_hot(path, data[start:end], self)
            if answer is not None:
                self._send(answer)
                return True
        self._is_feeding = True
        while True:
            self._take_whole(Request(self, method, path, data[start:end]))
            if end == len(data) or self._is_ending:
                self._is_feeding = False
                return True
            found = hot_request(data, end) if len(self._waiting) < PIPELINED_MAX else None
            if found is None or found[3] > len(data):
                return self._feed(data[end:])
            method, path, start, end = found

    def _feed(self, data: bytes) -> bool:
        """Read in full. True, for `_read_hot`."""
        self._unplaced_bytes += len(data)
        if self._unplaced_bytes > HEAD_MAX_BYTES + READ_BYTES:
            self._give_up(431, "RequestHeaderFieldsTooLarge", f"the head has more than {HEAD_MAX_BYTES} bytes")
        else:
            self._is_feeding = True
            self._parse(data)
            self._is_feeding = False
        self._settle()
        return True

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                data = self._without_offer(data[offer.args[0] :])
            except httptools.HttpParserCallbackError as failed:
                raise failed.__context__ or failed from None
            except httptools.HttpParserError as error:
                if not self._is_ending:  # what follows a last request is nobody's
                    self._give_up(400, "BadRequest", f"this is no HTTP/1.1 request: {error}")
                return

    def _without_offer(self, rest: bytes) -> bytes:
        """Nobody here speaks another protocol: what to read as if none had been offered (Java's client does)."""
        request, self._request = self._request, None
        self._parser = httptools.HttpRequestParser(self)
        if request is None:  # CONNECT, which is answered
            return rest
        lines = [b"%b: %b\r\n" % header for header in request.headers.items() if header[0] != b"upgrade"]
        return b"%b %b HTTP/1.1\r\n%b\r\n" % (request.method, request.path, b"".join(lines)) + rest

    def _give_up(self, status: int, error_type: str, message: str) -> None:
        """Answer so, and end the connection: where the next request would begin is not known."""
        request = self._request or Request(self)
        self._break_sink()
        self._request, request.is_last, self._is_ending, self._lingers = None, True, True, True
        self._waiting.append(request)
        request.refuse(status, error_type, message)

    def resume(self) -> None:
        """The sink has room again."""
        if self._sink_is_full and self.is_open:
            self._sink_is_full = False
            self._listen()

    def _settle(self) -> None:
        """After requests were read."""
        self.flush()
        if self.is_open:
            self._listen()

    def _listen(self) -> None:
        """Wait for what is of use now."""
        reads = not (self._sink_is_full or self._unsent or len(self._waiting) >= PIPELINED_MAX)
        events = (READ if reads else 0) | (WRITE if self._unsent else 0)
        if not self._is_watched:
            self._loop.watch(self._fd, self._on_event, events)
            self._is_watched = True
        elif events != self._events:
            self._loop.change(self._fd, events)
        self._events = events

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
        self._in_body, self._unplaced_bytes = True, 0
        request.path = _path(request.path)
        if self._parser.should_upgrade() and b"upgrade" in request.headers:
            return
        if request.headers.get(b"expect", b"").lower() == b"100-continue" and not self._waiting:
            self._send(CONTINUE)
        request.sink = self._open_sink(request)

    def on_body(self, data: bytes) -> None:
        request = self._request
        self._unplaced_bytes = 0
        if request is None:
            return
        if request.sink is None:
            request.gather(data)
        elif not request.sink.chunk(data):
            self._sink_is_full = True

    def on_message_complete(self) -> None:
        request = self._request
        if request is None or (self._parser.should_upgrade() and b"upgrade" in request.headers):
            return
        self._request, self._in_body, self._unplaced_bytes, self._sink_is_full = None, False, 0, False
        if not self._parser.should_keep_alive():
            request.is_last = self._is_ending = True
        request.close_body()
        self._take_whole(request)

    def _take_whole(self, request: Request) -> None:
        self._waiting.append(request)
        if request.sink is not None:
            request.sink.end(request.trailers)
        else:
            self._serve(request)

    # --- writing ------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send every answer whose turn has come."""
        waiting = self._waiting
        if not waiting or self._is_feeding or not self.is_open:
            return
        if self.is_channel and waiting[-1].answer is None:
            return
        out: list[bytes] = []
        while waiting and waiting[0].answer is not None:
            out.append(waiting.popleft().answer or b"")
        if out:
            self._send(out[0] if len(out) == 1 else b"".join(out))
            if self.is_open and self._events != READ:
                self._listen()

    def attach(self, fds: Sequence[int]) -> None:
        """Descriptors go with the next answer. Of a channel, which has nothing unsent."""
        self._attached = fds

    def _send(self, data: bytes) -> None:
        if self._unsent:
            self._unsent = memoryview(bytes(self._unsent) + data)
            return
        self._send_from(memoryview(data))

    def _send_rest(self) -> None:
        if self._unsent:
            self._send_from(self._unsent)
            if self.is_open:
                self._listen()

    def _send_from(self, data: memoryview) -> None:
        try:
            if self._attached:
                sent = socket.send_fds(self._socket, [data], self._attached)
                self._attached = ()
            else:
                sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.close()
            return
        self._unsent = data[sent:]
        if self._unsent:
            self._listen()
        elif self._is_ending and not self._waiting:
            self._end()

    def _end(self) -> None:
        """All is said. To close while there is something unread would take the last answer back."""
        if not self._lingers:
            self.close()
            return
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
        else:
            self._loop.after(LINGER_S, self.close)

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


def _path(target: bytes) -> bytes:
    """Without a query, and without a host as it is sent to proxies."""
    if not target.startswith(b"/"):
        target = b"/" + target.partition(b"://")[2].partition(b"/")[2]
    return target.partition(b"?")[0]
