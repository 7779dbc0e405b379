"""F5: how often each latency was seen. Samples are counted in batches by numpy; the reading is HdrHistogram's.

`Counts` has HdrHistogram's own buckets (lowest 64 ns apart, then 3 significant digits, up to an hour): `record_value`
would take most of a microsecond of Python per sample, counting a batch takes a twentieth. `as_histogram` hands over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

LOWEST_NS: Final = 64
HIGHEST_NS: Final = 3_600_000_000_000
DIGITS: Final = 3
UNIT_BITS: Final = 6  # 64 ns
MANTISSA_BITS: Final = 11  # 2,048 steps hold 3 digits
HALF: Final = 1 << (MANTISSA_BITS - 1)
BUCKETS: Final = 27_648
CHUNK: Final = 1 << 20  # made-up samples counted at once

Array = NDArray[np.int64]


class Counts:
    """A count per bucket, 0.2 MB whatever comes."""

    __slots__ = ("of",)

    def __init__(self) -> None:
        self.of: Array = np.zeros(BUCKETS, np.int64)

    def add(self, values_ns: Array, times: int | Array = 1) -> None:
        """Count a batch; what is over an hour counts as an hour."""
        np.add.at(self.of, buckets(values_ns), times)

    def total(self) -> int:
        return int(self.of.sum())

    def percentile_ns(self, percentile: float) -> int:
        """0 where nothing was counted."""
        return self.percentiles_ns([percentile])[0]

    def percentiles_ns(self, percentiles: list[float]) -> list[int]:
        """The highest value of the bucket that holds each percentile."""
        up_to = self.of.cumsum()
        total = int(up_to[-1])
        wanted = [max(1, int(percentile / 100 * total + 0.5)) for percentile in percentiles]
        return [highest_ns(int(at)) if total else 0 for at in up_to.searchsorted(wanted)]

    def clear(self) -> None:
        self.of.fill(0)


def buckets(values_ns: Array) -> Array:
    """Where each value is counted: HdrHistogram's index."""
    units = np.clip(values_ns, 0, HIGHEST_NS) >> UNIT_BITS
    shifts = np.maximum(np.frexp(units)[1].astype(np.int64) - MANTISSA_BITS, 0)
    found: Array = shifts * HALF + (units >> shifts)
    return found


def _shift(bucket: int) -> int:
    return max(0, bucket // HALF - 1)


def lowest_ns(bucket: int) -> int:
    shift = _shift(bucket)
    return (bucket - shift * HALF) << (shift + UNIT_BITS)


def highest_ns(bucket: int) -> int:
    return lowest_ns(bucket) + (1 << (_shift(bucket) + UNIT_BITS)) - 1


def seen(counts: Counts) -> Iterator[tuple[int, int]]:
    """(lowest value of the bucket, count), ascending, of buckets that are not empty."""
    for bucket in np.flatnonzero(counts.of):
        yield lowest_ns(int(bucket)), int(counts.of[bucket])


def as_histogram(counts: Counts) -> HdrHistogram:
    """The same counts as an HdrHistogram in nanoseconds."""
    histogram = HdrHistogram(LOWEST_NS, HIGHEST_NS, DIGITS)
    for value_ns, count in seen(counts):
        histogram.record_value(value_ns, count)
    return histogram


def corrected(counts: Counts, interval_ns: int) -> Counts:
    """With what a stalled closed-loop caller left out: HdrHistogram's correction for coordinated omission.

    A caller that means to call every `interval_ns` and waited v for one answer would have sent others meanwhile, which
    would have waited v - interval, v - 2 x interval, ... down to the interval. Each is counted as if it had been sent.
    This is the rule of the Java and C libraries; the Python one also counts a remainder below the interval.
    """
    made = Counts()
    made.of += counts.of
    for value_ns, count in seen(counts):
        first = value_ns - interval_ns
        while first >= interval_ns > 0:
            last = max(interval_ns, first - (CHUNK - 1) * interval_ns)
            missing = np.arange(first, last - 1, -interval_ns, dtype=np.int64)
            made.add(missing, count)
            first = int(missing[-1]) - interval_ns
    return made
