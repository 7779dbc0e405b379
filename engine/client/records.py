"""F2: the methods of both clients for metrics and logs: the same names, one to wait for and one that waits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..model import LogSlice, LogStream, LogSummary, MetricName, MetricSeries
from . import answers

T = TypeVar("T")


class AsynchronousRecords(ABC):
    """For event loops. `_ask` sends a request and reads its answer."""

    @abstractmethod
    async def _ask(self, method: str, reader: Callable[[Any], T], **arguments: Any) -> T: ...

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
        """Lambda's metrics by time; see `engine.Engine.metric_series`."""
        return await self._ask(
            "metric_series",
            answers.metric_series,
            metrics=list(metrics),
            function=function,
            versions=list(versions),
            start_ms=start_ms,
            end_ms=end_ms,
            period_s=period_s,
            percentiles=list(percentiles),
        )

    async def list_metrics(self) -> list[MetricName]:
        """Of what there are points."""
        return await self._ask("list_metrics", answers.metrics)

    async def log_summaries(self, *, log_group: str | None = None) -> list[LogSummary]:
        """Of every function that has a log."""
        return await self._ask("log_summaries", answers.log_summaries, log_group=log_group)

    async def log_streams(self, name: str) -> list[LogStream]:
        """What is still held of each environment's log."""
        return await self._ask("log_streams", answers.log_streams, name=name)

    async def log_events(
        self,
        name: str,
        *,
        after: str = "",
        before: str | None = None,
        streams: Sequence[str] = (),
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int | None = None,
    ) -> LogSlice:
        """Events of all versions; see `engine.Engine.log_events`."""
        return await self._ask(
            "log_events",
            answers.log_slice,
            name=name,
            after=after,
            before=before,
            streams=list(streams),
            start_ms=start_ms,
            end_ms=end_ms,
            limit=limit,
        )

    async def delete_logs(self, name: str) -> None:
        """Forget what a function has logged."""
        await self._ask("delete_logs", answers.nothing, name=name)


class BlockingRecords(ABC):
    """For threads. `_ask` sends a request and reads its answer."""

    @abstractmethod
    def _ask(self, method: str, reader: Callable[[Any], T], **arguments: Any) -> T: ...

    def metric_series(
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
        """Lambda's metrics by time; see `engine.Engine.metric_series`."""
        return self._ask(
            "metric_series",
            answers.metric_series,
            metrics=list(metrics),
            function=function,
            versions=list(versions),
            start_ms=start_ms,
            end_ms=end_ms,
            period_s=period_s,
            percentiles=list(percentiles),
        )

    def list_metrics(self) -> list[MetricName]:
        """Of what there are points."""
        return self._ask("list_metrics", answers.metrics)

    def log_summaries(self, *, log_group: str | None = None) -> list[LogSummary]:
        """Of every function that has a log."""
        return self._ask("log_summaries", answers.log_summaries, log_group=log_group)

    def log_streams(self, name: str) -> list[LogStream]:
        """What is still held of each environment's log."""
        return self._ask("log_streams", answers.log_streams, name=name)

    def log_events(
        self,
        name: str,
        *,
        after: str = "",
        before: str | None = None,
        streams: Sequence[str] = (),
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int | None = None,
    ) -> LogSlice:
        """Events of all versions; see `engine.Engine.log_events`."""
        return self._ask(
            "log_events",
            answers.log_slice,
            name=name,
            after=after,
            before=before,
            streams=list(streams),
            start_ms=start_ms,
            end_ms=end_ms,
            limit=limit,
        )

    def delete_logs(self, name: str) -> None:
        """Forget what a function has logged."""
        self._ask("delete_logs", answers.nothing, name=name)
