"""Where the time of a cold start goes: the engine's steps and the environment's, by one clock, request to answer."""

from __future__ import annotations

import mmap
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from engine import Engine
from engine.core import births, blanks, supervisor, zygotes

from . import stamped_zygote
from .cold_rounds import SETTLE_S, Settings, quiet
from .contenders.engine_settings import answer_of
from .figures import percentile
from .report import Stamp, show_stamp
from .stamped_zygote import CLOCKS, ROWS, STEPS, WIDTH
from .starts import deploy_many

PUBLISHED: Final = "engine: asked for an environment"
ENGINES: Final = {
    PUBLISHED: (births.Births, "order", "begins"),
    "engine: a blank is there": (blanks.Blank, "give", "begins"),
    "engine: order sent": (blanks.Blank, "give", "done"),
    "engine: limits set": (blanks.Blank, "go", "begins"),
    "engine: hears of init's end": (supervisor.Supervisor, "_ready", "begins"),
    "engine: CPU limit set": (supervisor, "widen", "begins"),
    "engine: next blank ordered": (births.Births, "refill", "done"),
}
WHOLE: Final = ("invocation taken", "handler answered", "engine: answer delivered")


@dataclass(slots=True)
class Broken:
    """Nanoseconds from the request to each step, one of each per start; and what making a blank took, ahead of that.

    cpu, faults: of the environment's process alone, since its step before.
    """

    steps: dict[str, list[int]] = field(default_factory=dict)
    cpu: dict[str, list[int]] = field(default_factory=dict)
    faults: dict[str, list[int]] = field(default_factory=dict)
    blank: list[int] = field(default_factory=list)

    def note(self, step: str, after_ns: int) -> None:
        self.steps.setdefault(step, []).append(after_ns)

    def in_order(self) -> list[str]:
        return sorted(self.steps, key=lambda step: percentile(self.steps[step], 0.50))


async def breakdown(settings: Settings) -> Broken:
    """Starts of hello functions, one by one after some quiet."""
    broken = Broken()
    with _stamps() as rows, _engines_stamps() as ours:
        async with Engine() as engine:
            names = await deploy_many(engine, settings.samples)
            await quiet(SETTLE_S)
            for number, name in enumerate(names):
                await quiet(settings.quiet_s)
                ours.clear()
                began_ns = time.monotonic_ns()
                result = await engine.invoke(name, {})
                ended_ns = time.monotonic_ns()
                answer_of(result)
                published_ns = ours[PUBLISHED] - began_ns  # to some microseconds: the next thing that the engine did
                taken_ns, ran_ns = published_ns + int(result.queued_ms * 1e6), int(result.duration_ms * 1e6)
                for step, after_ns in zip(WHOLE, (taken_ns, taken_ns + ran_ns, ended_ns - began_ns), strict=True):
                    broken.note(step, after_ns)
                for step, at_ns in ours.items():
                    broken.note(step, at_ns - began_ns)
                _note_row(broken, rows(number), began_ns)
    return broken


def _note_row(broken: Broken, row: Sequence[int], began_ns: int) -> None:
    """Raises RuntimeError where the environment has not told."""
    if not row:
        raise RuntimeError("an environment has left no times: it was not forked by the zygote with the clock")
    names = [step[0] for step in STEPS]
    times, cpu, faults = (dict(zip(names, row[1 + which :: CLOCKS], strict=True)) for which in range(CLOCKS))
    broken.blank.append(times.pop("blank, waits") - times.pop("forked"))
    for step, at_ns in times.items():
        broken.note(step, at_ns - began_ns)
    for counts, kept in ((cpu, broken.cpu), (faults, broken.faults)):
        for before, step in pairwise(names[1:]):
            kept.setdefault(step, []).append(counts[step] - counts[before])


@contextmanager
def _stamps() -> Iterator[Callable[[int], Sequence[int]]]:
    """Has engines start the zygote with the clock. What this gives finds the row of the function of a number."""
    fd = os.memfd_create("cold-start-stamps", os.MFD_CLOEXEC)
    os.ftruncate(fd, ROWS * WIDTH * 8)
    script = str(Path(stamped_zygote.__file__).resolve())

    def start(
        argv: list[str], *, env: dict[str, str], pass_fds: tuple[int, ...], **rest: Any
    ) -> subprocess.Popen[bytes]:
        argv = [script if argument.endswith("zygote.py") else argument for argument in argv]
        return subprocess.Popen(argv, env={**env, stamped_zygote.STAMPS_FD: str(fd)}, pass_fds=(*pass_fds, fd), **rest)

    plain = vars(zygotes)["subprocess"]
    vars(zygotes)["subprocess"] = SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL, PIPE=subprocess.PIPE)
    try:
        with mmap.mmap(fd, ROWS * WIDTH * 8) as shared, memoryview(shared) as raw, raw.cast("Q") as words:

            def row_of(number: int) -> Sequence[int]:
                starts = range(0, ROWS * WIDTH, WIDTH)
                return next((list(words[at : at + WIDTH]) for at in starts if words[at] == number + 1), [])

            yield row_of
    finally:
        vars(zygotes)["subprocess"] = plain
        os.close(fd)


@contextmanager
def _engines_stamps() -> Iterator[dict[str, int]]:
    """When the engine's own steps were taken last."""
    taken: dict[str, int] = {}
    plain = [(owner, name, getattr(owner, name)) for owner, name, _ in ENGINES.values()]
    for step, (owner, name, when) in ENGINES.items():
        setattr(owner, name, _timed(taken, step, getattr(owner, name), when))
    try:
        yield taken
    finally:
        for owner, name, was in plain:
            setattr(owner, name, was)


def _timed(taken: dict[str, int], step: str, plain: Callable[..., Any], when: str) -> Callable[..., Any]:
    def wrapped(*arguments: Any) -> Any:
        if when == "begins":
            taken[step] = time.monotonic_ns()
        result = plain(*arguments)
        if when == "done":
            taken[step] = time.monotonic_ns()
        return result

    return wrapped


def as_json(broken: Broken, stamp: Stamp) -> dict[str, Any]:
    steps = {}
    for step in broken.in_order():
        steps[step] = {"p50_us": _us(broken.steps[step], 0.50), "p99_us": _us(broken.steps[step], 0.99)}
        if step in broken.cpu:
            steps[step] |= {"cpu_us": _us(broken.cpu[step], 0.50), "page_faults": percentile(broken.faults[step], 0.50)}
    return {"stamp": stamp, "steps": steps, "blank_p50_us": _us(broken.blank, 0.50)}


def _us(samples: Sequence[int], share: float) -> float:
    return percentile(samples, share) / 1e3


def show(broken: Broken, stamp: Stamp, console: Console) -> None:
    table = Table(title="a cold start, machine idle: µs from the request, over all starts")
    for heading in ("", "p50", "since the line above", "p99", "environment's CPU since its last step", "page faults"):
        table.add_column(heading, justify="right" if heading else "left")
    before = 0.0
    for step in broken.in_order():
        p50, p99, own = _us(broken.steps[step], 0.50), _us(broken.steps[step], 0.99), ["", ""]
        if step in broken.cpu:
            own = [f"{_us(broken.cpu[step], 0.50):,.0f}", f"{percentile(broken.faults[step], 0.50):,.0f}"]
        table.add_row(step, f"{p50:,.0f}", f"{p50 - before:,.0f}", f"{p99:,.0f}", *own)
        before = p50
    table.caption = f"made ahead of the request: a blank, {_us(broken.blank, 0.50):,.0f} µs from its fork"
    console.print(table)
    show_stamp(stamp, console)
