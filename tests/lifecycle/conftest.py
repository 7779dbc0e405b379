"""An engine per module and door; a neighbour's function must not notice what a test does to another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS, ONE_VCPU_MB, Door, Function

CODE = Path(__file__).parent / "code"
NUMBERS = count(1)
HOST_SECRETS = {"AWS_SECRET_ACCESS_KEY": "host", "AWS_ENDPOINT_URL": "http://host", "FOO": "host"}


@pytest.fixture(scope="module", params=DOORS)
def opened(request: pytest.FixtureRequest) -> Iterator[Door]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in HOST_SECRETS.items():
            patch.setenv(name, value)
        with DOORS[request.param]() as door:
            door.create_function("neighbour", code=CODE, handler="endings.tells_its_stream", memory_mb=ONE_VCPU_MB)
            yield door


@pytest.fixture
def host_secrets() -> frozenset[str]:
    """Names of variables that this process had when the engine was opened."""
    return frozenset(HOST_SECRETS)


@pytest.fixture
def door(opened: Door) -> Iterator[Door]:
    """The same environment must serve the neighbour before and after."""
    before = opened.invoke("neighbour").json()
    yield opened
    after = opened.invoke("neighbour")
    assert (after.json(), after.start) == (before, "warm")


@pytest.fixture
def deploy(door: Door) -> Iterator[Callable[..., Function]]:
    """Deploys a handler of `code/endings.py`, or other code, under a name of its own; deleted after the test."""
    deployed: list[Function] = []

    def create(handler: str, **settings: Any) -> Function:
        name = f"function-{next(NUMBERS)}"
        given: dict[str, Any] = {"code": CODE, "memory_mb": ONE_VCPU_MB, **settings}
        door.create_function(name, handler=handler if "code" in settings else f"endings.{handler}", **given)
        deployed.append(Function(door, name))
        return deployed[-1]

    yield create
    names = {configuration.function_name for configuration in door.list_functions()}
    for function in deployed:
        if function.name in names:
            door.delete_function(function.name)
