"""What one round of the comparison of cold starts measures: the engine's figure and its peer's, side by side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine import Engine

from .figures import percentile
from .processes import HEAVY, PASS, PLAIN, exec_to_exit_ns, execs_per_s, peer_environment
from .starts import Crowd, deploy_heavy, deploy_many, start_ns, starts_per_s

SETTLE_S: Final = 1.0  # for the first blanks of an engine, and for what deploying left to do
SNAPSHOT: Final = "snapshot of numpy + boto3"


@dataclass(frozen=True, slots=True)
class Settings:
    """samples: starts in a row. burst: starts as fast as possible, `window` outstanding. heavy_…: with numpy + boto3.
    crowds: numbers of environments whose memory is looked at."""

    rounds: int = 3
    samples: int = 200
    quiet_s: float = 0.03
    burst: int = 500
    window: int = 8
    heavy_samples: int = 20
    heavy_burst: int = 100
    crowds: tuple[int, ...] = (10, 50, 100)


SMOKE: Final = Settings(1, 4, 0.005, 6, 3, 2, 3, (1, 2, 3))


@dataclass(slots=True)
class Row:
    """A figure by round, and the same of peers measured in the same round."""

    unit: str
    ours: list[float] = field(default_factory=list)
    peers: dict[str, list[float]] = field(default_factory=dict)
    missing: str = ""  # why there is none


Rows = dict[str, Row]


def note(rows: Rows, what: str, unit: str, ours: float, **peers: float) -> None:
    row = rows.setdefault(what, Row(unit))
    row.ours.append(ours)
    for peer, value in peers.items():
        row.peers.setdefault(peer.replace("_", " "), []).append(value)


def miss(rows: Rows, what: str, why: str) -> None:
    rows.setdefault(what, Row("")).missing = why


# --- hello ------------------------------------------------------------------------------------------------------------


async def hello(rows: Rows, settings: Settings, number: int) -> None:
    """Starts one by one: turn about with the peer after some quiet, then each in a row; then many at once."""
    async with Engine() as engine:
        names = await deploy_many(engine, 2 * settings.samples + settings.burst)
        await quiet(SETTLE_S)
        idle, in_a_row, burst = (iter(part) for part in _parts(names, settings.samples))
        ours, theirs = await _in_turn(lambda: start_ns(engine, next(idle), "cold"), _pass, settings)
        note_latencies(rows, "hello, machine idle", ours, python3=theirs)
        ours, theirs = await _in_rows(lambda: start_ns(engine, next(in_a_row), "cold"), _pass, settings, number)
        note_latencies(rows, "hello, back to back", ours, python3=theirs)
        per_s = await starts_per_s(engine, list(burst), settings.window)
    execs = execs_per_s(PASS, PLAIN, settings.burst, settings.window)
    note(rows, "hello, sustained", "/s", per_s, python3=execs)


def _parts(names: list[str], samples: int) -> tuple[list[str], list[str], list[str]]:
    return names[:samples], names[samples : 2 * samples], names[2 * samples :]


async def _pass() -> int:
    return exec_to_exit_ns(PASS, PLAIN)


Timed = Callable[[], Awaitable[int]]


async def quiet(seconds: float) -> None:
    """Nothing of ours runs meanwhile but the engine itself."""
    await asyncio.sleep(seconds)


async def _in_turn(ours: Timed, theirs: Timed, settings: Settings) -> tuple[list[int], list[int]]:
    mine, peers = list[int](), list[int]()
    for _ in range(settings.samples):
        for timed, kept in ((ours, mine), (theirs, peers)):
            await quiet(settings.quiet_s)
            kept.append(await timed())
    return mine, peers


async def _in_rows(ours: Timed, theirs: Timed, settings: Settings, number: int) -> tuple[list[int], list[int]]:
    mine, peers = list[int](), list[int]()
    turns = [(ours, mine), (theirs, peers)]
    for timed, kept in turns if number % 2 == 0 else reversed(turns):
        kept += [await timed() for _ in range(settings.samples)]
    return mine, peers


def note_latencies(rows: Rows, what: str, ours: list[int], **peers: list[int]) -> None:
    for title, share in (("p50", 0.50), ("p99", 0.99)):
        of_peers = {peer: percentile(samples, share) / 1e6 for peer, samples in peers.items()}
        note(rows, f"{what}, {title}", "ms", percentile(ours, share) / 1e6, **of_peers)


# --- numpy and boto3 --------------------------------------------------------------------------------------------------


async def heavy(rows: Rows, settings: Settings, layer: Path) -> None:
    """Starts from a snapshot, the same function's plain cold starts, and an interpreter's imports: one by one, in turn.

    Raises `starts.NotAvailable` where this engine has no snapshots.
    """
    environment = peer_environment()
    async with Engine(scaling="lambda") as engine:
        snapped = await deploy_heavy(engine, layer, snap_start=True)
        plain = await deploy_heavy(engine, layer, snap_start=False)
        crowds = {name: Crowd(engine, name) for name in (snapped, plain)}
        kept: dict[str, list[int]] = {"snapshot": [], "cold": [], "imports": []}
        try:
            for _ in range(settings.heavy_samples):
                for name, kind in ((snapped, "snapshot"), (plain, "cold")):
                    await quiet(settings.quiet_s)
                    kept[kind].append(await start_ns(engine, name, kind))
                    await crowds[name].grow()  # so that the next call finds none that is idle
                await quiet(settings.quiet_s)
                kept["imports"].append(exec_to_exit_ns(HEAVY, environment))
        finally:
            for crowd in crowds.values():
                await crowd.disperse()
    note_latencies(rows, SNAPSHOT, kept["snapshot"], python3_imports=kept["imports"], engine_cold=kept["cold"])
    await heavy_at_once(rows, settings, layer)


async def heavy_at_once(rows: Rows, settings: Settings, layer: Path) -> None:
    async with Engine(scaling="lambda") as engine:
        name = await deploy_heavy(engine, layer, snap_start=True)
        await start_ns(engine, name, "snapshot")
        crowd = Crowd(engine, name)
        await crowd.grow()
        began = time.perf_counter()
        try:
            await crowd.grow(settings.heavy_burst)
        finally:
            await crowd.disperse()
        per_s = settings.heavy_burst / (time.perf_counter() - began)
    execs = execs_per_s(HEAVY, peer_environment(), settings.heavy_samples, settings.window)
    note(rows, f"{SNAPSHOT}, sustained", "/s", per_s, python3_imports=execs)
