"""Counting in batches, held against HdrHistogram itself."""

from __future__ import annotations

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.load.distribution import DIGITS, HIGHEST_NS, LOWEST_NS, Counts, as_histogram, buckets, corrected, lowest_ns

PERCENTILES = [0.1, 1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 100.0]
values = st.lists(st.integers(0, HIGHEST_NS), min_size=1, max_size=60)


def counted(values_ns: list[int]) -> Counts:
    made = Counts()
    made.add(np.array(values_ns, np.int64))
    return made


def recorded(values_ns: list[int]) -> HdrHistogram:
    """One by one, by the library."""
    histogram = HdrHistogram(LOWEST_NS, HIGHEST_NS, DIGITS)
    for value_ns in values_ns:
        histogram.record_value(value_ns)
    return histogram


def with_missing(value_ns: int, interval_ns: int) -> list[int]:
    """The rule of HdrHistogram's `recordValueWithExpectedInterval`, as its Java library writes it."""
    values_ns, missing_ns = [value_ns], value_ns - interval_ns
    while missing_ns >= interval_ns:
        values_ns.append(missing_ns)
        missing_ns -= interval_ns
    return values_ns


def same(one: HdrHistogram, other: HdrHistogram) -> bool:
    return list(one.counts) == list(other.counts)


@given(values)
@settings(deadline=None)
def test_a_batch_is_counted_where_the_library_counts_one_by_one(values_ns: list[int]) -> None:
    mine, its = as_histogram(counted(values_ns)), recorded(values_ns)
    assert same(mine, its)
    assert mine.get_total_count() == len(values_ns)


@given(values)
@settings(deadline=None)
def test_percentiles_are_the_librarys(values_ns: list[int]) -> None:
    its = recorded(values_ns)
    wanted = [its.get_value_at_percentile(percentile) for percentile in PERCENTILES]
    assert counted(values_ns).percentiles_ns(PERCENTILES) == wanted


@given(st.lists(st.integers(0, 5_000_000), min_size=1, max_size=20), st.integers(20_000, 1_000_000))
@settings(deadline=None)
def test_the_correction_adds_what_the_reference_rule_adds(values_ns: list[int], interval_ns: int) -> None:
    """Corrected are recorded values, so the rule starts from the low end of their buckets."""
    lowest = [lowest_ns(int(bucket)) for bucket in buckets(np.array(values_ns, np.int64))]
    wanted = recorded([added for value_ns in lowest for added in with_missing(value_ns, interval_ns)])
    assert same(as_histogram(corrected(counted(values_ns), interval_ns)), wanted)


def test_a_stall_of_a_closed_loop_counts_as_every_call_that_it_held_up() -> None:
    """99 calls of 1 ms and one of 502 ms, meant to come every 5 ms: 99 more waited 497, 492, ... 7 ms."""
    fixed = corrected(counted([1_000_000] * 99 + [502_000_000]), 5_000_000)
    assert fixed.total() == 100 + 99
    assert fixed.percentile_ns(50) < 10_000_000
    assert fixed.percentile_ns(75) == pytest.approx(255_000_000, rel=0.02)
    assert counted([1_000_000] * 99 + [502_000_000]).percentile_ns(99) < 2_000_000  # what goes unseen without


def test_what_is_out_of_range_counts_at_its_end() -> None:
    found = counted([-5, HIGHEST_NS * 3])
    assert found.total() == 2
    assert found.percentile_ns(100) >= HIGHEST_NS


def test_nothing_counted_has_no_percentile_and_no_correction() -> None:
    assert Counts().percentiles_ns([50.0, 99.0]) == [0, 0]
    assert corrected(Counts(), 0).total() == 0
