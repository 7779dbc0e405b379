"""F5: `/metrics`: what an engine has counted since it was opened, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from ..client.asynchronous import Client

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
VERSION: Final = ("function", "version")
QUEUE: Final = ("function", "qualifier")
COUNTERS: Final[Mapping[str, tuple[str, str]]] = {  # of a version, by what `stats` calls them
    "engine_invocations": ("invocations", "Invocations that ended."),
    "engine_errors": ("errors", "Invocations that ended with an error, time-outs among them."),
    "engine_timeouts": ("timeouts", "Invocations that ended for their time limit."),
    "engine_throttles": ("throttles", "Invocations that were refused for want of concurrency."),
    "engine_cold_starts": ("cold_starts", "Invocations that an environment was started for."),
    "engine_billed_milliseconds": ("billed_ms", "Billed time."),
}
EVENT_COUNTERS: Final[Mapping[str, tuple[str, str]]] = {
    "engine_async_events_received": ("AsyncEventsReceived", "Events that were accepted."),
    "engine_async_events_dropped": ("AsyncEventsDropped", "Events that were given up without success."),
    "engine_dead_letter_errors": ("DeadLetterErrors", "Dead letters that could not be delivered."),
    "engine_destination_delivery_failures": (
        "DestinationDeliveryFailures",
        "Results of events that could not be delivered.",
    ),
}


async def page(client: Client) -> bytes:
    """The whole text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(await client.stats()))
    return generate_latest(registry)


class _Told(Collector):
    """`stats` as families of metrics."""

    def __init__(self, stats: Mapping[str, Any]) -> None:
        self._stats = stats

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        versions = [
            ((function, version), told)
            for function, about in self._stats["functions"].items()
            for version, told in about["versions"].items()
        ]
        for name, (key, help_text) in COUNTERS.items():
            yield _counter(name, help_text, VERSION, ((labels, told[key]) for labels, told in versions))
        yield self._durations(versions)
        running = GaugeMetricFamily(
            "engine_concurrent_executions", "Invocations accepted and not answered.", labels=VERSION
        )
        environments = GaugeMetricFamily("engine_environments", "Environments that are ready.", labels=VERSION)
        for labels, told in versions:
            running.add_metric(labels, told["concurrency"])
            environments.add_metric(labels, told["environments"]["ready"])
        yield from (running, environments)
        yield from self._events()

    def _durations(self, versions: list[tuple[tuple[str, str], Mapping[str, Any]]]) -> Metric:
        durations = HistogramMetricFamily("engine_duration_seconds", "How long invocations ran.", labels=VERSION)
        for labels, told in versions:
            took = told["duration_ms"]
            buckets = [(repr(bound_ms / 1_000), float(count)) for bound_ms, count in told["duration_counts"]]
            everything = ("+Inf", float(took["count"]))
            durations.add_metric(labels, [*buckets, everything], took["mean"] * took["count"] / 1_000)
        return durations

    def _events(self) -> Iterator[Metric]:
        queues = [
            ((function, qualifier), told)
            for function, about in self._stats["functions"].items()
            for qualifier, told in about["events"].items()
        ]
        for name, (key, help_text) in EVENT_COUNTERS.items():
            yield _counter(name, help_text, QUEUE, ((labels, told[key]) for labels, told in queues))
        depth = GaugeMetricFamily("engine_async_events", "Events accepted and not done.", labels=QUEUE)
        for labels, told in queues:
            depth.add_metric(labels, told["depth"])
        yield depth


def _counter(name: str, help_text: str, labels: tuple[str, str], values: Any) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family
