"""What the ledger's thread counts by minute, beside an oracle; packed histograms; tiers and their bounds."""

from __future__ import annotations

import math
import struct
from collections import defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._ext.meter import Histogram
from engine._ext.series import Minutes, merged, percentile_ns, taken
from engine.errors import InvalidParameterValueException
from engine.model import MetricPoint
from engine.records import series
from engine.records.metrics import METRICS, Minute, Summary, checked_query
from engine.records.series import Series

MINUTE_NS = 60_000_000_000
RECORD = struct.Struct("<16sQQQQIIIHBB")
PROVISIONED, FAILED = 2, 1

durations_ns = st.integers(min_value=0, max_value=900 * 10**9)
records = st.tuples(
    st.integers(0, 40), st.integers(0, 5), durations_ns, st.sampled_from([0, 1, 2, 3]), st.integers(0, 4)
)


def record(source: int, minute: int, duration_ns: int, start: int, outcome: int) -> bytes:
    return RECORD.pack(bytes(16), minute * MINUTE_NS + 7, 0, duration_ns, 0, source, 1, 1, 1, start, outcome)


def histogram(values_ns: Sequence[int]) -> bytes:
    made = Histogram()
    for value_ns in values_ns:
        made.record(value_ns)
    return taken(made)[4]


@given(st.lists(records, max_size=300))
def test_every_record_is_counted_in_its_minute(given_records: list[tuple[int, int, int, int, int]]) -> None:
    minutes = Minutes()
    minutes.add(b"".join(record(*each) for each in given_records))
    expected: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    for source, minute, duration_ns, start, outcome in given_records:
        expected[source, minute].append((duration_ns, start, outcome))
    found = {(row[0], row[1]): row[2:] for row in minutes.drain()}
    assert found.keys() == expected.keys()
    for key, of_minute in expected.items():
        took = [duration_ns for duration_ns, _, _ in of_minute]
        invocations, errors, provisioned, (count, total_ns, least_ns, most_ns, buckets) = found[key]
        assert (invocations, count) == (len(of_minute), len(of_minute))
        assert errors == sum(outcome != 0 for _, _, outcome in of_minute)
        assert provisioned == sum(start == PROVISIONED for _, start, _ in of_minute)
        assert (total_ns, least_ns, most_ns, buckets) == (sum(took), min(took), max(took), histogram(took))
    assert minutes.drain() == []


def test_records_that_are_not_whole_are_refused() -> None:
    with pytest.raises(ValueError, match="65 bytes"):
        Minutes().add(bytes(65))


@given(st.lists(durations_ns, max_size=100), st.lists(durations_ns, max_size=100))
def test_packed_histograms_add_up(first: list[int], second: list[int]) -> None:
    assert merged(histogram(first), histogram(second)) == histogram(first + second)


@given(st.lists(durations_ns, min_size=1, max_size=200), st.floats(0, 100))
def test_a_percentile_is_at_most_a_sixteenth_too_high(values_ns: list[int], percent: float) -> None:
    exact = sorted(values_ns)[max(1, math.ceil(len(values_ns) * percent / 100)) - 1]
    assert exact <= percentile_ns(histogram(values_ns), percent) <= exact + exact / 16 + 1


def test_a_histogram_that_was_taken_is_empty() -> None:
    made = Histogram()
    assert taken(made) == (0, 0, 0, 0, b"")
    made.record(5)
    made.record(700)
    assert taken(made)[:4] == (2, 705, 5, 700)
    assert taken(made)[0] == 0
    made.record(9)
    assert taken(made)[:4] == (1, 9, 9, 9)


def test_counts_up_to_a_bound_ascend_to_all() -> None:
    made = Histogram()
    for value in (1, 3, 900, 1_000_000):
        made.record(value)
    assert made.counts_upto([0, 2, 10, 1_000, 2_000_000]) == [0, 1, 2, 3, 4]
    assert Histogram().counts_upto([1, 2]) == [0, 0]


def counted(minute_series: Series, start: int, end: int, period_s: int = 60, **asked: object) -> list[MetricPoint]:
    """Invocations from one minute to before another."""
    arguments = {"function": None, "versions": (), "percentiles": (), **asked}
    (found,) = minute_series.points(
        ["Invocations"],
        start_ms=start * 60_000,
        end_ms=end * 60_000,
        period_s=period_s,
        **arguments,  # type: ignore[arg-type]
    )
    return list(found.points)


