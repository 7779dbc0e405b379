"""A request to the shim and its answer. How they travel is `connection.py`'s."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Line(Protocol):
        """What a request came over: see Connection."""

        is_open: bool
        is_channel: bool
        has_invocation: bool

        def attach(self, fds: Sequence[int]) -> None: ...
        def flush(self) -> None: ...
        def resume(self) -> None: ...


BODY_MAX_BYTES = 6_291_556 + 1  # what is more is read and dropped: one byte over tells that it was too much
JSON = b"application/json"
PLAIN = b"text/plain; charset=utf-8"
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
ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n%bContent-Length: 16\r\n\r\n" + b'{"status":"OK"}\n'
)
ACCEPTED_AS_MOST = ACCEPTED % b""
GIVEN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b"
CLOSING = b"Connection: close\r\n"


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

    __slots__ = ("answer", "body", "connection", "gathered", "headers", "is_last", "method", "path", "sink", "trailers")

    def __init__(self, connection: Line, method: bytes = b"", path: bytes = b"", body: bytes = b"") -> None:
        self.connection = connection
        self.method = method
        self.path = path
        self.body = body
        self.headers: dict[bytes, bytes] = {}
        self.trailers: dict[bytes, bytes] = {}
        self.gathered: bytearray | None = None  # of a body that comes in pieces
        self.sink: Sink | None = None
        self.answer: bytes | None = None
        self.is_last = False

    @property
    def is_too_large(self) -> bool:
        return len(self.body) >= BODY_MAX_BYTES

    def gather(self, piece: bytes) -> None:
        """One more piece of its body."""
        if self.gathered is not None:
            self.gathered += piece[: BODY_MAX_BYTES - len(self.gathered)]
        elif self.body:
            self.gathered = bytearray(self.body)
            self.gather(piece)
        else:
            self.body = piece[:BODY_MAX_BYTES]

    def close_body(self) -> None:
        """All of its body is there."""
        if self.gathered is not None:
            self.body, self.gathered = bytes(self.gathered), None

    def reply(self, status: int, body: bytes = b"", headers: bytes = b"", content_type: bytes = JSON) -> None:
        """`headers`: whole lines, each with its end."""
        closing = CLOSING if self.is_last else b""
        self.answer = b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\n%b%bContent-Length: %d\r\n\r\n%b" % (
            status, PHRASES[status], content_type, headers, closing, len(body),
            b"" if self.method == b"HEAD" else body,
        )  # fmt: skip
        self.connection.flush()

    def refuse(self, status: int, error_type: str, message: str) -> None:
        """Answer with an error in the Runtime API's shape."""
        self.reply(status, json.dumps({"errorMessage": message, "errorType": error_type}).encode())

    def refuse_size(self) -> None:
        """413: an answer of more than a caller is given."""
        self.refuse(413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size (6291556 bytes).")

    def accept(self) -> None:
        """202, as most of the API answers."""
        self.answer = ACCEPTED % CLOSING if self.is_last else ACCEPTED_AS_MOST
        self.connection.flush()

    def not_found(self) -> None:
        """404, as Go's servers answer, and so Lambda's."""
        self.reply(404, b"404 page not found\n", content_type=PLAIN)
