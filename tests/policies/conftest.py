"""An engine of its own per test, with a clock for its policy that a test puts forward."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from doors import DOORS, ONE_VCPU_MB, PATIENCE_S, Door, Function, on_loop

from engine.core.pools import Pool
from engine.core.upkeep import Upkeep

sys.path.append(str(Path(__file__).parent.parent.parent))  # for `benchmarks`; last, so that the tree hides no engine
CODE = Path(__file__).parent.parent / "scheduling" / "code"
MINUTE_NS = 60_000_000_000
T = TypeVar("T")


class ForwardClock:
    """The host's clock, and so much more."""

    ahead_ns = 0

    def monotonic_ns(self) -> int:
        return time.monotonic_ns() + self.ahead_ns

    def wall_ms(self) -> int:
        raise AssertionError("idle times are not measured by the wall clock")


class ShortMemory:
    """Stands for the host's memory: a real shortage would take the whole machine down with it."""

    short = False

    def is_short(self) -> bool:
        return self.short


class House:
    """An engine's housekeeping, when a test says so and at the time it says; the engine's own goes on."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.upkeep: Upkeep = door.inside._supervisor.upkeep
        self.clock = self.upkeep._clock = ForwardClock()
        self.memory = door.inside._supervisor._memory = ShortMemory()

    def on_loop(self, call: Callable[..., T], *arguments: Any) -> T:
        return on_loop(self._door.inside, call, *arguments)

    def pools(self) -> list[Pool]:
        found: list[Pool] = self._door.inside._supervisor.pools
        return found

    def look(self) -> None:
        """What a tick would do within 10 ms."""
        for pool in self.pools():
            self.on_loop(self.upkeep.look, pool)

    def keep(self) -> None:
        self.on_loop(self._door.inside._supervisor.keep_house)

    def keep_until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline
            self.keep()

    def put_forward(self, minutes: float) -> None:
        self.look()
        self.clock.ahead_ns += int(minutes * MINUTE_NS)


@pytest.fixture(params=["blocking", "uvloop"])
def open_door(request: pytest.FixtureRequest) -> Iterator[Callable[..., Door]]:
    with ExitStack() as opened:
        yield lambda **settings: opened.enter_context(DOORS[request.param](**settings))


@pytest.fixture
def deploy() -> Callable[..., Function]:
    def create(door: Door, name: str, handler: str = "tells_its_stream", **settings: Any) -> Function:
        given = {"code": CODE, "memory_mb": ONE_VCPU_MB, "timeout_s": 60, **settings}
        door.create_function(name, handler=f"handlers.{handler}", **given)
        return Function(door, name)

    return create


@pytest.fixture
def house() -> Callable[[Door], House]:
    return House
