"""A function that fills its memory to the limit and, in turn, a tenth more: what lives, what dies, how long it takes.

Another function is called in between: it must not notice.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from engine.sync import Engine

from .starts import FUNCTIONS

MEMORY_MB: Final = 128
OVER: Final = 1.1
KILLED: Final = "signal: killed"
MIB: Final = 1_048_576


@dataclass(slots=True)
class Filled:
    """Counts by what happened, and nanoseconds from request to answer of those that lived and died as they should."""

    at_limit: Counter[str] = field(default_factory=Counter)
    over_limit: Counter[str] = field(default_factory=Counter)
    bystander: Counter[str] = field(default_factory=Counter)
    lived_ns: list[int] = field(default_factory=list)
    died_ns: list[int] = field(default_factory=list)
    deaths: int = 0  # of environments, as the engine counts them
    filled_mb: int = 0  # at the limit: what is left of it beside the interpreter


def fill(times: int) -> Filled:
    """In turn, `times` each, with all the CPU there is. The engine's own failure ends it with that exception."""
    filled = Filled()
    with Engine(cpu="host") as engine:
        for name, code in (("fills", "fills"), ("bystander", "waits")):
            engine.create_function(
                name, code=FUNCTIONS / f"{code}.py", handler=f"{code}.handler", memory_mb=MEMORY_MB, timeout_s=60
            )
        engine.invoke("bystander", {})
        own_mb = _outcome(engine, 0)[1].max_memory_mb
        filled.filled_mb = MEMORY_MB - own_mb
        for _ in range(times):
            _note(engine, filled.filled_mb * MIB, filled.at_limit, "answered", filled.lived_ns)
            _note(engine, int(MEMORY_MB * MIB * OVER), filled.over_limit, "killed for memory", filled.died_ns)
            calm = engine.invoke("bystander", {"hold_s": 0})
            filled.bystander[calm.function_error or calm.start] += 1
        filled.deaths = engine.stats()["environment_deaths"]
    return filled


def _note(engine: Engine, wanted: int, counts: Counter[str], hoped: str, samples: list[int]) -> None:
    began_ns = time.perf_counter_ns()
    outcome, _ = _outcome(engine, wanted)
    took_ns = time.perf_counter_ns() - began_ns
    counts[outcome] += 1
    if outcome == hoped:
        samples.append(took_ns)


def _outcome(engine: Engine, wanted: int) -> tuple[str, Any]:
    result = engine.invoke("fills", {"bytes": wanted})
    if result.function_error is None:
        return "answered", result
    told = result.json()
    if told.get("errorType") == "Runtime.ExitError" and KILLED in told.get("errorMessage", ""):
        return "killed for memory", result
    return str(told.get("errorType")), result
