"""What a host holds before an engine is opened in it, and after it was closed."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop
from doors import DOORS, PATIENCE_S, Gate

CODE = Path(__file__).parent / "code"
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}


@dataclass(frozen=True)
class Holdings:
    """Descriptors by kind, child processes, threads, and the engine's temporary folders."""

    descriptors: Counter[str]
    processes: frozenset[int]
    threads: frozenset[str]
    folders: frozenset[str]


def holdings() -> Holdings:
    gc.collect()
    descriptors: Counter[str] = Counter()
    for fd in os.listdir("/proc/self/fd"):
        try:
            descriptors[os.readlink(f"/proc/self/fd/{fd}").split(":")[0]] += 1
        except FileNotFoundError:
            continue  # the listing's own
    processes = frozenset(child.pid for child in psutil.Process().children(recursive=True))
    folders = frozenset(
        str(path) for path in Path(os.environ.get("TMPDIR", "/tmp")).glob(f"invocation-engine-{os.getpid()}-*")
    )
    return Holdings(descriptors, processes, frozenset(thread.name for thread in threading.enumerate()), folders)


@pytest.fixture
def _returns_everything() -> Iterator[None]:
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
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.close()


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
        process.communicate(timeout=PATIENCE_S)
