"""`--socket`: the path through `engine.client`, by a stand-in that speaks MessagePack-RPC; whose CPU time is told."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgpack
import pytest
from planned import Benched, command

from engine import errors
from engine.load import cpu

Bench = Callable[..., Benched]
SERVER = """
import asyncio, sys
import msgpack

RESULT = {"function_error": None, "start": "warm", "billed_ms": 2, "memory_mb": 512}

async def serve(reader, writer):
    unpacker = msgpack.Unpacker()
    while data := await reader.read(65536):
        unpacker.feed(data)
        for _, number, method, (name, payload) in unpacker:
            known = name == "echo"
            error = None if known else {"type": "ResourceNotFoundException", "message": "no " + name}
            writer.write(msgpack.packb([1, number, error, {**RESULT, "payload": payload} if known else None]))
    writer.close()

async def main():
    server = await asyncio.start_unix_server(serve, sys.argv[1])
    print("ready", flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


class Client:
    """As much of the engine's client as the generator uses."""

    def __init__(self, address: str) -> None:
        self._path = address.removeprefix("unix:")
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._numbers = count()

    async def __aenter__(self) -> Client:
        reader, self._writer = await asyncio.open_unix_connection(self._path)
        self._reading = asyncio.create_task(self._read(reader))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()
        await self._reading

    async def invoke(self, name: str, payload: bytes) -> Any:
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._writer.write(msgpack.packb([0, number, "invoke", [name, payload]]))
        return await answer

    async def _read(self, reader: asyncio.StreamReader) -> None:
        unpacker = msgpack.Unpacker()
        while data := await reader.read(65_536):
            unpacker.feed(data)
            for _, number, error, result in unpacker:
                waiting = self._waiting.pop(number)
                if error is None:
                    waiting.set_result(SimpleNamespace(**result))
                else:
                    waiting.set_exception(getattr(errors, error["type"])(error["message"]))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A server in a process of its own: its address and process id."""
    client = ModuleType("engine.client")
    client.connect = Client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "engine.client", client)
    path = tmp_path / "s.sock"
    with subprocess.Popen([sys.executable, "-P", "-c", SERVER, str(path)], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        try:
            yield f"unix:{path}", running.pid
        finally:
            running.terminate()


def test_an_engine_at_a_socket_is_loaded_and_its_cpu_time_told(bench: Bench, server: tuple[str, int]) -> None:
    address, pid = server
    done = bench("--socket", address, "echo", "--count", "5000", "--concurrency", "16")
    assert (done.status, done.document["calls"]["ok"]) == (0, 5_000)
    assert done.document["billing"]["billed_ms"] == 10_000
    assert f"process {pid}" in done.document["cpu"]["of"]
    assert done.document["cpu"]["us_per_invocation"] > 0


def test_refusals_over_the_socket_keep_their_names(bench: Bench, server: tuple[str, int]) -> None:
    done = bench("--socket", server[0], "unknown", "--count", "3")
    assert done.status == 1
    assert done.document["errors"] == [{"kind": "refusal", "type": "ResourceNotFoundException", "count": 3}]


def test_a_socket_where_nobody_listens_is_named(tmp_path: Path, server: tuple[str, int]) -> None:
    done = command("--socket", f"unix:{tmp_path}/nobody.sock", "echo")
    assert done.exit_code == 1
    assert "No such file" in done.stderr


def test_the_process_behind_a_unix_socket_is_found(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        assert cpu.peer_pid(str(tmp_path / "s")) == os.getpid()
    assert cpu.peer_pid(str(tmp_path / "none")) is None
    assert cpu.tree_cpu_s(2**22 + 1) is None
