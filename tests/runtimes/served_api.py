"""The Runtime API over a socket pair, without an environment around it: a place that only notes what it is told."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

from engine.worker.runtime_api.connection import Connection
from engine.worker.runtime_api.invocation import Invocation
from engine.worker.runtime_api.loop import Loop
from engine.worker.runtime_api.runtime import RuntimeApi

BASE = b"/2018-06-01/runtime/"
NEXT = b"GET %binvocation/next HTTP/1.1\r\nHost: api\r\n\r\n" % BASE
ARN = "arn:aws:lambda:us-east-1:000000000000:function:served"
ROUNDS = 10_000


class Answer(NamedTuple):
    status: int
    heads: dict[str, str]
    body: bytes

    @property
    def error_type(self) -> Any:
        return json.loads(self.body)["errorType"]


class Place:
    """Stands in for the environment's place in a region, which there is no core for. `room`: of a stream."""

    def __init__(self) -> None:
        self.variables = {b"_X_AMZN_TRACE_ID": b"Root=1-0-0;Parent=0;Sampled=0"}
        self.invoked_function_arn = ARN
        self.beside: dict[str, Any] = {}
        self.events: list[bytes] = []
        self.number = 0
        self.streams = False
        self.room = 1 << 30
        self.content_type: bytes | None = None
        self.poured = b""
        self.ended: list[tuple[bytes, str | None]] = []  # answers, with their error type

    def event(self) -> bytes:
        self.number += 1
        return self.events.pop(0)

    def request_id(self) -> str:
        return str(UUID(int=self.number))

    def deadline_ms(self) -> int:
        return 1_000

    def is_streamed(self) -> bool:
        return self.streams

    def begin_stream(self, content_type: bytes) -> None:
        self.content_type = content_type

    def send_some(self, chunk: bytes, offset: int) -> int:
        taken = chunk[offset : offset + self.room]
        self.room -= len(taken)
        self.poured += taken
        return len(taken)

    def answer(self, body: bytes) -> None:
        self.ended.append((body, None))

    def refuse(self, body: bytes, error_type: str) -> None:
        self.ended.append((body, error_type))


class Api:
    """What serves, and its clients. Nothing happens but in `settle`."""

    def __init__(self, *, is_channel: bool = False) -> None:
        self.loop = Loop()
        self.place = Place()
        self.is_ready = False
        self.init_errors: list[tuple[bytes, str]] = []
        self.later: list[Any] = []
        self._is_channel = is_channel
        self.api = RuntimeApi(
            on_ready=self._ready,
            on_init_error=lambda body, error_type: self.init_errors.append((body, error_type)),
            on_next=self.take,
            take=self._take_at_once,
            after=lambda _, call: self.later.append(call),
        )
        self._given: list[dict[str, Any]] = []
        self.connections: list[Connection] = []
        self.clients: list[Client] = []

    def _ready(self) -> None:
        self.is_ready = True

    def give(self, event: bytes, **beside: Any) -> None:
        """An invocation, for whoever asks next."""
        self.place.events.append(event)
        self._given.append(beside)
        self.take()

    def take(self) -> None:
        while self.place.events and self.api.waits:
            self.api.hand_out(self._next_invocation())

    def _next_invocation(self) -> Invocation:
        invocation = Invocation(self.place, {})  # type: ignore[arg-type]
        invocation._beside = self._given.pop(0)
        return invocation

    def _take_at_once(self) -> Invocation | None:
        return self._next_invocation() if self.place.events else None

    def client(self) -> Client:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        made = Connection(
            ours,
            self.loop,
            self.api.serve,
            self.api.open_sink,
            self.connections.remove,
            self.api.serve_hot,
            is_channel=self._is_channel,
        )
        self.connections.append(made)
        self.clients.append(Client(self, theirs, made))
        return self.clients[-1]

    def settle(self) -> None:
        """Until nothing more happens by itself. Fails where something happens for ever."""
        for _ in range(ROUNDS):
            if not self.loop.run_once(wait=False):
                return
        raise AssertionError("the loop is never at rest")

    @property
    def request_id(self) -> bytes:
        return self.place.request_id().encode()

    def post(self, kind: bytes, body: bytes, heads: bytes = b"") -> bytes:
        """For the invocation under way."""
        head = b"POST %binvocation/%b/%b HTTP/1.1\r\nHost: api\r\n%bContent-Length: %d\r\n\r\n"
        return head % (BASE, self.request_id, kind, heads, len(body)) + body

    def chunked(self, heads: bytes = b"") -> bytes:
        """The head of a streamed answer."""
        head = b"POST %binvocation/%b/response HTTP/1.1\r\nHost: api\r\n%bTransfer-Encoding: chunked\r\n\r\n"
        return head % (BASE, self.request_id, heads)


class Client:
    """One end of a connection to it."""

    def __init__(self, api: Api, sock: socket.socket, served: Connection) -> None:
        self.socket = sock
        self.served = served
        self._api = api
        self._heard = b""
        self.is_closed = False

    def say(self, data: bytes) -> None:
        """All of it, as far as it is read; what nobody takes any more is dropped."""
        view = memoryview(data)
        for _ in range(ROUNDS):
            try:
                view = view[self.socket.send(view) :]
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                break
            self._api.settle()
            self._hear()
            if not view:
                return

    def _hear(self) -> None:
        while not self.is_closed:
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            self._heard += data
            self.is_closed = not data
            self._api.settle()

    def answers(self) -> list[Answer]:
        """All that came since the last look, whole ones."""
        self._api.settle()
        self._hear()
        found = []
        while (answer := self._next_answer()) is not None:
            found.append(answer)
        return found

    def _next_answer(self) -> Answer | None:
        head, blank, rest = self._heard.partition(b"\r\n\r\n")
        if not blank:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        heads = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(heads.get("content-length", "0"))
        if len(rest) < length:
            return None
        self._heard = rest[length:]
        return Answer(int(first.split()[1]), heads, rest[:length])

    def ask(self, data: bytes) -> Answer:
        """Say it; its one answer."""
        self.say(data)
        (answer,) = self.answers()
        return answer

    def close(self) -> None:
        self.socket.close()
        self._api.settle()


@contextmanager
def served(*, is_channel: bool = False) -> Iterator[Api]:
    api = Api(is_channel=is_channel)
    try:
        yield api
    finally:
        for client in api.clients:
            client.socket.close()
        for connection in list(api.connections):
            connection.close()
        api.loop.close()
