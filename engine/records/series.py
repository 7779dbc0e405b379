"""F1: Lambda's metrics by minute, of each function and version. Nothing here is done per invocation.

THREE TIERS. Every row is added to a minute, to five minutes and to an hour, and each tier forgets what is older than it
keeps, or the oldest where it has `ROWS_MAX`. So a question is answered by the coarsest tier that fits its period and
begins early enough. In memory: what an engine has counted goes with it; the ledger's sums stay.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..model import MetricName, MetricPoint, MetricSeries
from .metrics import METRICS, Minute, Packed, Summary, combined

ROWS_MAX: Final = 50_000  # of a tier
MINUTE_MS: Final = 60_000


class Key(NamedTuple):
    """`qualifier` is a version; of events an alias where they were sent to one."""

    function: str
    qualifier: str


@dataclass(slots=True)
class Tier:
    """Rows by the number of their period since 1970, then by key."""

    period_s: int
    kept_s: int
    rows: dict[int, dict[Key, Minute]] = field(default_factory=dict)
    count: int = 0

    def add(self, key: Key, minute: int, row: Minute) -> None:
        number = minute * 60 // self.period_s
        by_key = self.rows.setdefault(number, {})
        there = by_key.get(key)
        if there is None:
            by_key[key] = row.copy()
            self.count += 1
            self._forget(max(self.rows) - self.kept_s // self.period_s)
        else:
            there.follow(row)

    def _forget(self, oldest: int) -> None:
        while len(self.rows) > 1 and ((first := min(self.rows)) < oldest or self.count > ROWS_MAX):
            self.count -= len(self.rows.pop(first))


class Series:
    """What was counted; any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tiers = (Tier(60, 10_800), Tier(300, 86_400), Tier(3_600, 1_296_000))

    def add(self, function: str, qualifier: str, minute: int, row: Minute) -> None:
        """Add to what one minute (since 1970) has of a function's version."""
        with self._lock:
            for tier in self._tiers:
                tier.add(Key(function, qualifier), minute, row)

    def add_invocations(
        self, function: str, version: str, minute: int, invocations: int, errors: int, provisioned: int, took: Packed
    ) -> None:
        """What the ledger counted."""
        row = Minute(invocations=invocations, errors=errors, provisioned=provisioned, durations=Summary.of_ns(took))
        self.add(function, version, minute, row)

    def names(self) -> list[MetricName]:
        """Of what there are points, by function, version and metric."""
        with self._lock:
            found = {
                (*key, metric)
                for tier in self._tiers
                for by_key in tier.rows.values()
                for key, row in by_key.items()
                for metric, reader in METRICS.items()
                if reader.summary(row) is not None
            }
        return [MetricName(metric, function, version) for function, version, metric in sorted(found)]

    def points(
        self,
        metrics: Sequence[str],
        *,
        function: str | None,
        versions: Sequence[str],
        start_ms: int,
        end_ms: int,
        period_s: int,
        percentiles: Sequence[float],
    ) -> list[MetricSeries]:
        """One series for each metric, with a point for every period in which it has one, by time."""
        tier = self._tier(start_ms, period_s)
        found: dict[str, dict[int, Summary]] = {metric: {} for metric in metrics}
        origin_ms = start_ms // (tier.period_s * 1_000) * tier.period_s * 1_000
        with self._lock:
            for number in sorted(tier.rows):
                at_ms = number * tier.period_s * 1_000
                if not origin_ms <= at_ms < end_ms:
                    continue
                rows = [row for key, row in tier.rows[number].items() if _wanted(key, function, versions)]
                begin_ms = at_ms - (at_ms - origin_ms) % (period_s * 1_000)
                for metric, by_time in found.items():
                    _follow(by_time, begin_ms, combined(METRICS[metric].summary(row) for row in rows))
        return [
            MetricSeries(metric, METRICS[metric].unit, tuple(_points(by_time, percentiles)))
            for metric, by_time in found.items()
        ]

    def _tier(self, start_ms: int, period_s: int) -> Tier:
        """The finest that begins early enough, or the coarsest that fits; both must divide the period."""
        fitting = [tier for tier in self._tiers if period_s % tier.period_s == 0]
        with self._lock:
            newest_ms = max((max(tier.rows, default=0) * tier.period_s * 1_000 for tier in self._tiers), default=0)
        for tier in fitting:
            if start_ms >= newest_ms - tier.kept_s * 1_000:
                return tier
        return fitting[-1]


def _wanted(key: Key, function: str | None, versions: Sequence[str]) -> bool:
    return function in (None, key.function) and (not versions or key.qualifier in versions)


def _follow(by_time: dict[int, Summary], begin_ms: int, summary: Summary | None) -> None:
    if summary is None:
        return
    before = by_time.get(begin_ms)
    by_time[begin_ms] = summary if before is None else before.then(summary)


def _points(by_time: Mapping[int, Summary], percentiles: Iterable[float]) -> Iterator[MetricPoint]:
    wanted = list(percentiles)
    for begin_ms, summary in by_time.items():
        told = {f"{percent:g}": summary.percentile(percent) for percent in wanted}
        floats = float(summary.total), float(summary.least), float(summary.most)
        yield MetricPoint(begin_ms, summary.count, *floats, told)
