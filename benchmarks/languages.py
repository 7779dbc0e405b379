"""An echo in each language that this host has: warm calls beside our own Python's, cold starts beside the program's.

A cold start of a language whose processes are started ahead is measured both ways: with such a process, and without
(a /tmp of another size has none). Functions have one vCPU. Every language has a turn in each round.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal

from rich.console import Console
from rich.table import Table

from engine.runtimes import catalog
from engine.runtimes.contract import RuntimeMissingError
from engine.settings import OWN_RUNTIME
from engine.sync import Engine

from .figures import percentile
from .report import Stamp, show_stamp

EVENT: Final = b'{"key":"value"}'
MEMORY_MB: Final = 1_769
OWN: Final = "python"
QUIET_S: Final = 0.1
PRIMED_WITHIN_S: Final = 10.0
UNPRIMED_TMP_MB: Final = 600

Kind = Literal["started for it", "started ahead"]


@dataclass(frozen=True, slots=True)
class Echo:
    """How an echo is written. `interpreter`: arguments with which that starts, and does nothing else."""

    runtime: str
    handler: str
    file: str
    source: str
    interpreter: tuple[str, ...]
    compiler: tuple[str, ...] = ()


def _newest_other_python() -> str:
    """Of those that the host has; where it has none, one that is reported as missing."""
    for minor in range(14, 7, -1):
        runtime = f"python3.{minor}"
        language = None if runtime == OWN_RUNTIME else catalog.language_of(runtime)
        try:
            if language is not None:
                language.choose(runtime)
                return runtime
        except RuntimeMissingError:
            continue
    return "python3.14"


ECHOES: Final = {
    OWN: Echo(
        OWN_RUNTIME,
        "app.handler",
        "app.py",
        "def handler(event, context):\n    return event\n",
        ("-c", "pass"),
    ),
    "another python": Echo(
        _newest_other_python(),
        "app.handler",
        "app.py",
        "def handler(event, context):\n    return event\n",
        ("-c", "pass"),
    ),
    "nodejs": Echo(
        "nodejs20.x", "index.handler", "index.js", "exports.handler = async (event) => event;\n", ("-e", "0")
    ),
    "java": Echo(
        "java17",
        "Echo::handle",
        "Echo.java",
        "import java.util.Map;\n"
        "public class Echo {\n"
        "  public Map<String, Object> handle(Map<String, Object> event) { return event; }\n"
        "}\n",
        ("-version",),
        ("javac", "--release", "11"),
    ),
    "ruby": Echo(
        "ruby3.4",
        "lambda_function.handler",
        "lambda_function.rb",
        "def handler(event:, context:)\n  event\nend\n",
        ("-e", "0"),
    ),
}


@dataclass(slots=True)
class Measured:
    """One language. Times in ms but `warm_us`; `missing` says why there are none."""

    version: str = ""
    missing: str = ""
    interpreter: list[float] = field(default_factory=list)
    cold: dict[str, list[float]] = field(default_factory=dict)
    warm_us: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Settings:
    rounds: int = 5
    cold_starts: int = 6
    calls: int = 5_000


SMOKE: Final = Settings(rounds=1, cold_starts=1, calls=20)
Outcome = dict[str, Measured]


def measure(settings: Settings, say: Callable[[str], None]) -> Outcome:
    """All rounds of all languages."""
    outcome: Outcome = {name: Measured() for name in ECHOES}
    with tempfile.TemporaryDirectory(prefix="languages-") as folder, Engine() as engine:
        for name, measured in outcome.items():
            try:
                _deploy(engine, name, Path(folder), measured)
            except (RuntimeMissingError, FileNotFoundError, subprocess.CalledProcessError) as why:
                measured.missing = str(why)
        for number in range(settings.rounds):
            say(f"round {number + 1} of {settings.rounds}")
            for name, measured in outcome.items():
                if not measured.missing:
                    _round(engine, name, measured, settings)
    return outcome


def _deploy(engine: Engine, name: str, folder: Path, measured: Measured) -> None:
    echo, code = ECHOES[name], folder / name
    code.mkdir()
    (code / echo.file).write_text(echo.source)
    if echo.compiler:
        subprocess.run([*echo.compiler, echo.file], cwd=code, check=True, capture_output=True)
    for tmp_mb in (512, UNPRIMED_TMP_MB):
        with _quietly():
            engine.create_function(
                _function(name, tmp_mb),
                code=str(code),
                handler=echo.handler,
                runtime=echo.runtime,
                memory_mb=MEMORY_MB,
                timeout_s=30,
                ephemeral_storage_mb=tmp_mb,
            )
    language = catalog.language_of(echo.runtime)
    if name == OWN or language is None:
        measured.version = OWN_RUNTIME.removeprefix("python")
    else:
        measured.version = language.choose(echo.runtime).version


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the warning that a runtime runs on a version near it."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def _function(name: str, tmp_mb: int) -> str:
    return f"{name}-{tmp_mb}".replace(" ", "-")


def _round(engine: Engine, name: str, measured: Measured, settings: Settings) -> None:
    for _ in range(settings.cold_starts):
        measured.interpreter.append(_interpreter_ms(name))
        kinds: dict[Kind, int] = {"started for it": UNPRIMED_TMP_MB, "started ahead": 512}
        for kind, tmp_mb in kinds.items():
            took_ms = _cold_ms(engine, name, tmp_mb, primed=kind == "started ahead" and name != OWN)
            if took_ms is not None:
                measured.cold.setdefault(kind, []).append(took_ms)
    function = _function(name, 512)
    engine.invoke(function, EVENT)
    took_ns = []
    for _ in range(settings.calls):
        began_ns = time.perf_counter_ns()
        engine.invoke(function, EVENT)
        took_ns.append(time.perf_counter_ns() - began_ns)
    measured.warm_us.append(percentile(took_ns, 0.5) / 1_000)


def _is_primed(engine: Engine, name: str) -> bool:
    return bool(engine.stats()["primed"].get(_program(name)))


def _cold_ms(engine: Engine, name: str, tmp_mb: int, *, primed: bool) -> float | None:
    """From the call to its answer, the machine idle before. None where a process was to be ahead, and was not."""
    function = _function(name, tmp_mb)
    with _quietly():
        engine.update_function_configuration(function, environment={"VERSION": str(time.time_ns())})
    deadline = time.monotonic() + PRIMED_WITHIN_S
    while primed and not _is_primed(engine, name):
        if time.monotonic() > deadline:
            return None
        time.sleep(0.01)
    time.sleep(QUIET_S * (5 if primed else 1))  # a process ahead has to have loaded what it loads
    began = time.perf_counter()
    result = engine.invoke(function, EVENT)
    took_ms = (time.perf_counter() - began) * 1_000
    if result.start != "cold" or result.json() != json.loads(EVENT):
        raise RuntimeError(f"{function} answered {result.payload[:200]!r} after a {result.start} start")
    return took_ms


def _program(name: str) -> str:
    """The interpreter that runs a language's functions."""
    runtime = ECHOES[name].runtime
    language = None if name == OWN else catalog.language_of(runtime)
    return os.path.realpath(sys.executable) if language is None else language.choose(runtime).executable


