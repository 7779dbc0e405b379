"""A function whose invocations are counted, and an engine that blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.sync import Engine

SOURCE = """
import socket

def handler(event, context):
    if event == "fail":
        raise ValueError("asked to")
    if isinstance(event, list):  # where to wait until the test lets go: see doors.Gate
        with socket.create_connection(event) as gate:
            gate.recv(1)
    return event
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "app.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def opened(source: Path) -> Iterator[Engine]:
    """With the function `counted`."""
    with Engine(scaling="lambda") as engine:
        engine.create_function("counted", code=source, handler="app.handler", timeout_s=60)
        yield engine
