"""F5: which points a metric's namespace, name, dimensions and statistic ask for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ...errors import ResourceNotFoundException
from ...model import MetricPoint, MetricSeries
from ...records.metrics import METRICS
from ..call import Call
from ..codecs.contract import Refusal

NAMESPACE: Final = "AWS/Lambda"
FUNCTION, RESOURCE, EXECUTED = "FunctionName", "Resource", "ExecutedVersion"
PERCENTILE: Final = re.compile(r"p(\d{1,2}(\.\d{0,10})?|100)", re.ASCII)
MINUTE_S: Final = 60
FINER_S: Final = (1, 5, 10, 20, 30)  # of high-resolution metrics, which Lambda's are not
LATEST: Final = "$LATEST"
PLAIN: Final[Mapping[str, Callable[[MetricPoint], float]]] = {
    "SampleCount": lambda point: point.count,
    "Average": lambda point: point.sum / point.count,
    "Sum": lambda point: point.sum,
    "Minimum": lambda point: point.minimum,
    "Maximum": lambda point: point.maximum,
}


@dataclass(frozen=True, slots=True)
class Target:
    """`function` None is all together; no `versions` is all of them."""

    function: str | None
    versions: tuple[str, ...] = ()


async def target_of(call: Call, dimensions: Iterable[Mapping[str, str]]) -> Target | None:
    """What these dimensions are about; None where there never is a point.

    An alias stands for the versions that it leads to now, and for the events that were sent to it.
    """
    given = {each["Name"]: each["Value"] for each in dimensions}
    if not given:
        return Target(None)
    function, resource, executed = (given.pop(name, None) for name in (FUNCTION, RESOURCE, EXECUTED))
    if given or function is None:
        return None
    if resource is None:
        return Target(function) if executed is None else None
    name, _, qualifier = resource.partition(":")
    if name != function:
        return None
    if executed is not None:
        return Target(function, (executed,))
    if qualifier in ("", LATEST) or qualifier.isdecimal():
        return Target(function, (qualifier or LATEST,))
    return Target(function, (qualifier, *await _versions_of(call, function, qualifier)))


async def _versions_of(call: Call, function: str, alias: str) -> tuple[str, ...]:
    try:
        found = await call.client.get_alias(function, alias)
    except ResourceNotFoundException:
        return ()
    return (found.function_version, *found.routing)


@dataclass(frozen=True, slots=True)
class Statistic:
    """One of CloudWatch's by its name: `Sum`, `p99.9`."""

    name: str

    @classmethod
    def of(cls, name: str, *, extended: bool) -> Statistic:
        """Raises Refusal for one that CloudWatch does not have, or this engine does not."""
        if name in PLAIN or (extended and PERCENTILE.fullmatch(name)):
            return cls(name)
        told = f"The statistic {name[:100]} is not supported: choose from {', '.join(PLAIN)}, or a percentile as p99.9"
        raise Refusal("InvalidParameterValueException", told)

    @property
    def percent(self) -> float | None:
        return None if self.name in PLAIN else float(self.name[1:])

    def value(self, point: MetricPoint) -> float:
        percent = self.percent
        return float(PLAIN[self.name](point) if percent is None else point.percentiles[f"{percent:g}"])


def period_of(period_s: int) -> int:
    """Lambda's metrics are by the minute, and finer periods have the same points. Raises Refusal."""
    if period_s in FINER_S:
        return MINUTE_S
    if period_s < MINUTE_S or period_s % MINUTE_S:
        told = f"The parameter Period must be 1, 5, 10, 20, 30 or any multiple of 60, and not {period_s}"
        raise Refusal("InvalidParameterValueException", told)
    return period_s


def range_of(start: datetime, end: datetime) -> tuple[int, int]:
    """Unix times in ms, the start rounded down to its minute. Raises Refusal."""
    start_ms, end_ms = int(start.timestamp() * 1_000), int(end.timestamp() * 1_000)
    if start_ms >= end_ms:
        told = "The parameter StartTime must be less than the parameter EndTime."
        raise Refusal("InvalidParameterValueException", told)
    return start_ms // 60_000 * 60_000, end_ms


async def series_of(
    call: Call,
    metric: Mapping[str, Any],
    unit: str | None,
    times_ms: tuple[int, int],
    period_s: int,
    statistics: Sequence[Statistic],
) -> MetricSeries | None:
    """Points of a metric; None of one that there is not, or not in this unit."""
    name = metric["MetricName"]
    if metric["Namespace"] != NAMESPACE or name not in METRICS or unit not in (None, METRICS[name].unit):
        return None
    target = await target_of(call, metric.get("Dimensions", ()))
    if target is None:
        return None
    (found,) = await call.client.metric_series(
        [name],
        function=target.function,
        versions=target.versions,
        start_ms=times_ms[0],
        end_ms=times_ms[1],
        period_s=period_s,
        percentiles=[each.percent for each in statistics if each.percent is not None],
    )
    return found
