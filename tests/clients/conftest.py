"""Servers and one function for the tests of clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from doors import DOORS, Door
from faces import FACES, Face
from servers import Passage, service

from engine.sync import connect

SOURCE = """
import os, socket, time

def handler(event, context):
    if event == "fail":
        raise ValueError("asked to")
    if event == "context":
        return context.client_context and context.client_context.custom
    if isinstance(event, dict) and "sleep_s" in event:
        time.sleep(event["sleep_s"])
    if isinstance(event, dict) and "wait_at" in event:  # until the test lets go: see doors.Gate
        with socket.create_connection(event["wait_at"]) as gate:
            gate.recv(1)
    print("seen", event)
    return event
"""


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("code") / "app.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Iterator[str]:
    """Where a server of the whole session serves; it has the function `echo`."""
    with service(tmp_path_factory.mktemp("service")) as (where,):
        with connect(where) as client:
            client.create_function("echo", code=source, handler="app.handler", memory_mb=1769, timeout_s=60)
        yield where


@pytest.fixture
def passage(tmp_path: Path, address: str) -> Iterator[Passage]:
    """A way to that server that can be cut."""
    with Passage(tmp_path / "passage", address) as passage:
        yield passage


@pytest.fixture(params=FACES)
def client(request: pytest.FixtureRequest, address: str) -> Iterator[Face]:
    """A client of that server: blocking, on asyncio, on uvloop."""
    with FACES[request.param](address) as face:
        yield face


@pytest.fixture(params=[*DOORS, *(f"{face} client" for face in FACES)])
def held(request: pytest.FixtureRequest) -> Iterator[Door | Face]:
    """The engine, embedded or behind a client."""
    if request.param in DOORS:
        with DOORS[request.param]() as door:
            yield door
    else:
        with FACES[request.param.removesuffix(" client")](request.getfixturevalue("address")) as face:
            yield face
