"""Idle times made of looks at counters: how far they can be off, and that no invocation is missed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.core.keep_alive.activity import Activity, Arrivals

TICK = 10
spans = st.lists(st.tuples(st.integers(3 * TICK, 500), st.integers(1, 200)), min_size=1, max_size=20)


def test_the_first_invocation_has_no_idle_time_and_those_behind_it_are_counted() -> None:
    activity = Activity()
    assert activity.look(0, 0, 5) is None
    assert activity.look(3, 1, 10) == Arrivals(None, 2)
    assert activity.look(3, 0, 20) is None
    assert activity.look(4, 0, 100) == Arrivals(90, 0)
    assert activity.frequency == 4


def test_a_function_that_runs_is_busy_though_nothing_comes() -> None:
    activity = Activity()
    activity.look(1, 1, 10)
    activity.look(1, 1, 5_000)
    assert activity.look(2, 1, 5_010) == Arrivals(10, 0)


def test_invocations_that_are_turned_away_are_no_arrivals() -> None:
    activity = Activity()
    activity.look(5, 5, 10)
    assert activity.look(2, 0, 20) is None
    assert activity.look(3, 1, 50) == Arrivals(40, 0)


def test_a_function_without_environments_is_counted_anew() -> None:
    activity = Activity()
    activity.look(7, 0, 10)
    activity.restart()
    activity.look(9, 0, 20)
    assert activity.frequency == 2


@given(spans)
def test_an_idle_time_is_known_to_within_a_tick_at_each_end(spans: list[tuple[int, int]]) -> None:
    """Each span is an idle time and how long the invocation after it runs; looks come every tick."""
    begins, ends, now = [], [], 0
    for idle, runs in spans:
        begins.append(now + idle)
        now += idle + runs
        ends.append(now)
    activity, seen = Activity(), list[Arrivals]()
    for time in range(0, now + 2 * TICK, TICK):
        accepted = sum(begin <= time for begin in begins)
        came = activity.look(accepted, accepted - sum(end <= time for end in ends), time)
        seen += [came] if came else []
    assert [came.others for came in seen] == [0] * len(spans)
    for came, end, begin in zip(seen[1:], ends, begins[1:], strict=False):
        assert came.idle_ns is not None
        assert -TICK < came.idle_ns - (begin - end) < 2 * TICK
