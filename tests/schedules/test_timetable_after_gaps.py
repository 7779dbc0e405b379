"""What was missed: while the engine was closed, while the host slept, and when its clock was set."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timetables import DAY, HOUR, MINUTE, START, Bench

from engine.core.schedules.timetable import Counts, Timetable
from engine.model import Schedule


def test_after_a_closed_time_the_latest_missed_tick_runs_and_the_others_are_counted(bench: Bench) -> None:
    bench.create("cron(0 * * * ? *)")
    bench.clock.advance_ms(2 * HOUR)
    bench.restart(7 * HOUR + 30 * MINUTE)
    assert bench.ticks() == [0, HOUR, 2 * HOUR]  # not from within `load`
    bench.clock.advance_ms(HOUR)
    assert bench.ticks() == [0, HOUR, 2 * HOUR, 9 * HOUR, 10 * HOUR]
    assert bench.table.statistics() == {"a": Counts(2, 6)}


def test_after_a_short_closed_time_nothing_was_missed(bench: Bench) -> None:
    bench.create("cron(0 * * * ? *)")
    bench.restart(30 * MINUTE)
    bench.clock.advance_ms(HOUR)
    assert bench.ticks() == [0, HOUR]
    assert bench.table.statistics() == {"a": Counts(2, 0)}


def test_what_ran_does_not_run_again_after_a_restart(bench: Bench) -> None:
    bench.create("cron(0 * * * ? *)")
    bench.clock.advance_ms(HOUR)
    for _ in range(3):
        bench.restart(0)
        bench.clock.advance_ms(0)
    assert bench.ticks() == [0, HOUR]


@pytest.mark.parametrize(("closed_ms", "runs"), [(DAY, True), (DAY + 1, True), (2 * DAY - 1, True), (2 * DAY, False)])
def test_a_missed_moment_runs_unless_it_is_older_than_a_day(bench: Bench, closed_ms: int, runs: bool) -> None:
    bench.create("at(2026-01-02T00:00:00)", action_after_completion="DELETE")
    bench.restart(closed_ms)
    bench.clock.advance_ms(0)
    assert bench.ticks() == ([DAY] if runs else [])
    assert bench.kept == {}


def test_a_schedules_own_age_bounds_what_is_made_good(bench: Bench) -> None:
    bench.create("cron(0 * * * ? *)", maximum_event_age_s=600)
    bench.clock.advance_ms(0)
    bench.restart(5 * HOUR + 11 * MINUTE)
    bench.clock.advance_ms(0)
    assert bench.table.statistics() == {"a": Counts(0, 5)}
    bench.restart(3 * HOUR - 2 * MINUTE)
    bench.clock.advance_ms(0)
    assert bench.ticks() == [0, 8 * HOUR]
    assert bench.table.statistics() == {"a": Counts(1, 2)}  # what was dropped before is not counted again


def test_the_disabled_and_the_ended_make_nothing_good(bench: Bench) -> None:
    bench.create("cron(0 * * * ? *)", state="DISABLED")
    bench.create("cron(0 * * * ? *)", name="b", end_ms=START + HOUR)
    bench.clock.advance_ms(HOUR)
    bench.restart(9 * HOUR)
    bench.clock.advance_ms(HOUR)
    assert bench.ticks("a") == []
    assert bench.ticks("b") == [0, HOUR]


def test_a_schedule_that_ended_while_closed_runs_its_last_tick_and_goes(bench: Bench) -> None:
    bench.create("cron(0 * * * ? *)", end_ms=START + 5 * HOUR, action_after_completion="DELETE")
    bench.restart(9 * HOUR)
    bench.clock.advance_ms(0)
    assert bench.ticks() == [5 * HOUR]
    assert bench.kept == {}


def test_a_crash_between_the_last_tick_and_its_deletion_is_made_good(bench: Bench) -> None:
    schedule = bench.create("at(2026-01-01T01:00:00)", action_after_completion="DELETE")
    bench.clock.advance_ms(HOUR)
    bench.kept["a"] = schedule, START + HOUR
    bench.restart(MINUTE)
    assert bench.ticks() == [HOUR]
    assert bench.kept == {}


def test_a_tick_whose_window_is_still_open_was_not_missed(bench: Bench) -> None:
    bench.jitter = lambda limit_ms: limit_ms - 1
    bench.create("cron(0 * * * ? *)", flexible_window_minutes=15)
    bench.clock.advance_ms(HOUR - 1)
    bench.restart(3 * HOUR + 5 * MINUTE)
    bench.clock.advance_ms(HOUR - 10 * MINUTE)
    assert bench.ticks() == [0, 3 * HOUR, 4 * HOUR]
    assert bench.table.statistics() == {"a": Counts(2, 2)}


def test_years_of_every_minute_are_counted_without_walking_them(bench: Bench) -> None:
    for place in range(100):
        bench.create("cron(* * * * ? *)", name=f"s{place}")
    years = 10 * 365 * DAY
    bench.restart(years)
    bench.clock.advance_ms(0)
    assert bench.table.statistics()["s0"] == Counts(1, years // MINUTE)
    assert bench.ticks("s99") == [years]


def test_ten_thousand_missed_schedules_are_made_good_once_each(bench: Bench) -> None:
    schedules = [(Schedule(str(place), "cron(0 * * * ? *)", "f"), START) for place in range(10_000)]
    bench.clock.advance_ms(DAY)
    bench.table.load(schedules)
    bench.clock.advance_ms(0)
    assert len(bench.fired) == 10_000
    assert {tick for _, tick, _ in bench.fired} == {START + DAY}
    assert set(bench.table.statistics().values()) == {Counts(1, 23)}


def test_one_that_cannot_be_read_any_more_stays_and_says_why(bench: Bench) -> None:
    gone = Schedule("a", "cron(0 * * * ? *)", "f", "Mars/Olympus", action_after_completion="DELETE")
    bench.kept = {"a": (gone, START), "b": (Schedule("b", "cron(0 * * * ? *)", "f"), START)}
    bench.restart(HOUR)
    bench.clock.advance_ms(HOUR)
    assert bench.ticks("a") == []
    assert bench.ticks("b") == [HOUR, 2 * HOUR]
    assert bench.table.problems()["a"].startswith("Invalid Timezone Mars/Olympus. ")
    bench.table.update(Schedule("a", "cron(0 * * * ? *)", "f", "UTC"))
    assert bench.table.problems() == {}
    bench.clock.advance_ms(HOUR)
    assert bench.ticks("a") == [3 * HOUR]


# --- while it runs ------------------------------------------------------------------------------------------------


def test_a_host_that_slept_makes_good_the_latest_tick(bench: Bench) -> None:
    bench.create("cron(0/10 * * * ? *)")
    bench.clock.advance_ms(25 * MINUTE)
    bench.clock.off_ms += 8 * HOUR  # 08:25, and timers do not know it
    bench.clock.advance_ms(MINUTE)
    assert bench.ticks() == [0, 10 * MINUTE, 20 * MINUTE, 8 * HOUR + 20 * MINUTE]
    assert bench.table.statistics() == {"a": Counts(4, 47)}
    bench.clock.advance_ms(5 * MINUTE)
    assert bench.ticks()[-1] == 8 * HOUR + 30 * MINUTE


def test_a_clock_that_is_set_forward_is_noticed_within_a_minute(bench: Bench) -> None:
    bench.create("cron(0 12 * * ? *)")
    bench.clock.advance_ms(1)
    bench.clock.off_ms += 12 * HOUR
    bench.clock.advance_ms(MINUTE)
    assert bench.ticks() == [12 * HOUR]


def test_a_clock_that_goes_back_runs_no_tick_twice(bench: Bench) -> None:
    bench.create("cron(0/10 * * * ? *)")
    bench.clock.advance_ms(35 * MINUTE)
    bench.clock.off_ms -= 30 * MINUTE
    bench.clock.advance_ms(34 * MINUTE)  # 00:39 again
    assert bench.ticks() == [0, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE]
    bench.restart(0)
    bench.clock.advance_ms(MINUTE)
    assert bench.ticks() == [0, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, 40 * MINUTE]


def test_a_change_while_the_clock_is_back_repeats_nothing(bench: Bench) -> None:
    bench.create("cron(0/10 * * * ? *)")
    bench.clock.advance_ms(35 * MINUTE)
    bench.clock.off_ms -= 30 * MINUTE
    bench.table.update(Schedule("a", "cron(0/5 * * * ? *)", "f"))
    bench.clock.advance_ms(30 * MINUTE)
    assert bench.ticks() == [0, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, 35 * MINUTE]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("goes on"), st.integers(0, 5 * HOUR)),
        st.tuples(st.just("is set"), st.integers(-3 * HOUR, 30 * HOUR)),
        st.tuples(st.just("is closed"), st.integers(0, 30 * HOUR)),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(
    expression=st.sampled_from(["cron(0/10 * * * ? *)", "rate(7 minutes)", "cron(15 3,15 * * ? *)", "rate(1 hour)"]),
    window=st.sampled_from([0, 0, 5, 90]),
    fraction=st.floats(0, 0.999),
    age_s=st.sampled_from([None, 60, 3_600]),
    steps=steps,
)
def test_whatever_the_clock_does_ticks_come_in_order_once_and_none_is_unaccounted_for(
    expression: str, window: int, fraction: float, age_s: int | None, steps: list[tuple[str, int]]
) -> None:
    bench = Bench()
    bench.jitter = lambda limit_ms: int(limit_ms * fraction)
    schedule = bench.create(expression, flexible_window_minutes=window, maximum_event_age_s=age_s)
    counted = [0, 0]

    def add(table: Timetable) -> None:
        counts = table.statistics()["a"]
        counted[0] += counts.fired
        counted[1] += counts.missed

    for what, how_long in steps:
        if what == "goes on":
            bench.clock.advance_ms(how_long)
        elif what == "is set":
            bench.clock.off_ms += how_long
        else:
            add(bench.table)
            bench.restart(how_long)
    add(bench.table)
    ticks = bench.ticks()
    assert ticks == sorted(set(ticks))
    assert all(came >= tick for _, tick, came in bench.fired)
    row = bench.table._rows["a"]
    assert counted[0] == len(ticks)
    assert sum(counted) == row.expression.count(START - 1, row.position_ms)
    assert bench.kept["a"] == (schedule, row.position_ms)