def _interpreter_ms(name: str) -> float:
    command = [_program(name), *ECHOES[name].interpreter]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=os.sep)
    return (time.perf_counter() - began) * 1_000


def as_json(outcome: Outcome, stamp: Stamp, settings: Settings) -> dict[str, Any]:
    """All that was measured."""
    languages = {name: asdict(measured) for name, measured in outcome.items()}
    return {"stamp": stamp, "settings": asdict(settings), "languages": languages}


def show(outcome: Outcome, stamp: Stamp, console: Console) -> None:
    show_stamp(stamp, console)
    table = Table("language", "interpreter alone, ms", "cold, ms", "cold, started ahead, ms", "warm, µs", "× Python's")
    own_us = median(outcome[OWN].warm_us)
    for name, measured in outcome.items():
        if measured.missing:
            table.add_row(name, measured.missing)
            continue
        warm_us = median(measured.warm_us)
        table.add_row(
            f"{name} {measured.version}",
            f"{median(measured.interpreter):.1f}",
            _shown(measured.cold.get("started for it")),
            "–" if name == OWN else _shown(measured.cold.get("started ahead")),
            f"{warm_us:.1f}",
            f"{warm_us / own_us:.1f}",
        )
    console.print(table)


def _shown(times_ms: list[float] | None) -> str:
    return f"{median(times_ms):.1f}" if times_ms else "–"
