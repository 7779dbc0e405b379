"""Hosts: this process on both kinds of loop, and programs of their own. All must hold at the end what they held."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from doors import DOORS, PATIENCE_S
from holdings import holdings

CODE = Path(__file__).parent / "code"
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.fixture(scope="session")
def _libuv_is_there() -> None:
    """libuv makes itself a signal pipe with the first loop of a process, and keeps it."""
    uvloop.new_event_loop().close()


@pytest.fixture
def _returns_everything(_libuv_is_there: None) -> Iterator[None]:
    """The host holds after the test what it held before."""
    before = holdings()
    yield
    assert holdings() == before


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest, _returns_everything: None) -> Iterator[Any]:
    with DOORS[request.param]() as opened:
        yield opened


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest, _returns_everything: None) -> Iterator[Callable[..., Any]]:
    """Runs a coroutine on a loop of this kind, in this thread."""
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield runner.run


@pytest.fixture
def host() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a host program of its own; ended after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str) -> subprocess.Popen[str]:
        argv = [sys.executable, str(CODE / program), *arguments]
        path = os.pathsep.join(filter(None, sys.path))
        environ = {**os.environ, "PYTHONPATH": path}
        started.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(timeout=PATIENCE_S)
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()
