"""An engine of its own per test, both blocking and on a loop; versions of `code/ahead.py`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS, ONE_VCPU_MB, PATIENCE_S, Door, Gate

from engine import InvokeResult
from engine.model import ProvisionedConcurrencyConfig

CODE = Path(__file__).parent / "code" / "ahead.py"
CALLERS_MAX = 16


class Version:
    """Version 1 of a function, seen through a door."""

    def __init__(self, door: Door, name: str) -> None:
        self.door, self.name = door, name

    def __call__(self, payload: object = None, qualifier: str = "1") -> InvokeResult:
        result: InvokeResult = self.door.invoke(self.name, payload, qualifier=qualifier)
        return result

    def provision(self, units: int, qualifier: str = "1") -> ProvisionedConcurrencyConfig:
        """Ask for so many, and wait until they are ready."""
        self.door.put_provisioned_concurrency_config(self.name, qualifier, units)
        return self.once("READY", qualifier)

    def once(self, status: str, qualifier: str = "1") -> ProvisionedConcurrencyConfig:
        """What is told as soon as it has this status."""
        return self.once_told(lambda told: told.status == status, qualifier)

    def once_told(
        self, holds: Callable[[ProvisionedConcurrencyConfig], bool], qualifier: str = "1"
    ) -> ProvisionedConcurrencyConfig:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            told: ProvisionedConcurrencyConfig = self.door.get_provisioned_concurrency_config(self.name, qualifier)
            if holds(told):
                return told
            assert time.monotonic() < deadline, told
            os.sched_yield()

    def stats(self, version: str = "1") -> dict[str, Any]:
        told: dict[str, Any] = self.door.stats(self.name)["functions"][self.name]["versions"][version]
        return told

    def pids(self, version: str = "1") -> set[int]:
        """Processes of this version's environments, once the engine has read of all of them."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            pools = [pool for pool in self.door.inside._supervisor.pools if pool.lane.version == version]
            environments = [env for pool in pools for env in list(pool.lane.environments) if env is not None]
            if all(env.pid > 0 for env in environments):
                return {env.pid for env in environments}
            assert time.monotonic() < deadline, environments
            os.sched_yield()

    def log(self) -> list[str]:
        return [event.message for event in self.door.logs(self.name, qualifier="1")]


class Callers:
    """Invocations under way at the same time, each from a thread of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(CALLERS_MAX)

    def start(self, version: Version, payload: object, count: int = 1) -> list[Future[InvokeResult]]:
        return [self._threads.submit(version, payload) for _ in range(count)]

    def close(self) -> None:
        self._threads.shutdown()


@pytest.fixture(params=["blocking", "uvloop"])
def open_door(request: pytest.FixtureRequest) -> Iterator[Callable[..., Door]]:
    with ExitStack() as opened:
        yield lambda **settings: opened.enter_context(DOORS[request.param](**settings))


@pytest.fixture
def callers(open_door: object) -> Iterator[Callers]:
    """Closed before the engine is, and after the gate is opened."""
    made = Callers()
    yield made
    made.close()


@pytest.fixture
def gate(tmp_path: Path, callers: Callers) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.close()


def publish(door: Door, name: str = "f", **settings: Any) -> Version:
    """A function of which version 1 is published."""
    given = {"code": CODE, "handler": "ahead.tells", "memory_mb": ONE_VCPU_MB, "timeout_s": 60, **settings}
    door.create_function(name, **given)
    door.publish_version(name)
    return Version(door, name)


@pytest.fixture(name="publish")
def _publish() -> Callable[..., Version]:
    return publish
