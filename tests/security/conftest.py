"""One engine per module, with a victim in it; after every attack all must be as it was before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

import engine.core.blanks
import engine.sync

pytest.register_assert_rewrite("standing")
from standing import CODE, ONE_VCPU_MB, SECRET, Hostile, environment_pid, settled, wait_for  # noqa: E402

NUMBERS = count(1)


@pytest.fixture(scope="module")
def opened() -> Iterator[engine.sync.Engine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.core.blanks, "STOCK_MOST", engine.core.blanks.STOCK_LEAST)  # a stock that can be counted
        with engine.sync.Engine() as door:
            door.create_function(
                "victim", code=CODE, handler="victim.handler", memory_mb=ONE_VCPU_MB, environment={"SECRET": SECRET}
            )
            door.invoke("victim")
            yield door


@pytest.fixture
def door(opened: engine.sync.Engine) -> Iterator[engine.sync.Engine]:
    """The victim's process serves before and after, and nothing more is held than was."""
    before, pid = opened.invoke("victim").json(), environment_pid(opened, "victim")
    held = settled(opened)
    yield opened
    after = opened.invoke("victim")
    assert (after.json(), after.start, environment_pid(opened, "victim")) == (before, "warm", pid)
    wait_for(opened, held)


@pytest.fixture
def deploy(door: engine.sync.Engine) -> Iterator[Callable[..., Hostile]]:
    """Deploys a hostile function. After the attack it serves its next invocation, and its books are right."""
    deployed: list[Hostile] = []

    def create(**settings: Any) -> Hostile:
        name = f"hostile-{next(NUMBERS)}"
        given = {"code": CODE, "handler": "attacks.handler", "memory_mb": ONE_VCPU_MB, "timeout_s": 30}
        door.create_function(name, **{**given, **settings})
        deployed.append(Hostile(door, name))
        return deployed[-1]

    yield create
    for function in deployed:
        result = function.invoke()
        assert result.function_error is None, result.payload
        function.check_books()
        door.delete_function(function.name)


@pytest.fixture
def hostile(deploy: Callable[..., Hostile]) -> Hostile:
    return deploy()


@pytest.fixture
def hasty(deploy: Callable[..., Hostile]) -> Hostile:
    """With a time limit of one second."""
    return deploy(timeout_s=1)


@pytest.fixture
def enforced(opened: engine.sync.Engine) -> frozenset[str]:
    """What the engine claims to enforce here. A test asserts that, and no more."""
    return frozenset(line["limit"] for line in opened.stats()["limits"] if line["mechanism"] is not None)
