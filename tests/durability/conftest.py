"""Programs that hold a data folder, to be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from doors import PATIENCE_S

CODE = Path(__file__).parent / "code"
sys.path.append(str(CODE))  # the changes that a killed child made are repeated here, by the same code

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program of `code/`; killed after the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(program: str, *arguments: object) -> subprocess.Popen[str]:
        argv = [sys.executable, "-P", str(CODE / program), *map(str, arguments)]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        started.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait(timeout=PATIENCE_S)
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()