@given(
    st.lists(st.tuples(st.integers(10_000, 10_170), st.sampled_from("abc"), st.integers(1, 9)), max_size=60),
    st.integers(9_990, 10_180),
    st.integers(1, 180),
    st.sampled_from([60, 120, 300, 3_600]),
)
@settings(max_examples=60)
def test_points_are_sums_of_their_periods(
    rows: list[tuple[int, str, int]], start: int, length: int, period_s: int
) -> None:
    made = Series()
    for minute, function, invocations in rows:
        made.add(function, "$LATEST", minute, Minute(invocations=invocations))
    expected: dict[int, int] = defaultdict(int)
    for minute, _, invocations in rows:
        if start <= minute < start + length:
            begin = minute - (minute - start) % (period_s // 60)
            expected[begin * 60_000] += invocations
    points = counted(made, start, start + length, period_s)
    assert {point.start_ms: point.sum for point in points} == expected


def test_a_function_and_its_versions_are_told_apart() -> None:
    made = Series()
    made.add("one", "$LATEST", 100, Minute(invocations=1))
    made.add("one", "7", 100, Minute(invocations=2))
    made.add("two", "7", 100, Minute(invocations=4))
    assert [point.sum for point in counted(made, 100, 101)] == [7]
    assert [point.sum for point in counted(made, 100, 101, function="one")] == [3]
    assert [point.sum for point in counted(made, 100, 101, function="one", versions=("7",))] == [2]
    assert counted(made, 100, 101, function="none") == []


def test_concurrency_is_summed_over_versions_and_the_most_over_time() -> None:
    made = Series()
    for minute, version, concurrency in ((100, "1", 3), (100, "2", 4), (101, "1", 5)):
        made.add("one", version, minute, Minute(concurrency=concurrency))
    (found,) = made.points(
        ["ConcurrentExecutions"], function=None, versions=(), start_ms=6_000_000, end_ms=6_120_000, period_s=120,
        percentiles=(50,),
    )  # fmt: skip
    assert [(point.maximum, point.minimum, point.count) for point in found.points] == [(7, 5, 2)]


def test_what_is_old_is_kept_coarser_and_then_not_at_all() -> None:
    made = Series()
    made.add("one", "1", 60, Minute(invocations=1))
    made.add("one", "1", 60 * 25, Minute(invocations=1))  # a day later: of the first the hour is left
    assert counted(made, 0, 2_000) == counted(made, 1_500, 2_000)
    assert [point.start_ms for point in counted(made, 0, 2_000, 3_600)] == [3_600_000, 90_000_000]
    made.add("one", "1", 60 * 24 * 20, Minute(invocations=1))
    assert len(counted(made, 0, 60 * 24 * 30, 3_600)) == 1


def test_there_are_never_more_rows_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "ROWS_MAX", 100)
    made = Series()
    for minute in range(50):
        for function in range(10):
            made.add(f"f{function}", "1", minute, Minute(invocations=1))
    assert sum(point.sum for point in counted(made, 0, 60)) == 100
    assert counted(made, 0, 60)[0].start_ms == 40 * 60_000


def test_errors_are_samples_of_zero_and_one() -> None:
    errors = METRICS["Errors"].summary(Minute(invocations=4, errors=1))
    assert errors == Summary(4, 1, 0.0, 1.0)
    assert (errors.percentile(75), errors.percentile(76)) == (0.0, 1.0)
    throttles = METRICS["Throttles"].summary(Minute(invocations=1, throttles=3))
    assert throttles == Summary(4, 3, 0.0, 1.0)
    assert METRICS["Errors"].summary(Minute()) is None


@pytest.mark.parametrize(
    ("metrics", "start_ms", "period_s", "percentiles", "told"),
    [
        (["Nonsense"], 0, 60, [], "choose from Invocations"),
        (["Errors"], 0, 61, [], "a multiple of 60"),
        (["Errors"], 0, 0, [], "a multiple of 60"),
        (["Errors"], 10, 60, [], "is not before"),
        (["Errors"], 0, 60, [101.0], "use 0 to 100"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    metrics: list[str], start_ms: int, period_s: int, percentiles: list[float], told: str
) -> None:
    with pytest.raises(InvalidParameterValueException, match=told):
        checked_query(metrics, start_ms, 10, period_s, percentiles)
