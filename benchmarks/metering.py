"""A measured stretch of work with the CPU that its serving processes spent on it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TypeVar

from .comparison import Turn
from .contract import Bound, Contender, NotMeasured
from .figures import percentile

Value = TypeVar("Value")


def sequential(contender: Contender, bound: Bound) -> Turn:
    """Calls one after the other; nothing where the contender has no such figure."""
    try:
        samples, cpu_s, _ = _metered(contender, lambda: contender.timed(bound))
    except NotMeasured:
        return {}
    return {
        "sequential_p50_us": percentile(samples, 0.50) / 1e3,
        "sequential_p99_us": percentile(samples, 0.99) / 1e3,
        "sequential_cpu_us": cpu_s * 1e6 / len(samples),
    }


def throughput(contender: Contender, key: str, flood: Callable[[], int]) -> Turn:
    """`flood` gives how many calls were answered; nothing where the contender has no such figure."""
    try:
        answered, cpu_s, wall_s = _metered(contender, flood)
    except NotMeasured:
        return {}
    return {f"{key}_per_s": answered / wall_s, f"{key}_cpu_us": cpu_s * 1e6 / answered}


def _metered(contender: Contender, measured: Callable[[], Value]) -> tuple[Value, float, float]:
    """The value, with the CPU seconds and the wall seconds that it took."""
    gc.collect()
    cpu_s, start = contender.cpu_s(), time.perf_counter()
    value = measured()
    wall_s = time.perf_counter() - start
    return value, contender.cpu_s() - cpu_s, wall_s
