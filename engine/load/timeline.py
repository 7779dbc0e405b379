"""F5: a run over time, in bins of one width: rates, percentiles, cold starts, errors."""

from __future__ import annotations

from typing import Final

import numpy as np

from .distribution import Array, Counts

BINS_MAX: Final = 4_096  # what comes later is counted in the last one
WIDTHS_S: Final = (0.1, 0.25, 1, 2, 5, 10, 30, 60, 120, 300)
POINTS: Final = 300  # a plot has about this many at most
PERCENTILES: Final = (50.0, 90.0, 99.0)


def bin_width_s(duration_s: float) -> float:
    """The narrowest width that keeps a run of this length to `POINTS` bins; whole seconds from half a minute on."""
    fitting = (width for width in WIDTHS_S if duration_s <= width * POINTS)
    return next(fitting, WIDTHS_S[-1])


class Timeline:
    """Answers are counted where they came, arrivals where they were meant. Answers must come in order of time."""

    def __init__(self, start_ns: int, bin_ns: int) -> None:
        self.start_ns, self.bin_ns = start_ns, bin_ns
        self.asked_in, self.answered_in = np.zeros(BINS_MAX, np.int64), np.zeros(BINS_MAX, np.int64)
        self.cold_in, self.errors_in = np.zeros(BINS_MAX, np.int64), np.zeros(BINS_MAX, np.int64)
        self._open, self._open_bin, self._open_max_ns = Counts(), 0, 0
        self.latencies_ns: dict[int, tuple[int, int, int, int]] = {}  # by bin: p50, p90, p99, max

    def asked(self, at_ns: int) -> None:
        self.asked_in[self._bin(at_ns)] += 1

    def cold(self, at_ns: int) -> None:
        self.cold_in[self._bin(at_ns)] += 1

    def erred(self, at_ns: int) -> None:
        self.errors_in[self._bin(at_ns)] += 1

    def answered(self, intended_ns: Array, done_ns: Array, latency_ns: Array) -> None:
        np.add.at(self.asked_in, self._bins(intended_ns), 1)
        bins = self._bins(done_ns)
        np.add.at(self.answered_in, bins, 1)
        for number in np.unique(bins):
            self._enter(int(number))
            its = latency_ns[bins == number]
            self._open.add(its)
            self._open_max_ns = max(self._open_max_ns, int(its.max()))

    def close(self) -> None:
        """Reckon the percentiles of the bin that is being filled."""
        self._enter(BINS_MAX)

    @property
    def bins(self) -> int:
        """As far as anything was counted."""
        filled = np.flatnonzero(self.asked_in | self.answered_in | self.cold_in | self.errors_in)
        return int(filled[-1]) + 1 if len(filled) else 0

    def _enter(self, number: int) -> None:
        if number <= self._open_bin:
            return
        if self._open_max_ns:
            p50, p90, p99 = self._open.percentiles_ns(list(PERCENTILES))
            self.latencies_ns[self._open_bin] = (p50, p90, p99, self._open_max_ns)
            self._open.clear()
        self._open_bin, self._open_max_ns = number, 0

    def _bin(self, at_ns: int) -> int:
        return min(max(0, at_ns - self.start_ns) // self.bin_ns, BINS_MAX - 1)

    def _bins(self, at_ns: Array) -> Array:
        return np.clip((at_ns - self.start_ns) // self.bin_ns, 0, BINS_MAX - 1)
