"""One engine for all tests of a module, and functions in it that go when the test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS, ONE_VCPU_MB, Door, Function

NUMBERS = count(1)
Deploy = Callable[..., Function]


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with DOORS["blocking"]() as opened:
        yield opened


@pytest.fixture
def deploy(door: Door) -> Iterator[Deploy]:
    """Creates a function of a name of its own: `deploy(code, handler, runtime, **settings)`."""
    deployed: list[str] = []

    def create(code: Path | bytes, handler: str, runtime: str = "provided.al2023", **settings: Any) -> Function:
        name = f"function-{next(NUMBERS)}"
        given = {"memory_mb": ONE_VCPU_MB, "timeout_s": 60, **settings}
        door.create_function(name, code=code, handler=handler, runtime=runtime, **given)
        deployed.append(name)
        return Function(door, name)

    yield create
    for name in deployed:
        door.delete_function(name)
