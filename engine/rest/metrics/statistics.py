"""F5: GetMetricStatistics: one metric, several statistics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ...model import MetricPoint
from ..call import Call
from ..codecs.contract import Refusal
from .asked import Statistic, period_of, range_of, series_of

POINTS_MAX: Final = 1_440


async def get_metric_statistics(call: Call) -> Mapping[str, Any]:
    given = call.given
    plain = [Statistic.of(name, extended=False) for name in given.get("Statistics", ())]
    extended = [Statistic.of(name, extended=True) for name in given.get("ExtendedStatistics", ())]
    if not plain and not extended:
        told = "Must specify either Statistics or ExtendedStatistics"
        raise Refusal("InvalidParameterCombinationException", told)
    period_s, times_ms = period_of(given["Period"]), range_of(given["StartTime"], given["EndTime"])
    wanted = -(-(times_ms[1] - times_ms[0]) // (period_s * 1_000))
    if wanted > POINTS_MAX:
        told = f"You have requested up to {wanted:,} datapoints, which exceeds the limit of {POINTS_MAX:,}."
        way_out = "You may reduce the datapoints requested by increasing Period, or decreasing the time range."
        raise Refusal("InvalidParameterCombinationException", f"{told} {way_out}")
    found = await series_of(call, given, given.get("Unit"), times_ms, period_s, extended)
    points = [] if found is None else [_point(point, found.unit, plain, extended) for point in found.points]
    return {"Label": given["MetricName"], "Datapoints": points}


def _point(point: MetricPoint, unit: str, plain: list[Statistic], extended: list[Statistic]) -> dict[str, Any]:
    return {
        "Timestamp": datetime.fromtimestamp(point.start_ms / 1_000, UTC),
        **{each.name: each.value(point) for each in plain},
        "Unit": unit,
        "ExtendedStatistics": {each.name: each.value(point) for each in extended} or None,
    }
