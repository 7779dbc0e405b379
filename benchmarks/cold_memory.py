"""What one more environment takes in memory: a straight line through crowds of several sizes. Beside interpreters."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import linear_regression
from typing import Final

from engine import Engine

from .cold_rounds import SNAPSHOT, Rows, Settings, note
from .contenders.engine_settings import MEMORY_MB
from .processes import HEAVY_PACKAGES, INTERPRETER, PLAIN, Held, held_below, peer_environment
from .starts import FUNCTIONS, HELLO_HANDLER, Crowd, deploy_heavy, start_ns

BURST_S: Final = (
    0.06  # an engine keeps as many blanks as were wanted within 50 ms: slower growth leaves their number be
)
SETTLE_S: Final = 5.0
LOOK_S: Final = 0.05
INTERPRETERS: Final = 4  # beside each other, so that each has but its part of what they share


async def hello_memory(rows: Rows, settings: Settings) -> None:
    async with Engine(scaling="lambda") as engine:
        await engine.create_function(
            "hello", code=FUNCTIONS / "waits.py", handler=HELLO_HANDLER, memory_mb=MEMORY_MB, timeout_s=900
        )
        await start_ns(engine, "hello", "cold")
        looks = await _grown(Crowd(engine, "hello"), settings.crowds)
    note_memory(rows, "hello", looks, interpreters("pass", PLAIN))


async def heavy_memory(rows: Rows, settings: Settings, layer: Path) -> None:
    """Raises `starts.NotAvailable` where this engine has no snapshots."""
    async with Engine(scaling="lambda") as engine:
        name = await deploy_heavy(engine, layer, snap_start=True)
        await start_ns(engine, name, "snapshot")
        looks = await _grown(Crowd(engine, name), settings.crowds)
    note_memory(rows, SNAPSHOT, looks, interpreters(f"import {', '.join(HEAVY_PACKAGES)}", peer_environment()))


def note_memory(rows: Rows, what: str, looks: Mapping[int, Held], each: Held) -> None:
    for kind, title in (("uss_bytes", "USS"), ("pss_bytes", "PSS")):
        per_environment = linear_regression(list(looks), [getattr(look, kind) for look in looks.values()]).slope
        note(rows, f"{what}, {title} of one more", "MB", per_environment / 1e6, python3=getattr(each, kind) / 1e6)


async def _grown(crowd: Crowd, sizes: tuple[int, ...]) -> dict[int, Held]:
    """What all processes of the engine hold, its own aside, by the number of environments."""
    looks, size = dict[int, Held](), 0
    try:
        for wanted in sizes:
            while size < wanted:
                await crowd.grow()
                size += 1
                await asyncio.sleep(BURST_S)
            looks[wanted] = await _settled()
    finally:
        await crowd.disperse()
    return looks


async def _settled() -> Held:
    """Once processes come and go no more, or after a while."""
    deadline, before = time.monotonic() + SETTLE_S, held_below(os.getpid())
    while True:
        await asyncio.sleep(LOOK_S)
        now = held_below(os.getpid())
        if now.processes == before.processes or time.monotonic() > deadline:
            return now
        before = now


def interpreters(code: str, environment: Mapping[str, str]) -> Held:
    """Of one interpreter that has run this code and waits."""
    before = held_below(os.getpid())
    with ExitStack() as running:
        for _ in range(INTERPRETERS):
            running.enter_context(_waiting(code, environment))
        after = held_below(os.getpid())
    if after.processes - before.processes != INTERPRETERS:
        raise RuntimeError(f"{after.processes - before.processes} interpreters wait, not {INTERPRETERS}")
    uss_bytes, pss_bytes = after.uss_bytes - before.uss_bytes, after.pss_bytes - before.pss_bytes
    return Held(1, uss_bytes // INTERPRETERS, pss_bytes // INTERPRETERS)


@contextmanager
def _waiting(code: str, environment: Mapping[str, str]) -> Iterator[None]:
    argv = [INTERPRETER, "-c", f"{code}\nimport os\nos.write(1, b'1')\nos.read(0, 1)"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0) as process:
        assert process.stdout is not None
        if process.stdout.read(1) != b"1":
            raise RuntimeError(f"{' '.join(argv)} ended with status {process.wait()}")
        yield
