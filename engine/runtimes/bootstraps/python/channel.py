"""The Runtime API as a client: HTTP/1.1 by plain system calls on the connection that the process was started with.

An answer and the question for the next event go out in one write, and both replies come back in one read.
"""

from __future__ import annotations

import base64
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    Buffer = Union[bytes, bytearray, memoryview]
    Headers = dict[bytes, bytes]

READ_BYTES = 65_536
JOINED_BYTES = 65_536  # of an answer that is cheaper to copy than to send by a second system call
STREAM_HEAD = (
    b"POST /2018-06-01/runtime/invocation/%b/response HTTP/1.1\r\nHost: l\r\nContent-Type: %b\r\n"
    b"Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
    b"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
)
NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: l\r\n\r\n"
ASSIGNMENT = b"GET /engine/assignment HTTP/1.1\r\nHost: l\r\n\r\n"
ANSWER = (
    b"POST /2018-06-01/runtime/invocation/%b/response HTTP/1.1\r\nHost: l\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n"
)
ERROR = (
    b"POST /2018-06-01/runtime/%b/error HTTP/1.1\r\nHost: l\r\nContent-Type: application/json\r\n"
    b"Lambda-Runtime-Function-Error-Type: %b\r\nContent-Length: %d\r\n\r\n"
)


class Channel:
    """One connection. It is closed by the other end alone, and then this process ends."""

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        self._fd = fd
        self._unread = b""
        self._owed = 0  # replies to what was posted
        self._posted: tuple[bytes, ...] = ()  # what leaves with the question for the next event

    def assignment(self) -> bytes:
        """Which function this is to be, as JSON. Waits as long as nobody knows."""
        self._write(ASSIGNMENT)
        return bytes(self._reply()[1])

    def next(self) -> tuple[Headers, Buffer]:
        """What the next invocation is told, by names in lower case, and its event. Waits for it."""
        self._flush(NEXT)
        self._settle()
        return self._reply()

    def answer(self, request_id: bytes, answer: bytes) -> None:
        """End an invocation with its answer: as this process comes to wait for the next."""
        self._post(ANSWER % (request_id, len(answer)), answer)

    def fail(self, request_id: bytes, answer: bytes, error_type: str) -> None:
        """The same with an error."""
        self._post(ERROR % (b"invocation/" + request_id, token(error_type), len(answer)), answer)

    def finish(self) -> int:
        """Send what is posted. The descriptor, on which nothing is under way then."""
        self._flush()
        self._settle()
        return self._fd

    def fail_init(self, answer: bytes, error_type: str) -> None:
        """There will be no invocation."""
        self._write(ERROR % (b"init", token(error_type), len(answer)) + answer)
        self._reply()

    def begin_stream(self, request_id: bytes, content_type: bytes) -> None:
        """The answer comes in pieces."""
        self._write(STREAM_HEAD % (request_id, content_type))
        self._owed += 1

    def send(self, piece: bytes) -> None:
        """A piece of the answer. An empty one would end it."""
        if piece:
            self._write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def end_stream(self, error: bytes = b"", error_type: str = "") -> None:
        """The answer is whole, or ends with an error: as this process comes to wait for the next invocation."""
        trailers = b""
        if error_type:
            told = token(error_type), base64.b64encode(error)
            trailers = b"Lambda-Runtime-Function-Error-Type: %b\r\nLambda-Runtime-Function-Error-Body: %b\r\n" % told
        self._posted = (b"0\r\n" + trailers + b"\r\n",)

    def _post(self, head: bytes, body: bytes) -> None:
        self._posted = (head, body)
        self._owed += 1

    def _flush(self, *more: bytes) -> None:
        pieces, self._posted = (*self._posted, *more), ()
        if pieces and sum(map(len, pieces)) <= JOINED_BYTES:
            pieces = (b"".join(pieces),)
        for piece in pieces:
            self._write(piece)

    def _settle(self) -> None:
        while self._owed:  # a refusal, such as of an answer too large, is the service's to tell the caller
            self._reply()
            self._owed -= 1

    def _write(self, data: bytes) -> None:
        written = os.write(self._fd, data)
        if written < len(data):
            rest = memoryview(data)[written:]
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def _reply(self) -> tuple[Headers, Buffer]:
        """Headers by names in lower case, and the body."""
        buffer = self._unread
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            buffer += self._read()
        headers = {}
        for line in buffer[:end].split(b"\r\n")[1:]:
            name, _, value = line.partition(b": ")
            headers[name.lower()] = value
        start, length = end + 4, int(headers.get(b"content-length", b"0"))
        self._unread = buffer[start + length :]
        if len(buffer) - start >= length:
            return headers, buffer[start : start + length]
        return headers, self._body(buffer[start:], length)

    def _body(self, begun: bytes, length: int) -> bytearray:
        body = bytearray(length)
        body[: len(begun)] = begun
        rest = memoryview(body)[len(begun) :]
        while rest:
            count = os.readv(self._fd, [rest])
            if not count:
                raise SystemExit(0)
            rest = rest[count:]
        return body

    def _read(self) -> bytes:
        data = os.read(self._fd, READ_BYTES)
        if not data:
            raise SystemExit(0)  # the engine needs this process no more
        return data


def token(error_type: str) -> bytes:
    """A class may have any name; a header may not."""
    return "".join(character if " " < character <= "~" else "?" for character in error_type[:256]).encode()
