"""F5: GetMetricData: several metrics, one statistic each, in pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from ..call import Call
from ..codecs.contract import Refusal
from ..logs.paging import read_token, token_of
from .asked import Statistic, period_of, range_of, series_of

POINTS_MAX: Final = 100_800  # of a page
QUERIES_MAX: Final = 500
NEWEST_FIRST: Final = "TimestampDescending"


@dataclass(frozen=True, slots=True)
class Answered:
    """One query's points in the order of the scan: (Unix time in ms, value)."""

    id: str
    label: str
    points: list[tuple[int, float]]


async def get_metric_data(call: Call) -> Mapping[str, Any]:
    """A page ends in the middle of a query where it is full; its token says behind which of its points."""
    given = call.given
    queries = given["MetricDataQueries"]
    _check(queries)
    times_ms = range_of(given["StartTime"], given["EndTime"])
    newest_first = given.get("ScanBy", NEWEST_FIRST) == NEWEST_FIRST
    first, behind_ms = _place(given.get("NextToken"))
    room = min(int(given.get("MaxDatapoints") or POINTS_MAX), POINTS_MAX)
    results: list[dict[str, Any]] = []
    token: str | None = None
    for number, query in enumerate(queries[first:], first):
        if not query.get("ReturnData", True):
            continue
        if room == 0:
            token = token_of(number, 0)
            break
        answered = await _answer(call, query, times_ms, newest_first)
        points = _behind(answered.points, behind_ms if number == first else 0, newest_first)
        taken = points[:room]
        room -= len(taken)
        results.append(_shape(answered, taken, is_whole=len(taken) == len(points)))
        if len(taken) < len(points):
            token = token_of(number, taken[-1][0])
            break
    return {"MetricDataResults": results, "NextToken": token, "Messages": []}


def _check(queries: Sequence[Mapping[str, Any]]) -> None:
    """Raises Refusal."""
    if len(queries) > QUERIES_MAX:
        raise Refusal("ValidationException", f"at most {QUERIES_MAX} MetricDataQueries can be asked at once")
    for query_id, times in Counter(query["Id"] for query in queries).items():
        if times > 1:
            raise Refusal("ValidationException", f"The ID '{query_id}' is not unique within this request.")
    for query in queries:
        if query.get("Expression") is not None:
            told = f"Expression of '{query['Id']}' is not supported: this engine answers MetricStat alone"
            raise Refusal("ValidationException", told)
        if query.get("MetricStat") is None:
            told = f"Exactly one of MetricStat and Expression must be specified for '{query['Id']}'."
            raise Refusal("ValidationException", told)


async def _answer(call: Call, query: Mapping[str, Any], times_ms: tuple[int, int], newest_first: bool) -> Answered:
    asked = query["MetricStat"]
    metric = asked["Metric"]
    if "MetricName" not in metric or "Namespace" not in metric:
        raise Refusal("ValidationException", f"Namespace and MetricName must be specified for '{query['Id']}'.")
    statistic = Statistic.of(asked["Stat"], extended=True)
    found = await series_of(call, metric, asked.get("Unit"), times_ms, period_of(asked["Period"]), [statistic])
    points = [] if found is None else [(point.start_ms, statistic.value(point)) for point in found.points]
    label = query.get("Label") or metric["MetricName"]
    return Answered(query["Id"], label, points[::-1] if newest_first else points)


def _behind(points: list[tuple[int, float]], behind_ms: int, newest_first: bool) -> list[tuple[int, float]]:
    """Those that come after the point of this time in the scan; 0 is before all."""
    if not behind_ms:
        return points
    return [each for each in points if (each[0] < behind_ms if newest_first else each[0] > behind_ms)]


def _place(token: str | None) -> tuple[int, int]:
    """The number of a query, and the time of the point to go on behind. Raises Refusal."""
    if not token:
        return 0, 0
    try:
        first, behind_ms = read_token(token, int, int)
    except Refusal as refused:
        raise Refusal("InvalidNextToken", "The specified NextToken is invalid.") from refused
    return first, behind_ms


def _shape(answered: Answered, taken: Sequence[tuple[int, float]], *, is_whole: bool) -> dict[str, Any]:
    return {
        "Id": answered.id,
        "Label": answered.label,
        "Timestamps": [datetime.fromtimestamp(time_ms / 1_000, UTC) for time_ms, _ in taken],
        "Values": [value for _, value in taken],
        "StatusCode": "Complete" if is_whole else "PartialData",
    }
