"""The comparison with process pools: figures, a turn, and targets: a bound here and a ratio measured beside it."""

from __future__ import annotations

from functools import partial
from typing import Final

from .comparison import Comparison, Outcome, Turn, Verdict
from .contract import Bound, Contender
from .figures import Figure, percentile, times_better
from .metering import sequential, throughput

PEER: Final = "ppe"
PAUSE_S: Final = 0.003
OUTSTANDING: Final = (64, 256)
FIGURES: Final = (
    Figure("sequential_p50_us", "one after the other, p50", "µs"),
    Figure("sequential_p99_us", "one after the other, p99", "µs"),
    Figure("sequential_cpu_us", "… CPU of all processes, per call", "µs"),
    Figure("idle_p50_us", "3 ms idle before each call, p50", "µs", ends_section=True),
    Figure("flood_64_per_s", "64 outstanding", "/s", more_is_better=True),
    Figure("flood_64_cpu_us", "… CPU of all processes, per call", "µs"),
    Figure("flood_256_per_s", "256 outstanding", "/s", more_is_better=True),
    Figure("flood_256_cpu_us", "… CPU of all processes, per call", "µs"),
)


def measure(contender: Contender, seconds: float) -> Turn:
    """All figures of one contender that is open."""
    bound = Bound(seconds)
    turn = sequential(contender, bound)
    turn["idle_p50_us"] = percentile(contender.timed(bound, PAUSE_S), 0.50) / 1e3
    for outstanding in OUTSTANDING:
        turn.update(throughput(contender, f"flood_{outstanding}", partial(contender.flood, outstanding, bound)))
    return turn


def verdicts(outcome: Outcome) -> list[Verdict]:
    hot = [_hot(outcome, name) for name in ("engine", "engine-async")]
    idle = [_idle(outcome, name) for name in ("engine", "engine-async")]
    return [*hot, *idle, _throughput(outcome)]


def _hot(outcome: Outcome, name: str) -> Verdict:
    what, target = f"{name}, hot, p50", "≤ 5 µs; ≥ 20x faster than ProcessPoolExecutor"
    p50_us = outcome.median(name, "sequential_p50_us")
    ratio = _times_better(outcome, name, "sequential_p50_us")
    if p50_us is None or ratio is None:
        return Verdict(what, target, "not measured", None)
    return Verdict(what, target, f"{p50_us:.2f} µs; {ratio:.1f}x", p50_us <= 5 and ratio >= 20)


def _idle(outcome: Outcome, name: str) -> Verdict:
    what, target = f"{name}, idle between calls, p50", "≤ 1.5x the eventfd round trip"
    p50_us, floor_us = outcome.median(name, "idle_p50_us"), outcome.median("eventfd", "idle_p50_us")
    if p50_us is None or floor_us is None:
        return Verdict(what, target, "not measured", None)
    measured = f"{p50_us / floor_us:.2f}x ({p50_us:.1f} / {floor_us:.1f} µs)"
    work_us, across_us = (outcome.median(floor, "idle_p50_us") for floor in ("eventfd-work", "eventfd-across"))
    if work_us and across_us:
        measured += f"; with the same work {p50_us / work_us:.2f}x; of one across CPUs {p50_us / across_us:.2f}x"
    return Verdict(what, target, measured, p50_us <= 1.5 * floor_us)


def _throughput(outcome: Outcome) -> Verdict:
    what, target = "engine-async, 256 outstanding", "≥ 250,000/s; ≥ 20x ProcessPoolExecutor"
    per_s = outcome.median("engine-async", "flood_256_per_s")
    ratio = _times_better(outcome, "engine-async", "flood_256_per_s")
    if per_s is None or ratio is None:
        return Verdict(what, target, "not measured", None)
    return Verdict(what, target, f"{per_s:,.0f}/s; {ratio:.1f}x", per_s >= 250_000 and ratio >= 20)


def _times_better(outcome: Outcome, name: str, key: str) -> float | None:
    value, than = outcome.median(name, key), outcome.median(PEER, key)
    if value is None or than is None:
        return None
    return times_better(next(figure for figure in FIGURES if figure.key == key), value, than)


POOLS: Final = Comparison(
    figures=FIGURES,
    measure=measure,
    verdicts=verdicts,
    peer=PEER,
    title="echo of a small JSON object: median over rounds (lowest–highest)",
    caption="Nx: how many times better than ProcessPoolExecutor in the same run",
    contenders_across=True,
)
