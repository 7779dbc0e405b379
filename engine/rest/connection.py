"""F5: a connection of the gateway: HTTP/1.1 as uvicorn speaks it, with bounds that it leaves to a proxy in front.

A head has so many bytes, a request so long to be whole, a client so long to take its answer, and so many requests may
be sent ahead of their answers. A request that breaks a bound, or HTTP, is refused in Lambda's shape of errors, and the
connection ends: where the next request would begin is not known any more.

Times are looked at by `sweep`, which the server calls about once a second: no request pays for a timer.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .response import Response, refusal

HEAD_MAX_BYTES: Final = 65_536  # Lambda's own is about 10 KB, client context and a session token within
PIPELINED_MAX: Final = 64
HEAD_MAX_S: Final = 30.0
REQUEST_MAX_S: Final = 300.0  # head and body: 70 MB at 250 KB/s
UNTAKEN_MAX_S: Final = 120.0  # of an answer of which the client takes nothing
UPGRADE: Final = b"upgrade"


class _HeadTooLarge(Exception):
    """There is more than HEAD_MAX_BYTES before the body."""


class Connection(HttpToolsProtocol):
    """One client's connection. State is the parser's: what is here counts what it has been fed."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._in_head = False
        self._chunk_bytes = 0  # of what the parser is being fed
        self._first_bytes = 0  # of what it was fed when the head began, somewhere in it
        self._head_bytes = 0  # of what it was fed since: at least so many has the head that is not whole yet
        self._began_s: float | None = self.loop.time()  # of the request that is not whole yet; at first, of none
        self._untaken = (0, 0.0)  # bytes of answers that wait for the client, and since when it is so many
        self._offers: list[tuple[bytes, bytes]] = []  # Upgrade headers of the request that is read without them
        self._skips = False  # a request that will be read again
        self._broken = False

    def data_received(self, data: bytes) -> None:
        if self._broken:
            return
        self._unset_keepalive_if_required()
        self._chunk_bytes = len(data)
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._read_without_offer(data[offer.args[0] :])
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _HeadTooLarge):
                self._refuse_head()
            else:
                self._refuse(HTTPStatus.BAD_REQUEST, "BadRequestException", "this is no HTTP/1.1 request")
        else:
            if self._in_head and self._head_bytes > HEAD_MAX_BYTES:
                self._refuse_head()

    def _read_without_offer(self, rest: bytes) -> None:
        """Read the request as if no other protocol had been offered: the parser takes the body for that protocol's."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        kept = [b"%b: %b\r\n" % header for header in self.headers if header[0] != UPGRADE]
        self._offers = [header for header in self.headers if header[0] == UPGRADE]
        head = b"%b %b HTTP/1.1\r\n%b\r\n" % (self.scope["method"].encode(), self.url, b"".join(kept))
        self.data_received(head + rest)

    # --- what the parser tells ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes, self._skips = True, 0, False
        self._first_bytes = self._chunk_bytes
        self._began_s = self.loop.time()

    def on_headers_complete(self) -> None:
        """What it raises, the parser passes on as the context of an error of its own."""
        if self._first_bytes + self._head_bytes > HEAD_MAX_BYTES:
            size = len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)
            if size > HEAD_MAX_BYTES:
                raise _HeadTooLarge
        if self.parser.should_upgrade() and any(name == UPGRADE for name, _ in self.headers):
            self.scope["method"] = self.parser.get_method().decode()
            self._skips = True
            return
        self.headers += self._offers
        self._offers = []
        if len(self.pipeline) >= PIPELINED_MAX:
            raise OverflowError(f"more than {PIPELINED_MAX} requests wait for their answers")
        super().on_headers_complete()
        self._in_head = False

    def on_message_complete(self) -> None:
        if self._skips:
            return
        super().on_message_complete()
        self._began_s = None

    def on_response_complete(self) -> None:
        last = not self.pipeline
        super().on_response_complete()
        if self._broken and last:
            self.transport.close()

    # --- refusals -----------------------------------------------------------------------------------------------------

    def _refuse_head(self) -> None:
        told = f"the request line and headers have more than {HEAD_MAX_BYTES} bytes"
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "RequestHeaderFieldsTooLargeException", told)

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        """Answer so and end the connection; but requests that came whole before this one get their answers first."""
        self._broken = True
        own = self.cycle if self.cycle is not None and self.cycle.more_body else None
        if own is not None and self.pipeline:
            self.pipeline.popleft()
        elif own is not None or self.cycle is None or self.cycle.response_complete:
            if own is None or not own.response_started:
                self.transport.write(_written(status, refusal(status, code, message)))
            self.transport.close()

    # --- time ---------------------------------------------------------------------------------------------------------

    def check_time(self, now_s: float) -> None:
        """End this connection where its client has been too slow."""
        waits = self.transport.get_write_buffer_size()
        if waits == 0 or waits != self._untaken[0]:
            self._untaken = (waits, now_s)
        elif now_s - self._untaken[1] > UNTAKEN_MAX_S:
            self.transport.abort()
            return
        if self._began_s is None or self._broken or self.flow.read_paused:
            return  # nothing of a request is awaited, or it is this side that does not read it
        most_s = HEAD_MAX_S if self._in_head or self.cycle is None else REQUEST_MAX_S
        if now_s - self._began_s > most_s:
            told = f"the request was not whole within {most_s:.0f} s"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "RequestTimeoutException", told)


def _written(status: HTTPStatus, answer: Response) -> bytes:
    head = [f"HTTP/1.1 {status.value} {status.phrase}", f"content-type: {answer.content_type}"]
    head += [f"{name.lower()}: {value}" for name, value in answer.headers]
    head += [f"content-length: {len(answer.body)}", "connection: close", "", ""]
    return "\r\n".join(head).encode() + answer.body


def sweep(connections: Iterable[Any], now_s: float) -> None:
    """Look at the time of all connections of a server."""
    for connection in list(connections):
        connection.check_time(now_s)
