"""The three rows of targets that this comparison decides: a bound on this machine and a ratio measured beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .figures import FIGURES, times_better
from .rounds import Outcome

PEER: Final = "ppe"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`met` is None where a figure is missing."""

    what: str
    target: str
    measured: str
    met: bool | None


def verdicts(outcome: Outcome) -> list[Verdict]:
    hot = [_hot(outcome, name) for name in ("engine", "engine-async")]
    idle = [_idle(outcome, name) for name in ("engine", "engine-async")]
    return [*hot, *idle, _throughput(outcome)]


def _median(outcome: Outcome, name: str, key: str) -> float | None:
    spread = outcome.spread(name, key)
    return spread.median if spread else None


def _hot(outcome: Outcome, name: str) -> Verdict:
    what, target = f"{name}, hot, p50", "≤ 5 µs; ≥ 20x faster than ProcessPoolExecutor"
    p50_us = _median(outcome, name, "sequential_p50_us")
    ratio = _times_better(outcome, name, "sequential_p50_us")
    if p50_us is None or ratio is None:
        return Verdict(what, target, "not measured", None)
    return Verdict(what, target, f"{p50_us:.2f} µs; {ratio:.1f}x", p50_us <= 5 and ratio >= 20)


def _idle(outcome: Outcome, name: str) -> Verdict:
    what, target = f"{name}, idle between calls, p50", "≤ 1.5x the eventfd round trip"
    p50_us, floor_us = _median(outcome, name, "idle_p50_us"), _median(outcome, "eventfd", "idle_p50_us")
    if p50_us is None or floor_us is None:
        return Verdict(what, target, "not measured", None)
    measured = f"{p50_us / floor_us:.2f}x ({p50_us:.1f} / {floor_us:.1f} µs)"
    work_us, across_us = (_median(outcome, floor, "idle_p50_us") for floor in ("eventfd-work", "eventfd-across"))
    if work_us and across_us:
        measured += f"; with the same work {p50_us / work_us:.2f}x; of one across CPUs {p50_us / across_us:.2f}x"
    return Verdict(what, target, measured, p50_us <= 1.5 * floor_us)


def _throughput(outcome: Outcome) -> Verdict:
    what, target = "engine-async, 256 outstanding", "≥ 250,000/s; ≥ 20x ProcessPoolExecutor"
    per_s = _median(outcome, "engine-async", "flood_256_per_s")
    ratio = _times_better(outcome, "engine-async", "flood_256_per_s")
    if per_s is None or ratio is None:
        return Verdict(what, target, "not measured", None)
    return Verdict(what, target, f"{per_s:,.0f}/s; {ratio:.1f}x", per_s >= 250_000 and ratio >= 20)


def _times_better(outcome: Outcome, name: str, key: str) -> float | None:
    value, than = _median(outcome, name, key), _median(outcome, PEER, key)
    if value is None or than is None:
        return None
    return times_better(next(figure for figure in FIGURES if figure.key == key), value, than)
