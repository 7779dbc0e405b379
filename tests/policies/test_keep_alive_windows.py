"""The hybrid histogram policy, by hand-worked examples of the paper's rules and against a slow but plain reading."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.keep_alive.contract import Windows
from engine.core.keep_alive.fixed import Fixed
from engine.core.keep_alive.histogram import BINS, SAMPLES_MOST, HybridHistogram, Percentile

MINUTE_NS = 60_000_000_000
HOUR_NS = 60 * MINUTE_NS
STANDARD = Windows(0, 7 * MINUTE_NS)
KEY = ("hello", "$LATEST")


def after(*idle_minutes: float, others: int = 0) -> Windows:
    """What the policy says once it has seen these."""
    policy = HybridHistogram(STANDARD.keep_alive_ns)
    for minutes in idle_minutes:
        policy.observe(KEY, int(minutes * MINUTE_NS), others)
    return policy.windows(KEY)


def minutes(windows: Windows) -> tuple[float, float]:
    """(from, until), in minutes after the last invocation."""
    return windows.prewarm_ns / MINUTE_NS, windows.end_ns / MINUTE_NS


def test_a_timer_of_ten_minutes_is_expected_from_the_ninth_to_the_thirteenth() -> None:
    assert minutes(after(*[10.5] * 20)) == pytest.approx((10 * 0.9, 11 * 1.1))


def test_the_head_is_the_fifth_percentile_and_the_tail_the_ninety_ninth() -> None:
    assert minutes(after(*[2.5] * 5, *[5.5] * 94, 100.5)) == pytest.approx((2 * 0.9, 6 * 1.1))
    assert minutes(after(*[2.5] * 4, *[5.5] * 94, *[100.5] * 2)) == pytest.approx((5 * 0.9, 101 * 1.1))


def test_where_some_come_within_a_minute_nothing_is_let_go_in_between() -> None:
    assert minutes(after(*[0.5] * 6, *[5.5] * 94)) == pytest.approx((0, 6 * 1.1))


def test_invocations_right_behind_the_first_count_as_idle_times_of_no_length() -> None:
    assert minutes(after(*[10.5] * 20, others=5)) == pytest.approx((0, 11 * 1.1))
    assert minutes(after(*[10.5] * 20, others=500)) == pytest.approx((0, 1 * 1.1))  # by far most come at once


def test_four_idle_times_are_too_few() -> None:
    assert after() == after(*[10.5] * 4) == STANDARD != after(*[10.5] * 5)


def test_a_histogram_that_is_too_flat_tells_nothing() -> None:
    """Of 240 bins 48 with the same count have a coefficient of variation of exactly 2."""
    assert after(*[place + 0.5 for place in range(49)]) == STANDARD
    assert after(*[place + 0.5 for place in range(48)]) != STANDARD


def test_idle_times_over_four_hours_that_agree_are_expected_within_fifteen_percent() -> None:
    windows = after(360, 366, 354)
    assert minutes(windows) == pytest.approx((360 * 0.85, 360 * 1.15))


def test_idle_times_over_four_hours_that_do_not_agree_tell_nothing() -> None:
    assert after(360, 360, 500) == after(360, 360) == STANDARD


def test_a_few_idle_times_over_four_hours_do_not_hide_the_histogram() -> None:
    assert minutes(after(*[10.5] * 20, *[300.0] * 19)) == pytest.approx((10 * 0.9, 11 * 1.1))
    assert minutes(after(*[10.5] * 20, *[300.0] * 21)) == pytest.approx((300 * 0.85, 300 * 1.15))


def test_what_a_function_does_now_outweighs_what_it_did() -> None:
    policy = HybridHistogram(STANDARD.keep_alive_ns)
    for _ in range(3):
        policy.observe(KEY, 0, 1_000_000_000)  # is halved time and again
    assert sum(policy._known[KEY].counts) < SAMPLES_MOST
    for _ in range(SAMPLES_MOST):
        policy.observe(KEY, 10 * MINUTE_NS)
    assert minutes(policy.windows(KEY))[1] == pytest.approx(11 * 1.1)


def test_at_its_bound_the_function_that_was_idle_longest_is_forgotten() -> None:
    policy = HybridHistogram(STANDARD.keep_alive_ns, functions_max=2)
    for name in ("a", "b"):
        for _ in range(5):
            policy.observe((name, "1"), 10 * MINUTE_NS)
    policy.observe(("a", "1"), 10 * MINUTE_NS)
    policy.observe(("c", "1"), 10 * MINUTE_NS)
    assert policy.windows(("b", "1")) == STANDARD
    assert policy.windows(("a", "1")) != STANDARD
    policy.forget(("a", "1"))
    assert policy.windows(("a", "1")) == STANDARD


def test_the_fixed_policy_learns_nothing() -> None:
    policy = Fixed(5)
    policy.observe(KEY, 1, 10)
    assert policy.windows(KEY) == Windows(0, 5)


@given(st.lists(st.tuples(st.integers(0, BINS - 1), st.integers(1, 50)), min_size=1), st.sampled_from([5, 50, 99]))
def test_a_percentile_that_is_followed_is_the_one_that_is_counted_out(added: list[tuple[int, int]], at: int) -> None:
    counts, followed = array("I", bytes(4 * BINS)), Percentile(at)
    for place, count in added:
        counts[place] += count
        followed.added(place, count)
        every = [bin for bin, many in enumerate(counts) for _ in range(many)]
        assert followed.bin(counts, len(every)) == every[-(-len(every) * at // 100) - 1]


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 200))
def test_nothing_changes_between_two_changes(prewarm_ns: int, keep_alive_ns: int, idle_ns: int) -> None:
    windows = Windows(prewarm_ns, keep_alive_ns)
    change_ns = windows.next_change_ns(idle_ns)
    until = 300 if change_ns is None else idle_ns + change_ns
    assert len({windows.holds(each) for each in range(idle_ns, max(until, idle_ns + 1))}) == 1
    if change_ns is not None:
        assert change_ns > 0
