"""F3: what is only counted, read at every minute's end, so that it belongs to a minute. Everything is on the loop.

Throttles, concurrency, provisioned concurrency and events have counters that somebody reads here; invocations with
their durations come from the ledger's thread. A question about metrics samples first, so that it sees all there is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from .._ext.event import EventQueue
from .._ext.series import taken
from ..clock import Timer
from ..records.metrics import Minute, Summary
from ..records.series import Series
from ..store.snapshot import LATEST
from .dispatch import Dispatch
from .provisioned import ProvisionedConcurrency
from .snapshots import After
from .supervisor import Supervisor

MINUTE_S: Final = 60.0
QUEUE_COUNTS: Final = {  # of a queue, by what a minute calls them
    "received": "received",
    "dropped": "lost",
    "recursive": "recursive",
    "dead_letter_errors": "undead",
    "delivery_failures": "undelivered",
}


class Sampler:
    """`queues` gives those of all events."""

    def __init__(
        self,
        series: Series,
        dispatch: Dispatch,
        supervisor: Supervisor,
        provisioned: ProvisionedConcurrency,
        queues: Callable[[], Iterable[EventQueue]],
        after: After,
    ) -> None:
        self._series = series
        self._dispatch = dispatch
        self._supervisor = supervisor
        self._provisioned = provisioned
        self._queues = queues
        self._after = after
        self._timer: Timer | None = None
        self._seen: dict[object, dict[str, int]] = {}  # what counters had shown, by whose they are

    def begin(self) -> None:
        """Sample at the end of every minute of the wall clock from now on."""
        self._timer = self._after(MINUTE_S - time.time() % MINUTE_S, self._minute_ends)

    def close(self) -> None:
        """Sample no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _minute_ends(self) -> None:
        self.sample(round(time.time() / MINUTE_S) - 1)
        self.begin()

    def sample(self, minute: int | None = None) -> None:
        """Add what was counted since the last time to a minute since 1970; None is the present one."""
        at = int(time.time() // MINUTE_S) if minute is None else minute
        seen, self._seen = self._seen, {}
        self._sample_versions(at, seen)
        for queue in self._queues():
            self._sample_queue(at, queue, seen)

    def _sample_versions(self, at: int, seen: dict[object, dict[str, int]]) -> None:
        for (function, version), (meter, _) in list(self._dispatch.books.items()):
            now = meter.outstanding
            peak, meter.peak = max(meter.peak, now), now
            row = Minute(concurrency=peak, throttles=self._gained(seen, meter, throttles=meter.throttles)["throttles"])
            self._add_provisioned(row, function, version, seen)
            if peak or row.throttles:
                self._series.add(function, version, at, row)

    def _add_provisioned(self, row: Minute, function: str, version: str, seen: dict[object, dict[str, int]]) -> None:
        told: dict[str, Any] | None = self._provisioned.statistics(function, version)
        if told is None:
            return
        row.provisioned_available = told["available"]
        row.provisioned_concurrency = min(row.concurrency, told["available"])
        gained = self._gained(seen, (function, version), spillover=told["spillover_invocations"])
        row.spillover = max(0, gained["spillover"])

    def _sample_queue(self, at: int, queue: EventQueue, seen: dict[object, dict[str, int]]) -> None:
        counts = {name: getattr(queue, theirs) for name, theirs in QUEUE_COUNTS.items()}
        row = Minute(ages=Summary.of_ns(taken(queue.ages_lately)))
        for name, gained in self._gained(seen, queue, **counts).items():
            setattr(row, name, gained)
        if row.ages is not None or row != Minute():
            self._series.add(queue.function, queue.qualifier or LATEST, at, row)

    def _gained(self, seen: dict[object, dict[str, int]], whose: object, **counts: int) -> dict[str, int]:
        """What counters show more than the last time."""
        before = seen.get(whose, {})
        self._seen[whose] = counts
        return {name: value - before.get(name, 0) for name, value in counts.items()}
