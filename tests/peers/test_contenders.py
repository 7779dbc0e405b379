"""Contenders whose libraries the tests have: each starts for real, echoes in every shape of traffic, and ends."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.contenders import load
from benchmarks.contract import Bound, Contender
from benchmarks.runtime_server import RuntimeServer
from benchmarks.work import WORKERS, check


@pytest.fixture(params=["runtime-api", "uvicorn", "uvicorn-pool"])
def contender(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Contender]:
    """Open; afterwards closed, without a process or a file of it left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(psutil.Process().children(recursive=True))
    opened = load(request.param)
    opened.open()
    try:
        yield opened
        started = set(psutil.Process().children(recursive=True)) - before
    finally:
        opened.close()
    assert started
    assert psutil.wait_procs(started, 10)[1] == []
    assert list(tmp_path.iterdir()) == []


def test_it_answers_one_by_one_and_many_at_once(contender: Contender) -> None:
    check(contender.call())
    assert len(contender.timed(Bound(60, 5))) == 5
    assert contender.flood(16, Bound(60, 100)) >= 80
    assert contender.cpu_s() > 0


async def _say(address: str, request: bytes, end: bytes) -> bytes:
    """What is answered, up to and with `end`."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await asyncio.wait_for(reader.readuntil(end), 30)
    writer.close()
    await writer.wait_closed()
    return answer


def test_a_runtimes_error_is_the_callers_exception() -> None:
    async def fail() -> None:
        server = RuntimeServer()
        address = await server.open()
        try:
            answer = server.invoke(b"{}")
            event = await _say(address, b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n", b"\r\n\r\n{}")
            assert b"Lambda-Runtime-Aws-Request-Id: 1\r\n" in event
            post = b"POST /2018-06-01/runtime/invocation/1/error HTTP/1.1\r\nContent-Length: 4\r\n\r\noops"
            assert (await _say(address, post, b"\r\n\r\n")).startswith(b"HTTP/1.1 202 ")
            with pytest.raises(RuntimeError, match="oops"):
                await answer
        finally:
            await server.close()

    asyncio.run(fail())


def test_as_many_runtimes_as_workers_are_waited_for() -> None:
    async def arrive() -> None:
        server = RuntimeServer()
        address = await server.open()
        waiting = asyncio.ensure_future(server.wait_for_runtimes(WORKERS))
        host, port = address.split(":")
        writers = []
        for _ in range(WORKERS):
            assert not waiting.done()
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n")
            writers.append(writer)
        await asyncio.wait_for(waiting, 30)
        for writer in writers:
            writer.close()
            await writer.wait_closed()
        await server.close()

    asyncio.run(arrive())
