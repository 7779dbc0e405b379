"""An engine of its own for each test and door: a fault must not reach the next test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from doors import DOORS, ONE_VCPU_MB, Door, Function

CODE = Path(__file__).parent / "code"


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    with DOORS[request.param]() as opened:
        yield opened


@pytest.fixture
def hostile(door: Door) -> Function:
    door.create_function("hostile", code=CODE, handler="hostile.writes", memory_mb=ONE_VCPU_MB, timeout_s=5)
    return Function(door, "hostile")


@pytest.fixture
def neighbour(door: Door) -> Iterator[Function]:
    """Its process must not notice anything."""
    door.create_function("neighbour", code=CODE, handler="hostile.writes", memory_mb=ONE_VCPU_MB)
    function = Function(door, "neighbour")
    assert function(1).json() == 1
    pids = function.pids()
    yield function
    assert (function(2).json(), function.results[-1].start, function.pids()) == (2, "warm", pids)
