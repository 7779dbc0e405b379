"""F3: the methods of `Engine` for metrics by time and for logs of all versions. Counting and keeping: `records/`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

from ..model import LogSlice, LogStream, LogSummary, MetricName, MetricSeries
from ..records.metrics import checked_query
from ..records.shelf import EVENTS_DEFAULT, NO_TIME, Shelf
from .control import Control
from .sampler import Sampler


class RecordsPlane(ABC):
    """What of an engine tells what happened. `_opened` raises where it is not open."""

    _sampler: Sampler

    @abstractmethod
    def _opened(self) -> Control: ...

    async def metric_series(
        self,
        metrics: Sequence[str],
        *,
        function: str | None = None,
        versions: Sequence[str] = (),
        start_ms: int,
        end_ms: int,
        period_s: int = 60,
        percentiles: Sequence[float] = (),
    ) -> list[MetricSeries]:
        """Lambda's metrics as CloudWatch has them, with a point for each period from `start_ms` to before `end_ms`.

        metrics: such as "Invocations", "Errors", "Throttles", "Duration" (ms), "ConcurrentExecutions". function: a
        bare name, of one that was deleted too; None is all together. versions: those of these alone, and aliases as far
        as events went to them. period_s: a multiple of 60; 60 reaches back 3 hours, of 300 a day, of 3,600 15 days, and
        no further than the engine was opened. percentiles: 0 to 100, at most 6.25 % too high. Of several versions
        together, concurrency is the sum of each one's most. Raises InvalidParameterValueException, and ServiceException
        when the ledger's disk fails.
        """
        ledger = self._opened().ledger
        checked_query(metrics, start_ms, end_ms, period_s, percentiles)
        self._sampler.sample()
        await asyncio.to_thread(ledger.flush)
        return await asyncio.to_thread(
            ledger.series.points,
            metrics,
            function=function,
            versions=versions,
            start_ms=start_ms,
            end_ms=end_ms,
            period_s=period_s,
            percentiles=percentiles,
        )

    async def list_metrics(self) -> list[MetricName]:
        """Of what there are points, by function, version and metric."""
        ledger = self._opened().ledger
        self._sampler.sample()
        await asyncio.to_thread(ledger.flush)
        return await asyncio.to_thread(ledger.series.names)

    async def log_summaries(self, *, log_group: str | None = None) -> list[LogSummary]:
        """Of every function that has a log, by name; only of those that log into one group if it is given."""
        control = self._opened()
        functions = [each for each in control.catalog.list_functions() if log_group in (None, each.log_group)]
        found = [
            shelf_of(control, each.function_name).summary(each.function_name, each.log_group) for each in functions
        ]
        return [summary for summary in found if summary is not None]

    async def log_streams(self, name: str) -> list[LogStream]:
        """What is still held of each environment's log, of all versions, by name of stream.

        Raises ResourceNotFoundException.
        """
        return self._shelf(name).streams()

    async def log_events(
        self,
        name: str,
        *,
        after: str = "",
        before: str | None = None,
        streams: Sequence[str] = (),
        start_ms: int = 0,
        end_ms: int = NO_TIME,
        limit: int = EVENTS_DEFAULT,
    ) -> LogSlice:
        """Events of a function's log, of all versions, from `start_ms` to before `end_ms` (Unix time).

        after: the cursor `after` of the page before; pages join without a gap or a repeat, whatever is logged
        meanwhile. before: the other direction: the newest that come before this cursor; "" is the end of the log.
        streams: those of these alone. limit: events, 1 to 10,000; a page also ends with 1 MiB of text. A cursor of a
        log that was deleted is none. Raises ResourceNotFoundException, InvalidParameterValueException.
        """
        shelf = self._shelf(name)
        return shelf.events(after=after, before=before, streams=streams, start_ms=start_ms, end_ms=end_ms, limit=limit)

    async def delete_logs(self, name: str) -> None:
        """Forget what a function has logged; what it logs from now on is kept. Raises ResourceNotFoundException."""
        self._shelf(name).clear()

    def _shelf(self, name: str) -> Shelf:
        control = self._opened()
        return shelf_of(control, control.catalog.resolve(name).function_name)


def shelf_of(control: Control, function: str) -> Shelf:
    """The logs of all versions of a function."""
    books = list(control.dispatch.books.items())
    return Shelf({version: book for (name, version), (_, book) in books if name == function})
