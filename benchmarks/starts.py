"""Cold starts of functions in an engine that is open: one by one, several at once. From request to answer alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engine import Engine

from .contenders.engine_settings import MEMORY_MB, answer_of
from .processes import HEAVY_PACKAGES, ONE_THREAD, folder_of

FUNCTIONS: Final = Path(__file__).parent / "functions"
HELLO_HANDLER: Final = "waits.handler"
HOLD_S: Final = 600  # longer than any measurement: what is held so long is ended with its engine
HOLD: Final = {"hold_s": HOLD_S}
START_S: Final = 30.0
LOOK_S: Final = 0.002


class NotAvailable(Exception):
    """This engine has no such start."""


async def deploy_many(engine: Engine, count: int) -> list[str]:
    """So many functions, none of which has an environment. They differ by name alone."""
    names = [f"hello-{number:04d}" for number in range(count)]
    for name in names:
        await engine.create_function(
            name, code=FUNCTIONS / "waits.py", handler=HELLO_HANDLER, memory_mb=MEMORY_MB, timeout_s=900
        )
    return names


async def deploy_heavy(engine: Engine, layer: Path, *, snap_start: bool) -> str:
    """The function that imports numpy and boto3. What to invoke: `$LATEST`, or the version that has a snapshot."""
    name = "heavy-snapshot" if snap_start else "heavy"
    await engine.create_function(
        name, code=FUNCTIONS / "heavy.py", handler="heavy.handler", memory_mb=MEMORY_MB, timeout_s=900, layers=[layer],
        environment=ONE_THREAD, snap_start=snap_start,
    )  # fmt: skip
    return f"{name}:{(await engine.publish_version(name)).version}" if snap_start else name


def make_layer(folder: Path) -> Path:
    """What the heavy function needs and Lambda does not ship, as a layer: numpy, and the libraries beside it."""
    import shutil

    home = folder_of(HEAVY_PACKAGES[0])
    for name in ("numpy", "numpy.libs"):
        if (home / name).is_dir():
            shutil.copytree(
                home / name, folder / "python" / name, ignore=shutil.ignore_patterns("tests", "__pycache__")
            )
    return folder


async def start_ns(engine: Engine, name: str, kind: str) -> int:
    """One start, from request to answer. Raises NotAvailable where it was a start of another kind."""
    began_ns = time.perf_counter_ns()
    result = await engine.invoke(name, {})
    took_ns = time.perf_counter_ns() - began_ns
    answer_of(result)
    if result.start != kind:
        raise NotAvailable(f"{name} was to have a {kind} start, and had a {result.start} one")
    return took_ns


async def starts_per_s(engine: Engine, names: Sequence[str], window: int) -> float:
    """A cold start of each of these functions, `window` outstanding."""
    left = iter(names)

    async def starts() -> None:
        for name in left:
            await start_ns(engine, name, "cold")

    began = time.perf_counter()
    await asyncio.gather(*[starts() for _ in range(window)])
    return len(names) / (time.perf_counter() - began)


class Crowd:
    """One function, ever more environments of which are busy: whoever calls it next has one more started.

    For an engine that starts one whenever none is idle (`scaling="lambda"`). All end with the engine.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._held: list[asyncio.Task[object]] = []

    async def grow(self, count: int = 1) -> None:
        """Returns once so many more are busy. Raises RuntimeError where one does not start, or does not stay."""
        self._held += [asyncio.create_task(self._engine.invoke(self._name, HOLD)) for _ in range(count)]
        deadline = time.monotonic() + START_S
        while await self._alive() < len(self._held):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{await self._alive()} of {len(self._held)} environments of {self._name} started")
            await asyncio.sleep(LOOK_S)

    async def _alive(self) -> int:
        for task in self._held:
            if task.done():
                raise RuntimeError(f"{self._name} was to be busy for {HOLD_S} s: {task.exception() or task.result()!r}")
        name, _, version = self._name.partition(":")
        versions = (await self._engine.stats(name))["functions"][name]["versions"]
        return int(versions[version or "$LATEST"]["environments"]["ready"])

    async def disperse(self) -> None:
        """Nobody waits for them any more; to be called before the engine closes."""
        for task in self._held:
            task.cancel()
        await asyncio.gather(*self._held, return_exceptions=True)
