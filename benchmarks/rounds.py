"""Interleaved rounds: every contender is measured once per round, in rotating order, alone, for a bounded time."""

from __future__ import annotations

import faulthandler
import gc
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Final, TypeVar

from .contenders import load
from .contract import Bound, Contender, NotMeasured
from .cpu import tree_cpu_s
from .figures import Spread, percentile
from .work import check

PAUSE_S: Final = 0.003
WARM_UP_CALLS: Final = 50
OUTSTANDING: Final = (64, 256)
GRACE_S: Final = 30.0  # beyond the asked time, for one contender's whole turn

Value = TypeVar("Value")

Turn = dict[str, float]


@dataclass(slots=True)
class Outcome:
    """What all rounds gave: figures by contender, and why a contender is missing."""

    turns: dict[str, list[Turn]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)

    def spread(self, name: str, key: str) -> Spread | None:
        values = [turn[key] for turn in self.turns.get(name, ()) if key in turn]
        return Spread.of(values) if values else None


def run_rounds(names: list[str], rounds: int, seconds: float, progress: Callable[[str], None]) -> Outcome:
    """`rounds` turns of about five times `seconds` for each contender; one that fails is left out from then on."""
    outcome = Outcome()
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            if name not in outcome.failures:
                progress(f"round {number + 1} of {rounds}: {name}")
                _take_turn(name, seconds, outcome)
    return outcome


def _take_turn(name: str, seconds: float, outcome: Outcome) -> None:
    try:
        contender = load(name)
        outcome.titles[name] = contender.title
        with _time_limit(5 * seconds + GRACE_S), _opened(contender):
            outcome.turns.setdefault(name, []).append(measure(contender, seconds))
    except Exception as failure:  # noqa: BLE001 - a peer may fail in any way; the others go on and the run ends with 1
        outcome.failures[name] = f"{type(failure).__name__}: {failure}"


@contextmanager
def _opened(contender: Contender) -> Iterator[None]:
    contender.open()
    try:
        for _ in range(WARM_UP_CALLS):
            check(contender.call())
        yield
    finally:
        contender.close()


def measure(contender: Contender, seconds: float) -> Turn:
    """All figures of one contender that is open."""
    bound = Bound(seconds)
    turn: Turn = {}
    samples, cpu_s, _ = _metered(lambda: contender.timed(bound))
    turn["sequential_p50_us"] = percentile(samples, 0.50) / 1e3
    turn["sequential_p99_us"] = percentile(samples, 0.99) / 1e3
    turn["sequential_cpu_us"] = cpu_s * 1e6 / len(samples)
    turn["idle_p50_us"] = percentile(contender.timed(bound, PAUSE_S), 0.50) / 1e3
    for outstanding in OUTSTANDING:
        turn.update(_flooded(contender, outstanding, bound))
    return turn


def _flooded(contender: Contender, outstanding: int, bound: Bound) -> Turn:
    try:
        answered, cpu_s, wall_s = _metered(lambda: contender.flood(outstanding, bound))
    except NotMeasured:
        return {}
    return {
        f"flood_{outstanding}_per_s": answered / wall_s,
        f"flood_{outstanding}_cpu_us": cpu_s * 1e6 / answered,
    }


def _metered(measured: Callable[[], Value]) -> tuple[Value, float, float]:
    """The value, with the CPU seconds of the process tree and the wall seconds that it took."""
    gc.collect()
    cpu_s, start = tree_cpu_s(), time.perf_counter()
    value = measured()
    wall_s = time.perf_counter() - start
    return value, tree_cpu_s() - cpu_s, wall_s


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in the main thread, so that a contender that hangs fails instead of the run.

    Where even that is not heard, in compiled code or while closing, the run ends with every thread's traceback.
    """

    def give_up(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds + GRACE_S, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
