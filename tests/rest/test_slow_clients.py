"""How long a client may take: looked at by the gateway's own sweep, which is told here what time it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn

from engine.rest.asgi import ClientLeft, Receive, Scope, Send, read_body, respond
from engine.rest.connection import HEAD_MAX_S, REQUEST_MAX_S, UNTAKEN_MAX_S, Connection, sweep

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"
LARGE = 32 * 1024 * 1024


class Server:
    """A gateway's connections in front of an application that answers with how much it was sent."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.entered = asyncio.Event()
        self.goes_on = asyncio.Event()
        config = uvicorn.Config(self._answer, http=Connection, interface="asgi3", ws="none", log_level="error")
        config.load()
        self.state = uvicorn.Server(config).server_state
        self._config = config

    def connection(self) -> Connection:
        return Connection(self._config, self.state, {}, asyncio.get_running_loop())

    def after(self, seconds: float) -> None:
        """What the sweep does when so much time has gone by."""
        sweep(self.state.connections, asyncio.get_running_loop().time() + seconds)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(receive, 1_000, "Invoke")
        except ClientLeft:
            self.left.set()
            return
        self.entered.set()
        if body == b"wait":
            await self.goes_on.wait()
        await respond(send, 200, b"x" * LARGE if body == b"much" else body, [])


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Server, asyncio.StreamReader, asyncio.StreamWriter]]:
    server = Server()
    listening = await asyncio.get_running_loop().create_server(server.connection, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
    async with listening, asyncio.timeout(60):
        yield server, reader, writer
        writer.close()
        server.goes_on.set()


async def seen(server: Server, is_so: Callable[[Connection], bool]) -> None:
    """Until the server's side of the only connection is so."""
    while not any(is_so(connection) for connection in server.state.connections):
        await asyncio.sleep(0)


def test_a_head_that_does_not_end_is_refused_in_time() -> None:
    async def run() -> bytes:
        async with serving() as (server, reader, writer):
            writer.write(HEAD[:30])
            await seen(server, lambda connection: connection._in_head)
            server.after(HEAD_MAX_S - 1)
            assert server.state.connections
            server.after(HEAD_MAX_S + 1)
            return await reader.read()

    assert b"408 Request Timeout" in asyncio.run(run())


def test_a_connection_that_says_nothing_at_all_is_ended() -> None:
    async def run() -> bytes:
        async with serving() as (server, reader, _):
            await seen(server, lambda _: True)
            server.after(HEAD_MAX_S + 1)
            return await reader.read()

    assert b"408 Request Timeout" in asyncio.run(run())


def test_a_body_that_does_not_end_is_refused_and_its_handler_told() -> None:
    async def run() -> bytes:
        async with serving() as (server, reader, writer):
            writer.write(HEAD + b"12")
            await seen(server, lambda connection: connection.cycle is not None)
            server.after(HEAD_MAX_S + 1)
            assert server.state.connections
            server.after(REQUEST_MAX_S + 1)
            answer = await reader.read()
            await server.left.wait()
            return answer

    head, _, body = asyncio.run(run()).partition(b"\r\n\r\n")
    assert b"x-amzn-errortype: RequestTimeoutException" in head
    assert "300 s" in json.loads(body)["message"]


def test_a_long_invocation_and_an_idle_connection_are_none_of_its_business() -> None:
    async def run() -> bytes:
        async with serving() as (server, reader, writer):
            writer.write(HEAD + b"wait")
            await server.entered.wait()
            server.after(900)
            server.goes_on.set()
            first = await reader.readuntil(b"wait")
            server.after(900)
            writer.write(HEAD + b"next")
            return first + await reader.readuntil(b"next")

    assert asyncio.run(run()).count(b"200 OK") == 2


def test_an_answer_of_which_nothing_is_taken_is_given_up() -> None:
    async def run() -> None:
        async with serving() as (server, _, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(HEAD + b"much")
            await seen(server, lambda connection: connection.transport.get_write_buffer_size() > LARGE // 2)
            server.after(0)
            server.after(UNTAKEN_MAX_S - 1)
            assert server.state.connections
            server.after(UNTAKEN_MAX_S + 1)
            while server.state.connections:
                await asyncio.sleep(0)

    asyncio.run(run())
