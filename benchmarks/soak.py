"""The service at full rate for minutes: how fast each minute was, and whether anything grows. The load: `soak_load`.

Flat means: the straight line through the samples from the second minute on rises by less than 1 % of their mean and
1 MB over that time (descriptors: 1 % and one). The first minute is for buffers of a fixed size to fill.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection as Pipe
from operator import attrgetter
from pathlib import Path
from statistics import fmean, linear_regression
from typing import Any, Final, NamedTuple

from engine.load.distribution import Counts, as_histogram

from . import soak_load
from .comparison import Verdict
from .contenders.engine_socket import EngineSocket
from .residents import ROLES, Residents, residents
from .soak_load import Second

WARM_S: Final = 60.0
LEAST_SAMPLES: Final = 30  # that a trend is drawn through
MEMORY_ALLOWED_BYTES: Final = 1_000_000
SHARE_ALLOWED: Final = 0.01
SLOWER_ALLOWED: Final = 2.0
PATIENCE_S: Final = 30.0  # for the load's process to say something


@dataclass(frozen=True, slots=True)
class Minute:
    """Latencies as callers saw them, one call in flight on each connection."""

    calls: int
    calls_per_s: float
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float


@dataclass(slots=True)
class Soaked:
    """Everything that was seen; `samples` with seconds from the beginning."""

    minutes: list[Minute] = field(default_factory=list)
    samples: list[tuple[float, Residents]] = field(default_factory=list)


class SoakedService(EngineSocket):
    """The engine's service, with as much of a ledger as the soak is to fill."""

    def __init__(self, ledger_bytes: int) -> None:
        self._ledger_bytes = ledger_bytes

    def command(self, folder: Path, address: Path) -> list[str]:
        self.ledger = folder / "data" / "ledger"
        return [*super().command(folder, address), "--ledger-bytes", str(self._ledger_bytes)]


def soak(minutes: float, connections: int, ledger_bytes: int, say: Callable[[str], None]) -> Soaked:
    """Start a service, load it, watch it, end it. Raises RuntimeError where a call failed."""
    soaked, service = Soaked(), SoakedService(ledger_bytes)
    service.open()
    try:
        service.warm_up()
        with _load(service.address, connections, minutes * 60) as pipe:
            seconds = _watch(pipe, service, soaked, say)
    finally:
        service.close()
    soaked.minutes = minutes_of(seconds, max(1, round(minutes)))
    return soaked


