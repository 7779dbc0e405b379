"""A MessagePack-RPC server around a real embedded engine, as the protocol's table says, in a process of its own.

Run as `python stand_in.py ADDRESS`: serves until its standard input closes; prints one line when it is ready. Methods
that begin with `test_` are for tests: answers held back, a connection cut, bytes that are no MessagePack.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
from typing import Any

import msgpack
import uvloop

from engine import Engine, errors
from engine.wire.values import as_map, error_as_map

WRAPPED = {"list_functions": "functions", "list_versions": "versions", "list_aliases": "aliases"}
CATALOG = ("list_versions", "list_aliases", "get_alias", "get_function_concurrency", "delete_alias")


class Connection:
    """One client; its uploads go with it."""

    def __init__(self, engine: Engine, writer: asyncio.StreamWriter, token: str | None) -> None:
        self.engine, self.writer, self.token = engine, writer, token
        self.uploads: dict[int, bytearray] = {}
        self.gate = asyncio.Event()

    async def answer(self, number: int, method: str, params: list[Any]) -> None:
        error, result = None, None
        try:
            result = await self.call(method, params)
        except (errors.EngineError, TypeError) as raised:
            error = error_as_map(raised)
        self.writer.write(msgpack.packb([1, number, error, result]))

    async def call(self, method: str, params: list[Any]) -> Any:
        if method == "authenticate":
            if params != [self.token]:
                raise errors.InvalidParameterValueException("wrong token")
            self.token = None
            return {}
        if self.token is not None:
            raise errors.InvalidParameterValueException("authenticate first")
        if method == "ping":
            return "pong"
        if method == "invoke":
            return as_map(await self.engine.invoke(params[0], params[1], **(params[2] if len(params) > 2 else {})))
        if method == "upload":
            number = params[0] or len(self.uploads) + 1
            self.uploads.setdefault(number, bytearray()).extend(params[1])
            return {"upload_id": number, "size": len(self.uploads[number])}
        return await getattr(self, method, self.control)(method, **params[0])

    async def control(self, method: str, **arguments: Any) -> Any:
        if "code" in arguments:
            arguments["code"] = self.uploaded(arguments["code"])
        if "layers" in arguments:
            arguments["layers"] = [self.uploaded(layer) for layer in arguments["layers"]]
        if method in CATALOG:
            catalog: Any = self.engine._opened().catalog
            named = {"alias_name" if name == "alias" else name: value for name, value in arguments.items()}
            value = getattr(catalog, method)(**named)
        elif method == "create_alias" or not method.startswith("_"):
            value = await getattr(self.engine, method)(**arguments)
        if method == "get_function_concurrency":
            return {"reserved": value}
        return {WRAPPED[method]: as_map(value)} if method in WRAPPED else as_map(value)

    def uploaded(self, code: Any) -> bytes:
        return bytes(self.uploads[code["upload_id"]]) if isinstance(code, dict) else code

    async def logs(self, _: str, *, name: str, after: str = "", request_id: str | None = None, **options: Any) -> Any:
        if request_id is not None:
            return {"events": as_map(await self.engine.logs(name, request_id=request_id, **options)), "cursor": ""}
        return as_map(await self.engine.logs_after(name, after, **options))

    async def doctor(self, _: str) -> Any:
        return {"limits": (await self.engine.stats())["limits"]}

    async def test_hold(self, _: str) -> Any:
        await self.gate.wait()
        return {}

    async def test_let_go(self, _: str) -> Any:
        self.gate.set()
        return {}

    async def test_cut(self, _: str) -> Any:
        self.writer.transport.abort()
        return {}

    async def test_babble(self, _: str) -> Any:
        self.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        return {}


async def serve(address: str, token: str | None, tls: ssl.SSLContext | None) -> None:
    async with Engine(keep_alive_s=60) as engine:
        tasks: set[asyncio.Task[None]] = set()

        async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection, unpacker = Connection(engine, writer, token), msgpack.Unpacker()
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(65_536):
                    unpacker.feed(data)
                    for _, number, method, params in unpacker:
                        task = asyncio.create_task(connection.answer(number, method, params))
                        tasks.add(task)
                        task.add_done_callback(tasks.discard)
                    await writer.drain()
            writer.close()

        kind, _, where = address.partition(":")
        if kind == "unix":
            server = await asyncio.start_unix_server(serve_one, where)
        else:
            server = await asyncio.start_server(serve_one, "127.0.0.1", int(where), ssl=tls)
        port = server.sockets[0].getsockname()
        sys.stdout.write(f"ready {port[1] if kind == 'tcp' else port}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        server.close()
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    secret = sys.argv[2] if len(sys.argv) > 2 else None
    context = None
    if len(sys.argv) > 3:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[3])
    uvloop.run(serve(sys.argv[1], secret, context))
