"""F1: Lambda's metrics: what one minute of a function's version is, and how each metric is read from it.

Names and units: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
A count's samples are one for each request, 1 or 0, so that the average of Errors is the error rate, as in CloudWatch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, NamedTuple, TypeAlias

from .._ext.series import merged, percentile_ns
from ..errors import InvalidParameterValueException

NS_PER_MS: Final = 1e6
Packed: TypeAlias = tuple[int, int, int, int, bytes]  # count, sum, least, most of times in ns, and their buckets


@dataclass(frozen=True, slots=True)
class Summary:
    """Samples of one metric. `buckets` are of times in ns, and None where all samples are 0, 1 or one number."""

    count: int
    total: float
    least: float
    most: float
    buckets: bytes | None = None
    is_gauge: bool = False  # of several versions together it is their sum

    @classmethod
    def of_ns(cls, told: Packed) -> Summary | None:
        """Times, in milliseconds from now on; None of no times."""
        count, total, least, most, buckets = told
        return cls(count, total / NS_PER_MS, least / NS_PER_MS, most / NS_PER_MS, buckets) if count else None

    def then(self, other: Summary) -> Summary:
        """With the samples of another time."""
        buckets = None if self.buckets is None or other.buckets is None else merged(self.buckets, other.buckets)
        least, most = min(self.least, other.least), max(self.most, other.most)
        return Summary(self.count + other.count, self.total + other.total, least, most, buckets, self.is_gauge)

    def beside(self, other: Summary) -> Summary:
        """With another version's of the same time."""
        if not self.is_gauge:
            return self.then(other)
        total = self.most + other.most
        return Summary(1, total, total, total, None, True)

    def percentile(self, percent: float) -> float:
        """At most 6.25 % too high."""
        if self.buckets is not None:
            return max(self.least, min(self.most, percentile_ns(self.buckets, percent) / NS_PER_MS))
        if self.least == self.most or self.is_gauge:
            return self.most
        return self.most if percent > 100 * (1 - self.total / self.count) else self.least  # of zeros and ones


@dataclass(slots=True)
class Minute:
    """What was counted in a time, and the most of what was at once."""

    invocations: int = 0
    errors: int = 0
    throttles: int = 0
    provisioned: int = 0
    spillover: int = 0
    received: int = 0
    dropped: int = 0
    recursive: int = 0
    dead_letter_errors: int = 0
    delivery_failures: int = 0
    concurrency: int = 0
    provisioned_concurrency: int = 0
    provisioned_available: int = 0
    durations: Summary | None = None
    ages: Summary | None = None

    def copy(self) -> Minute:
        return replace(self)

    def follow(self, other: Minute) -> None:
        """Add another time's."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in PEAKS:
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        for name in SUMMARIES:
            setattr(self, name, _joined(getattr(self, name), getattr(other, name)))


PEAKS: Final = ("concurrency", "provisioned_concurrency", "provisioned_available")
SUMMARIES: Final = ("durations", "ages")
COUNTS: Final = tuple(each.name for each in fields(Minute) if each.name not in (*PEAKS, *SUMMARIES))


def _joined(one: Summary | None, other: Summary | None) -> Summary | None:
    if one is None or other is None:
        return other if one is None else one
    return one.then(other)


def combined(summaries: Iterable[Summary | None]) -> Summary | None:
    """Of several versions together; None where none has any."""
    whole: Summary | None = None
    for summary in summaries:
        if summary is not None:
            whole = summary if whole is None else whole.beside(summary)
    return whole


class Metric(NamedTuple):
    """`summary` gives None where a minute has no sample."""

    unit: str
    summary: Callable[[Minute], Summary | None]


def _ones(part: int, whole: int) -> Summary | None:
    """Samples of 0 and 1: `part` ones among `whole`."""
    count = max(part, whole)
    return Summary(count, part, float(part == count), float(part > 0)) if count else None


def _gauge(value: float) -> Summary | None:
    return Summary(1, value, value, value, None, True) if value else None


def _used(minute: Minute) -> Summary | None:
    if not minute.provisioned_available:
        return None
    share = minute.provisioned_concurrency / minute.provisioned_available
    return Summary(1, share, share, share)


METRICS: Final[Mapping[str, Metric]] = {
    "Invocations": Metric("Count", lambda m: _ones(m.invocations, m.invocations)),
    "Errors": Metric("Count", lambda m: _ones(m.errors, m.invocations)),
    "Throttles": Metric("Count", lambda m: _ones(m.throttles, m.invocations + m.throttles)),
    "Duration": Metric("Milliseconds", lambda m: m.durations),
    "ConcurrentExecutions": Metric("Count", lambda m: _gauge(m.concurrency)),
    "ProvisionedConcurrencyInvocations": Metric("Count", lambda m: _ones(m.provisioned, m.provisioned)),
    "ProvisionedConcurrencySpilloverInvocations": Metric("Count", lambda m: _ones(m.spillover, m.spillover)),
    "ProvisionedConcurrentExecutions": Metric("Count", lambda m: _gauge(m.provisioned_concurrency)),
    "ProvisionedConcurrencyUtilization": Metric("Count", _used),
    "AsyncEventsReceived": Metric("Count", lambda m: _ones(m.received, m.received)),
    "AsyncEventAge": Metric("Milliseconds", lambda m: m.ages),
    "AsyncEventsDropped": Metric("Count", lambda m: _ones(m.dropped, m.dropped)),
    "RecursiveInvocationsDropped": Metric("Count", lambda m: _ones(m.recursive, m.recursive)),
    "DeadLetterErrors": Metric("Count", lambda m: _ones(m.dead_letter_errors, m.dead_letter_errors)),
    "DestinationDeliveryFailures": Metric("Count", lambda m: _ones(m.delivery_failures, m.delivery_failures)),
}


def checked_query(
    metrics: Sequence[str], start_ms: int, end_ms: int, period_s: int, percentiles: Sequence[float]
) -> None:
    """Raises InvalidParameterValueException for what cannot be asked."""
    for metric in metrics:
        if metric not in METRICS:
            raise InvalidParameterValueException(f"metric {metric!r} is none: choose from {', '.join(METRICS)}")
    if period_s < 60 or period_s % 60:
        raise InvalidParameterValueException(f"period_s={period_s}: use a multiple of 60")
    if start_ms >= end_ms:
        raise InvalidParameterValueException(f"start_ms={start_ms} is not before end_ms={end_ms}")
    for percent in percentiles:
        if not 0 <= percent <= 100:
            raise InvalidParameterValueException(f"percentile {percent:g}: use 0 to 100")
