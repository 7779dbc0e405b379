"""What a replay of policies is fed with: a day of functions, from a file or made up, as busy spells.

The made-up day has the shape that "Serverless in the Wild" (Shahrad et al., ATC 2020, section 3) publishes of Azure
Functions: of all functions 55 % are triggered by HTTP, 16 % by timers, 29 % by queues, events and the like; 45 % are
invoked once per hour or less on average, 81 % once per minute or less, and the rest up to about once per second here
(in Azure far more often, which no policy notices); timers are periodic, HTTP follows the day, queues come in bursts
(coefficient of variation well over 1); half of the functions run for less than a second on average; half of the
applications hold at most 170 MB and 90 % at most 400 MB. What a cold start takes is not in the paper: here 0.2 to 5 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.load.trace import MINUTE_NS, MINUTES, Trace, TraceRow, read_trace

MINUTES_OF_DAY: Final = range(1, MINUTES + 1)
RATE_SHARES: Final = (0.0, 0.45, 0.81, 1.0)  # of functions, and …
RATES_PER_DAY: Final = (1.0, 24.0, 1_440.0, 86_400.0)  # … how often the function at that place is invoked
TRIGGERS: Final = ("http", "timer", "queue")
TRIGGER_SHARES: Final = (0.55, 0.16, 0.29)
PERIODS_MINUTES: Final = (1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 720, 1_440)
BURSTINESS: Final = 1.8  # sigma of lognormal gaps: a coefficient of variation of about 5
DAY_SWING: Final = 0.6  # of HTTP's rate, up and down over the day
SPELL_MINUTES: Final = 10  # a busy spell is cut there, so that a replay looks at it again

Longs = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Day:
    """Busy spells in the order of their beginnings, and what functions are like.

    A spell is invocations of one function with less than a minute between them: when the first begins, when the last
    ends, how many they are, and for how long an invocation ran in it. sizes_mb, cold_ns: by function.
    """

    functions: Longs
    begins_ns: Longs
    ends_ns: Longs
    counts: Longs
    busy_ns: Longs
    sizes_mb: list[int]
    cold_ns: list[int]
    left_out_rows: int = 0

    @property
    def invocations(self) -> int:
        return int(self.counts.sum())


def day_of_file(path: Path, top: int, seed: int) -> Day:
    """The day of a file of the Azure Functions 2019 trace: its `top` busiest rows."""
    return day_of(read_trace(path, MINUTES_OF_DAY, top), seed)


def made_up_day(functions: int, seed: int) -> Day:
    rng = np.random.default_rng(seed)
    places = (np.arange(functions) + rng.random(functions)) / functions
    rates = np.exp(np.interp(places, RATE_SHARES, np.log(RATES_PER_DAY)))
    triggers = rng.choice(len(TRIGGERS), functions, p=TRIGGER_SHARES)
    rows = [
        TraceRow(f"{TRIGGERS[trigger]}-{number}", TRIGGERS[trigger], tuple(_minutes(TRIGGERS[trigger], rate, rng)))
        for number, (rate, trigger) in enumerate(zip(rates.tolist(), triggers.tolist(), strict=True))
    ]
    return day_of(Trace(tuple(rows), 0, 0), seed)


def _minutes(trigger: str, rate: float, rng: np.random.Generator) -> list[int]:
    """Invocations in every minute of the day."""
    if trigger == "timer":
        counts = np.zeros(MINUTES, np.int64)
        period = min(PERIODS_MINUTES, key=lambda minutes: abs(np.log(minutes * rate / MINUTES)))
        counts[rng.integers(period) :: period] = 1
    elif trigger == "http":
        peak = rng.random()
        swing = 1 + DAY_SWING * np.sin(2 * np.pi * (np.arange(MINUTES) / MINUTES + peak))
        counts = rng.poisson(rate / MINUTES * swing)
    else:
        gaps = rng.lognormal(np.log(MINUTES / rate) - BURSTINESS**2 / 2, BURSTINESS, int(rate * 2) + 8)
        times = np.cumsum(gaps) - gaps[0] * rng.random()
        counts = np.bincount(times[times < MINUTES].astype(np.int64), minlength=MINUTES)
    told: list[int] = counts.tolist()
    return told


def day_of(trace: Trace, seed: int) -> Day:
    """A trace tells counts per minute; within a minute invocations lie evenly, each function's with its own offset.

    It does not tell how long they take, what memory they need and how long they take to start: drawn, as above.
    """
    rng = np.random.default_rng([seed, 1])
    rows = len(trace.rows)
    offsets = rng.random(rows)
    durations_ns = np.minimum(rng.lognormal(np.log(1e9), 2.0, rows), 60e9)
    sizes_mb = np.clip(rng.lognormal(np.log(170), np.log(400 / 170) / 1.2816, rows), 128, 10_240)
    cold_ns = np.exp(rng.uniform(np.log(0.2e9), np.log(5e9), rows))
    spells = [
        _spells(number, np.array(row.counts, np.int64), offsets[number], durations_ns[number])
        for number, row in enumerate(trace.rows)
    ]
    joined = np.concatenate(spells, axis=1)
    functions, begins, ends, counts, busy = joined[:, np.lexsort((joined[0], joined[1]))]
    sizes: list[int] = sizes_mb.astype(np.int64).tolist()
    colds: list[int] = cold_ns.astype(np.int64).tolist()
    return Day(functions, begins, ends, counts, busy, sizes, colds, trace.left_out_rows)


def _spells(function: int, counts: Longs, offset: float, duration_ns: float) -> Longs:
    """Rows: function, begin, end, count, busy time."""
    minutes = np.flatnonzero(counts)
    count = counts[minutes]
    first = ((minutes + offset / count) * MINUTE_NS).astype(np.int64)
    last = ((minutes + (count - 1 + offset) / count) * MINUTE_NS).astype(np.int64)
    far = first[1:] - last[:-1] >= MINUTE_NS
    long = minutes[1:] // SPELL_MINUTES != minutes[:-1] // SPELL_MINUTES
    starts = np.flatnonzero(np.concatenate(([True], far | long))) if len(minutes) else minutes
    begin = first[starts]
    sums = np.add.reduceat(count, starts) if len(starts) else count
    stops = np.append(starts[1:], len(minutes)) - 1 if len(starts) else starts
    end = last[stops] + int(duration_ns)
    busy = np.minimum((sums * duration_ns).astype(np.int64), end - begin)
    return np.stack([np.full(len(starts), function), begin, end, sums, busy])
