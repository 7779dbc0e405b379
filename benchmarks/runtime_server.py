"""A Lambda Runtime API and nothing more, on the running loop: what AWS's runtime client needs to be given events.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html; one request at a time per connection, as clients do it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import Final, cast

NEXT: Final = b"GET /2018-06-01/runtime/invocation/next "
RESPONSE: Final = b"POST /2018-06-01/runtime/invocation/"
ACCEPTED: Final = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
EVENT: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nLambda-Runtime-Aws-Request-Id: %d\r\n"
    b"Lambda-Runtime-Deadline-Ms: 9999999999999\r\n"
    b"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:echo\r\n\r\n%b"
)
REQUEST_MAX_BYTES: Final = 1 << 20

Invocation = tuple[int, bytes]


class RuntimeServer:
    """Events wait in order for whichever runtime asks next. Callers bound how many wait."""

    def __init__(self) -> None:
        self._events: deque[Invocation] = deque()
        self._idle: deque[asyncio.Transport] = deque()
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._numbers = itertools.count(1)
        self._runtimes: set[asyncio.Transport] = set()
        self._changed = asyncio.Event()

    async def open(self) -> str:
        """The address to tell runtimes, HOST:PORT."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def close(self) -> None:
        for transport in list(self._runtimes):
            transport.abort()
        self._server.close()
        await self._server.wait_closed()

    async def wait_for_runtimes(self, count: int) -> None:
        """Until `count` of them have asked for an event."""
        while len(self._runtimes) < count:
            self._changed.clear()
            await self._changed.wait()

    def invoke(self, event: bytes) -> asyncio.Future[bytes]:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        if self._idle:
            _give(self._idle.popleft(), (number, event))
        else:
            self._events.append((number, event))
        return answer

    def received(self, transport: asyncio.Transport, head: bytes, body: bytes) -> None:
        """One whole request of a runtime."""
        if head.startswith(NEXT):
            self._runtimes.add(transport)
            self._changed.set()
            if self._events:
                _give(transport, self._events.popleft())
            else:
                self._idle.append(transport)
            return
        number, _, kind = head[len(RESPONSE) :].split(b" ", 1)[0].partition(b"/")
        transport.write(ACCEPTED)
        if not head.startswith(RESPONSE) or not number.isdigit():
            raise ValueError(f"not a request of the Runtime API: {head[:200]!r}")
        answer = self._answers.pop(int(number))
        if kind == b"response":
            answer.set_result(body)
        else:
            answer.set_exception(RuntimeError(f"the function failed: {body[:500]!r}"))

    def lost(self, transport: asyncio.Transport) -> None:
        self._runtimes.discard(transport)
        if transport in self._idle:
            self._idle.remove(transport)


def _give(transport: asyncio.Transport, invocation: Invocation) -> None:
    number, event = invocation
    transport.write(EVENT % (len(event), number, event))


class _Connection(asyncio.Protocol):
    def __init__(self, server: RuntimeServer) -> None:
        self._server = server
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without inheriting from it

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.lost(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        length = _content_length(head) if blank else 0
        if len(self._buffer) > REQUEST_MAX_BYTES:
            self._transport.abort()
        elif blank and len(rest) >= length:
            self._buffer = rest[length:]
            self._server.received(self._transport, head, rest[:length])


def _content_length(head: bytes) -> int:
    _, found, after = head.lower().partition(b"\r\ncontent-length:")
    return int(after.partition(b"\r\n")[0]) if found else 0