@contextmanager
def _load(address: Path, connections: int, seconds: float) -> Iterator[Pipe]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=soak_load.run, args=(address, connections, seconds, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.terminate()
        process.join()
        process.close()


def _watch(pipe: Pipe, service: SoakedService, soaked: Soaked, say: Callable[[str], None]) -> list[Second]:
    """Until the load has ended: what it said, with a look at the service every second."""
    seconds, began = list[Second](), time.monotonic()
    while True:
        if not pipe.poll(PATIENCE_S):
            raise RuntimeError(f"no call was answered for {PATIENCE_S:.0f} s")
        try:
            told = pipe.recv()
        except EOFError:
            return seconds
        if isinstance(told, Exception):
            raise told
        seconds.append(told)
        held = residents(service.pid, service.ledger)
        soaked.samples.append((time.monotonic() - began, held))
        say(
            f"{len(seconds)} s: {int(told.counts.sum()) / told.seconds:,.0f}/s, "
            f"service {held.rss_bytes['service'] / 1e6:.1f} MB, ledger {held.ledger_bytes / 1e6:,.0f} MB"
        )


def minutes_of(seconds: Sequence[Second], count: int) -> list[Minute]:
    """Seconds put together into `count` stretches of the same length."""
    each_s = sum(second.seconds for second in seconds) / count
    counts, took_s, at_s = [Counts() for _ in range(count)], [0.0] * count, 0.0
    for second in seconds:
        which = min(count - 1, int(at_s / each_s + 0.001))
        counts[which].of[second.buckets] += second.counts
        took_s[which] += second.seconds
        at_s += second.seconds
    return [_minute(*minute) for minute in zip(counts, took_s, strict=True)]


def _minute(counts: Counts, took_s: float) -> Minute:
    histogram, calls = as_histogram(counts), counts.total()
    at = {percent: histogram.get_value_at_percentile(percent) / 1e3 for percent in (50, 99, 99.9)}
    return Minute(calls, calls / took_s, at[50], at[99], at[99.9], histogram.get_max_value() / 1e3)


# --- verdicts ---------------------------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """Something that must not grow: how much of it there may be more at the end, beside the share."""

    name: str
    of: Callable[[Residents], dict[str, int]]
    allowed: float
    told: Callable[[float], str]


KINDS: Final = (
    Kind("memory", attrgetter("rss_bytes"), MEMORY_ALLOWED_BYTES, lambda rss_bytes: f"{rss_bytes / 1e6:.2f} MB"),
    Kind("descriptors", attrgetter("descriptors"), 1, lambda count: f"{count:.1f}"),
)


def verdicts(soaked: Soaked, ledger_bytes: int) -> list[Verdict]:
    """What has to hold; not measured where the soak was too short to tell."""
    flat = [_flat(kind, role, soaked) for kind in KINDS for role in ROLES]
    return [*flat, _as_quick(soaked.minutes), _bounded(soaked, ledger_bytes)]


def _flat(kind: Kind, role: str, soaked: Soaked) -> Verdict:
    """Of environments what each has: that there come to be more of them is the scaling's doing, and no leak."""
    what, allowed = f"{kind.name} of {role}", kind.told(kind.allowed)
    target = f"rises by < {allowed} + {SHARE_ALLOWED:.0%} from minute 2 to the end"
    points = [
        (at_s, kind.of(held)[role] / (max(1, held.environments) if role == "environments" else 1))
        for at_s, held in soaked.samples
        if at_s >= WARM_S
    ]
    if len(points) < LEAST_SAMPLES:
        return Verdict(what, target, "too short to tell", None)
    rise, mean = rise_of(points), fmean(value for _, value in points)
    return Verdict(what, target, f"{kind.told(rise)} on {kind.told(mean)}", rise < kind.allowed + SHARE_ALLOWED * mean)


def rise_of(points: Sequence[tuple[float, float]]) -> float:
    """How much the straight line through points rises from the first to the last."""
    times = [at_s for at_s, _ in points]
    slope = linear_regression(times, [value for _, value in points]).slope
    return slope * (times[-1] - times[0])


def _as_quick(minutes: Sequence[Minute]) -> Verdict:
    what, target = "p99.9 of the last minute", f"≤ {SLOWER_ALLOWED:g}x the first minute's"
    if len(minutes) < 2:
        return Verdict(what, target, "too short to tell", None)
    first, last = minutes[0].p999_us, minutes[-1].p999_us
    return Verdict(what, target, f"{last / first:.2f}x ({last:,.0f} / {first:,.0f} µs)", last <= SLOWER_ALLOWED * first)


def _bounded(soaked: Soaked, ledger_bytes: int) -> Verdict:
    most = max(held.ledger_bytes for _, held in soaked.samples)
    target = f"≤ {ledger_bytes / 1e6:,.0f} MB + 1 % + 1 MB, sums and all"
    met = most <= ledger_bytes * (1 + SHARE_ALLOWED) + MEMORY_ALLOWED_BYTES
    return Verdict("the ledger on disk", target, f"at most {most / 1e6:,.1f} MB", met)


def as_json(soaked: Soaked, stamp: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "stamp": stamp,
        "settings": settings,
        "minutes": [asdict(minute) for minute in soaked.minutes],
        "samples": [{"at_s": at_s, **asdict(held)} for at_s, held in soaked.samples],
        "targets": [asdict(verdict) for verdict in verdicts(soaked, settings["ledger_bytes"])],
    }
