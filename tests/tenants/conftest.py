"""The function of these tests through every door, and a service that clients reach it by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apart import APART, SOURCE
from doors import DOORS, Door, Function
from servers import service


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("code") / "app.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture(params=list(DOORS))
def opened(request: pytest.FixtureRequest) -> Iterator[Callable[..., Door]]:
    """Opens an engine of its own, behind each kind of door."""
    doors: list[Door] = []

    def made(**settings: Any) -> Door:
        doors.append(DOORS[request.param](**settings))
        return doors[-1].__enter__()

    yield made
    for door in doors:
        door.__exit__(None, None, None)


@pytest.fixture
def apart(opened: Callable[..., Door], source: Path) -> Function:
    """A function that keeps its tenants apart."""
    door = opened()
    door.create_function("apart", code=source, **APART)
    return Function(door, "apart")


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a service serves."""
    with service(tmp_path_factory.mktemp("service")) as (where,):
        yield where
