"""F5: a connection's streamed answers: `invoke_stream`, and what a client grants and drops of it.

Nothing is read from a function before its client has granted it, and nothing while the connection holds more than it
can send: so a client that is slow has its functions wait, and no bytes wait here. What a client cannot grant any more,
because it has said its last word, it has granted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Literal

import msgpack

from .._ext.connection import Connection
from .._ext.flow import Flow
from ..errors import TooManyRequestsException
from ..wire.streams import WINDOW_BYTES
from ..wire.values import as_map, error_as_map

STREAMS_MAX: Final = 256  # of one connection at a time, of the 1,024 requests that it may have under way
PIECE_BYTES: Final = 65_536  # of one notification at most
NOTIFICATION: Final = 2
BOUNDLESS: Final = 1 << 62


class Outflow:
    """One stream on its way to a client."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.credit = WINDOW_BYTES
        self.flow = Flow()
        self.stalled = False
        self._begun = False

    def pour(self, client: Connection) -> Literal["ended", "waits", "stalled"]:
        """Send what is there and may be sent. What becomes of it: it waits for the function or what is granted, or is
        stalled for want of room."""
        while not self.flow.at_end:
            if not client.has_room:
                return "stalled"
            piece = self.flow.take(min(self.credit, PIECE_BYTES))
            if piece:
                self._begin(client)
                self.credit -= len(piece)
                head = msgpack.packb([NOTIFICATION, "chunk", [self.number, b""]])[:-2]  # without its empty bin
                client.push(head + b"\xc6" + len(piece).to_bytes(4, "big"), piece)
            elif not self.flow.at_end:
                return "waits"
        self._begin(client)
        return "ended"

    def _begin(self, client: Connection) -> None:
        """Say what the bytes are and whose, once there is or was something to say it of."""
        if not self._begun and self.flow.content_type is not None:
            self._begun = True
            flow = self.flow
            about = {
                "content_type": flow.content_type,
                "request_id": flow.request_id,
                "executed_version": flow.executed_version,
            }
            client.push(msgpack.packb([NOTIFICATION, "stream", [self.number, about]]), b"")

    def last_word(self) -> bytes:
        error = self.flow.error
        told = [None, as_map(self.flow.result)] if error is None else [error_as_map(error), None]
        answer: bytes = msgpack.packb([1, self.number, *told])
        return answer


class Streams:
    """Those of one connection that are open. They are the connection's `streams` for as long as there is one."""

    def __init__(self, client: Connection) -> None:
        self._client = client
        self._open: dict[int, Outflow] = {}
        self._stalled: deque[Outflow] = deque()

    def open(self, number: int, begin: Callable[[Flow], None]) -> None:
        """`begin` has an invocation's answer go to a flow. Raises what it raises, and TooManyRequestsException."""
        if len(self._open) >= STREAMS_MAX or number in self._open:
            raise TooManyRequestsException(
                f"a connection has at most {STREAMS_MAX} streams at a time, each with an id of its own: "
                "wait for one to end, or use another connection"
            )
        stream = Outflow(number)
        begin(stream.flow)
        stream.flow.listener = lambda: self._pour(stream)
        self._open[number] = stream
        self._client.streams = self
        self.look()

    def grant(self, number: int, more: int) -> None:
        """So many bytes more may be sent of a stream. Nothing for one that has ended."""
        stream = self._open.get(number)
        if stream is not None:
            stream.credit = min(stream.credit + more, BOUNDLESS)
            self._pour(stream)

    def discard(self, number: int) -> None:
        """Nobody wants the rest of a stream. Its answer comes all the same, when the function has ended."""
        stream = self._open.get(number)
        if stream is not None:
            stream.flow.discard()
            self._pour(stream)

    def look(self) -> None:
        """Something has changed with the connection: room, or that nobody is there any more."""
        client = self._client
        if client.closing or client.deaf:
            for stream in list(self._open.values()):
                self.discard(stream.number)
        elif client.ended:
            for stream in [each for each in self._open.values() if each.credit < BOUNDLESS // 2]:
                stream.credit = BOUNDLESS
                self._pour(stream)
        while self._stalled and client.has_room:
            stream = self._stalled.popleft()
            stream.stalled = False
            self._pour(stream)

    def close(self) -> None:
        """The connection is no more: the functions run on, for nobody."""
        for stream in self._open.values():
            stream.flow.discard()
        self._open.clear()
        self._stalled.clear()
        self._client.streams = None

    def _pour(self, stream: Outflow) -> None:
        if stream.stalled or self._open.get(stream.number) is not stream:
            return
        match stream.pour(self._client):
            case "stalled":
                stream.stalled = True
                self._stalled.append(stream)
            case "ended":
                del self._open[stream.number]
                if not self._open:
                    self._client.without_streams()
                self._client.respond(stream.last_word())
