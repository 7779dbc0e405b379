"""The six ways to a stream: the engine embedded and the service, each blocking, on asyncio and on uvloop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from doors import DOORS, LoopDoor
from servers import service
from ways import REMOTE, Way, remote


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a service of the whole session serves."""
    with service(tmp_path_factory.mktemp("service")) as (where,):
        yield where


@pytest.fixture(scope="session", params=[*DOORS, *REMOTE])
def opened(request: pytest.FixtureRequest) -> Iterator[Way]:
    with ExitStack() as held:
        if request.param in DOORS:
            door = held.enter_context(DOORS[request.param]())
            loop = door.loop if isinstance(door, LoopDoor) else None
            yield Way(door.inside if loop is not None else door.engine, loop, door)
        else:
            yield remote(REMOTE[request.param], request.getfixturevalue("address"), held)


@pytest.fixture
def way(opened: Way) -> Iterator[Way]:
    yield opened
    opened.clear()


@pytest.fixture(scope="session")
def session_door() -> Iterator[Any]:
    """An embedded engine, blocking, for tests that look at processes."""
    with DOORS["blocking"]() as door:
        yield door


@pytest.fixture
def embedded(session_door: Any) -> Iterator[Way]:
    made = Way(session_door.engine, None, session_door)
    yield made
    made.clear()
