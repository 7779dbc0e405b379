"""Interleaved rounds: every contender is measured once per round, in rotating order, alone, for a bounded time."""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from .comparison import Outcome, Turn
from .contenders import load
from .contract import Contender

GRACE_S: Final = 30.0  # beyond the asked time, for one contender's whole turn

Measure = Callable[[Contender, float], Turn]


def run_rounds(
    names: list[str], rounds: int, seconds: float, measure: Measure, progress: Callable[[str], None]
) -> Outcome:
    """`rounds` turns of about five times `seconds` for each contender; one that fails is left out from then on."""
    outcome = Outcome()
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            if name not in outcome.failures:
                progress(f"round {number + 1} of {rounds}: {name}")
                _take_turn(name, seconds, measure, outcome)
    return outcome


def _take_turn(name: str, seconds: float, measure: Measure, outcome: Outcome) -> None:
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
        contender.warm_up()
        yield
    finally:
        contender.close()


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
