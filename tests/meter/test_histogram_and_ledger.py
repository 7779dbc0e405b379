"""The compiled histogram beside a sorted list, and the ledger's ring."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from pathlib import Path

import pytest
from doors import DOORS, ONE_VCPU_MB, Door
from hypothesis import given
from hypothesis import strategies as st

from engine._ext.meter import Histogram, Ledger, Meter
from engine._ext.result import uuid_text

VALUES = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 1_000) | st.integers(10**3, 10**10), min_size=1)
PERCENTS = st.sampled_from([0, 0.1, 25, 50, 90, 99, 99.9, 100]) | st.floats(0, 100)
RECORDS = 100


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def true_percentile(values: list[int], percent: float) -> int:
    """The nearest-rank definition."""
    return sorted(values)[max(1, ceil(len(values) * percent / 100)) - 1]


@given(VALUES, PERCENTS)
def test_a_percentile_is_never_below_the_true_one_and_at_most_a_sixteenth_above(
    values: list[int], percent: float
) -> None:
    true, told = true_percentile(values, percent), histogram_of(values).percentile_ns(percent)
    assert true <= told <= true + true // 16


@given(VALUES)
def test_the_hundredth_percentile_is_the_greatest_value(values: list[int]) -> None:
    histogram = histogram_of(values)
    assert histogram.percentile_ns(100) == histogram.max_ns == max(values)
    assert histogram.count == len(values)
    assert histogram.mean_ns == pytest.approx(sum(values) / len(values))


@given(VALUES, PERCENTS, PERCENTS)
def test_percentiles_rise_with_the_percentage(values: list[int], one: float, other: float) -> None:
    histogram = histogram_of(values)
    assert histogram.percentile_ns(min(one, other)) <= histogram.percentile_ns(max(one, other))


@given(st.permutations([3, 70, 1_000, 1_000, 123_456_789]))
def test_the_order_of_values_does_not_matter(values: list[int]) -> None:
    ordered, shuffled = histogram_of(sorted(values)), histogram_of(values)
    assert [ordered.percentile_ns(p) for p in range(101)] == [shuffled.percentile_ns(p) for p in range(101)]


@given(st.integers(0, 15))
def test_values_below_sixteen_are_exact(value: int) -> None:
    assert histogram_of([value, 2**63]).percentile_ns(50) == value


def test_an_empty_histogram_says_zero() -> None:
    empty = Histogram()
    assert (empty.percentile_ns(50), empty.mean_ns, empty.max_ns, empty.count) == (0, 0.0, 0, 0)


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan"), float("inf")])
def test_a_percentage_outside_0_to_100_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        histogram_of([1]).percentile_ns(percent)


@pytest.mark.parametrize("value", [-1, 2**64])
def test_a_value_that_is_no_count_of_nanoseconds_is_refused(value: int) -> None:
    with pytest.raises(OverflowError):
        Histogram().record(value)


def test_an_empty_ledger_holds_nothing() -> None:
    ledger = Ledger(RECORDS)
    assert (ledger.appended, ledger.oldest) == (0, 0)
    with pytest.raises(IndexError, match="record 0 is not held"):
        ledger.row(0)


def test_a_meter_starts_at_nothing() -> None:
    meter = Meter(RECORDS)
    assert (meter.invocations, meter.errors, meter.timeouts, meter.colds, meter.billed_ms, meter.throttles) == (0,) * 6
    assert (meter.durations.count, meter.inits.count, meter.waits.count, meter.ledger.appended) == (0,) * 4


@pytest.fixture
def short_ledger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Door]:
    """An engine that remembers 100 invocations per version. Only the engine itself appends to a ledger."""
    monkeypatch.setattr("engine.core.dispatch.LEDGER_RECORDS", RECORDS)
    module = tmp_path / "app.py"
    module.write_text("def handler(event, context):\n    print(context.aws_request_id)\n")
    with DOORS["blocking"]() as door:
        door.create_function("short", code=module, handler="app.handler", memory_mb=ONE_VCPU_MB)
        yield door


@pytest.mark.parametrize("count", [1, 63, 64, 65, 99, 100, 101, 163, 250])
def test_the_ledger_holds_the_newest_records_and_wraps(short_ledger: Door, count: int) -> None:
    ids = [short_ledger.invoke("short").request_id for _ in range(count)]
    meter, _ = short_ledger.inside._control.dispatch.books["short", "$LATEST"]
    ledger: Ledger = meter.ledger
    oldest = max(0, count - RECORDS)
    assert (ledger.appended, meter.invocations) == (count, count)
    assert ledger.oldest == oldest
    assert [uuid_text(ledger.row(number)[0]) for number in range(oldest, count)] == ids[oldest:]
    outside = [count, count + 1, 2**64 - 1, *([oldest - 1] if oldest else [])]
    for number in outside:
        with pytest.raises(IndexError, match=f"record {number} is not held"):
            ledger.row(number)
    reports = [event for event in short_ledger.logs("short") if event.message.startswith("REPORT ")]
    assert [event.request_id for event in reports] == ids[oldest:]
    printed = [event.message for event in short_ledger.logs("short") if event.message == event.request_id]
    assert printed == ids[oldest:]
