"""An engine of its own per test, both blocking and on a loop; functions from `code/handlers.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS, ONE_VCPU_MB, Door, Function, Gate

from engine import InvokeResult
from engine._ext.meter import Quota

CODE = Path(__file__).parent / "code"
CALLERS_MAX = 64


class Calls:
    """Invocations under way at the same time, each from a thread of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(CALLERS_MAX)

    def start(self, function: Function, payload: object = None, count: int = 1) -> list[Future[InvokeResult]]:
        return [self._threads.submit(function, payload) for _ in range(count)]

    def close(self) -> None:
        self._threads.shutdown()


class Leases:
    """What an engine's quotas say, read from inside."""

    def __init__(self, door: Door) -> None:
        self._dispatch = door.inside._control.dispatch

    def account(self) -> tuple[int, int]:
        """(used, limit) of what functions without a reservation share."""
        quota: Quota = self._dispatch._account
        return quota.used, quota.limit

    def of(self, name: str) -> tuple[int, int]:
        """(used, limit) of a reservation."""
        quota: Quota = self._dispatch._reserved[name]
        return quota.used, quota.limit


@pytest.fixture(params=["blocking", "uvloop"])
def open_door(request: pytest.FixtureRequest) -> Iterator[Callable[..., Door]]:
    with ExitStack() as opened:
        yield lambda **settings: opened.enter_context(DOORS[request.param](**settings))


@pytest.fixture
def calls(open_door: object) -> Iterator[Calls]:
    """Closed before the engine is, and after the gate is opened."""
    made = Calls()
    yield made
    made.close()


@pytest.fixture
def gate(calls: Calls) -> Iterator[Gate]:
    made = Gate()
    yield made
    made.close()


@pytest.fixture
def deploy() -> Callable[..., Function]:
    def create(door: Door, handler: str, name: str | None = None, **settings: Any) -> Function:
        function = Function(door, name or handler.replace("_", "-"))
        given = {"code": CODE, "memory_mb": ONE_VCPU_MB, "timeout_s": 60, **settings}
        door.create_function(function.name, handler=f"handlers.{handler}", **given)
        return function

    return create


@pytest.fixture
def leases() -> Callable[[Door], Leases]:
    return Leases
