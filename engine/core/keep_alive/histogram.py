"""F3: the hybrid histogram policy of "Serverless in the Wild" (Shahrad et al., USENIX ATC 2020, section 4.2).

Per function a histogram of idle times in bins of a minute up to four hours. Its 5th percentile, rounded down to a bin
and less 10 %, is when an environment is started ahead of need; its 99th, rounded up and 10 % more, is when it goes.

Where this differs from the paper, or the paper gives no number:
- The unit is a function version, not an application: it is what environments belong to.
- While too little is known or the histogram is too flat, `standard` is what holds; the paper's is four hours.
- "Too little" is fewer than `SAMPLES_LEAST` idle times.
- Where most idle times are over four hours the paper fits an ARIMA model. Here: when the last few agree with their
  median within the paper's margin of 15 %, the next is expected then (what such a model says of a timer); otherwise
  `standard`. Fitting a model would cost more than the cold starts it saves on one host.
- At `SAMPLES_MOST` all counts are halved: what a function does now outweighs what it did.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict, deque
from statistics import median
from typing import Final

from .contract import Key, Windows

BIN_NS: Final = 60_000_000_000
BINS: Final = 240
HEAD_PERCENT: Final = 5
TAIL_PERCENT: Final = 99
MARGIN_PERCENT: Final = 10
LEAST_CV: Final = 2  # of the bins' counts; below it they are too much alike to tell anything
SAMPLES_LEAST: Final = 5
SAMPLES_MOST: Final = 65_536
RARE_MARGIN_PERCENT: Final = 15
RARE_LEAST, RARE_MOST = 3, 8  # idle times beyond the histogram that are looked at
FUNCTIONS_MAX: Final = 10_000  # about 1 KiB each; at the bound the one that was idle longest is forgotten
LOOK_EVERY_NS: Final = 1_000_000_000  # to within a second, where bins are minutes


class Percentile:
    """The bin in which a percentile lies, followed as counts grow: it moves seldom, and not far."""

    __slots__ = ("_below", "_percent", "_place")

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._place = self._below = 0

    def added(self, place: int, count: int) -> None:
        if place < self._place:
            self._below += count

    def bin(self, counts: array[int], total: int) -> int:
        """The first bin up to whose end lies at least that share of `total`, which is above 0."""
        rank = -(-total * self._percent // 100)
        while self._below >= rank:
            self._place -= 1
            self._below -= counts[self._place]
        while self._below + counts[self._place] < rank:
            self._below += counts[self._place]
            self._place += 1
        return self._place


class IdleTimes:
    """What is known of one function."""

    __slots__ = ("beyond", "bin_ns", "counts", "head", "rare", "squares", "tail", "total", "windows")

    def __init__(self, bin_ns: int, bins: int) -> None:
        self.bin_ns = bin_ns
        self.head, self.tail = Percentile(HEAD_PERCENT), Percentile(TAIL_PERCENT)
        self.counts = array("I", bytes(4 * bins))
        self.total = self.squares = self.beyond = 0
        self.rare: deque[int] = deque(maxlen=RARE_MOST)
        self.windows: Windows | None = None  # worked out when it is asked for

    def add(self, idle_ns: int, count: int = 1) -> None:
        self.windows = None
        place = max(idle_ns, 0) // self.bin_ns
        if place >= len(self.counts):
            self.beyond += 1
            self.rare.append(idle_ns)
        else:
            count, before = min(count, SAMPLES_MOST), self.counts[place]
            self.counts[place] = before + count
            self.total += count
            self.squares += (2 * before + count) * count
            self.head.added(place, count)
            self.tail.added(place, count)
        if self.total + self.beyond >= SAMPLES_MOST:
            self._halve()

    def _halve(self) -> None:
        for place, count in enumerate(self.counts):
            self.counts[place] = count // 2
        self.total, self.squares = sum(self.counts), sum(count * count for count in self.counts)
        self.beyond //= 2
        self.head, self.tail = Percentile(HEAD_PERCENT), Percentile(TAIL_PERCENT)

    def learned(self) -> Windows | None:
        """What the paper's rules make of it; None where they say nothing."""
        if 2 * self.beyond > self.total + self.beyond:
            return self._rarely()
        if self.total + self.beyond < SAMPLES_LEAST or not self._tells():
            return None
        head, tail = self.head.bin(self.counts, self.total), self.tail.bin(self.counts, self.total) + 1
        prewarm_ns = head * self.bin_ns * (100 - MARGIN_PERCENT) // 100
        return Windows(prewarm_ns, tail * self.bin_ns * (100 + MARGIN_PERCENT) // 100 - prewarm_ns)

    def _tells(self) -> bool:
        """Whether the coefficient of variation of the bins' counts is large enough, in whole numbers."""
        return len(self.counts) * self.squares >= (LEAST_CV**2 + 1) * self.total**2

    def _rarely(self) -> Windows | None:
        if len(self.rare) < RARE_LEAST:
            return None
        expected, margin = int(median(self.rare)), RARE_MARGIN_PERCENT
        if any(100 * abs(idle_ns - expected) > margin * expected for idle_ns in self.rare):
            return None
        return Windows(expected * (100 - margin) // 100, expected * 2 * margin // 100)


class HybridHistogram:
    """`keep_alive_ns` holds where nothing was learned."""

    def __init__(
        self, keep_alive_ns: int, *, bin_ns: int = BIN_NS, bins: int = BINS, functions_max: int = FUNCTIONS_MAX
    ) -> None:
        self._standard = Windows(0, keep_alive_ns)
        self._bin_ns = bin_ns
        self._bins = bins
        self._functions_max = functions_max
        self._known: OrderedDict[Key, IdleTimes] = OrderedDict()

    @property
    def look_every_ns(self) -> int:
        return min(LOOK_EVERY_NS, self._standard.keep_alive_ns)

    def observe(self, key: Key, idle_ns: int, others: int = 0) -> None:
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= self._functions_max:
                self._known.popitem(last=False)
            known = self._known[key] = IdleTimes(self._bin_ns, self._bins)
        self._known.move_to_end(key)
        known.add(idle_ns)
        if others:
            known.add(0, others)

    def windows(self, key: Key) -> Windows:
        known = self._known.get(key)
        if known is None:
            return self._standard
        if known.windows is None:
            known.windows = known.learned() or self._standard
        return known.windows

    def forget(self, key: Key) -> None:
        self._known.pop(key, None)
