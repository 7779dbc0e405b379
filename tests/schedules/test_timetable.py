"""The timetable while all goes well: what ticks when, changes under way, bounds, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from timetables import DAY, HOUR, MINUTE, START, Bench

from engine.core.schedules import timetable
from engine.core.schedules.timetable import Counts
from engine.errors import (
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceNotFoundException,
    TooManyRequestsException,
    ValidationException,
)
from engine.model import Schedule


def test_a_year_of_an_hourly_cron_ticks_8760_times_and_each_on_time(bench: Bench) -> None:
    bench.table = bench.opened(sleep_most_s=DAY / 1000)
    bench.create("cron(0 * * * ? *)")
    bench.clock.advance_ms(365 * DAY - 1)
    assert bench.ticks() == [hour * HOUR for hour in range(8_760)]
    assert all(came == tick for _, tick, came in bench.fired)
    assert bench.table.statistics() == {"a": Counts(8_760, 0)}


def test_a_rate_ticks_at_once_and_by_its_period_from_then_on(bench: Bench) -> None:
    bench.clock.advance_ms(1_234)
    bench.create("rate(5 minutes)")
    assert bench.ticks() == []  # not from within `create`
    bench.clock.advance_ms(10 * MINUTE)
    assert bench.ticks() == [1_234, 1_234 + 5 * MINUTE, 1_234 + 10 * MINUTE]


def test_a_rate_with_a_start_begins_there(bench: Bench) -> None:
    bench.create("rate(1 hour)", start_ms=START + 90 * MINUTE)
    bench.clock.advance_ms(4 * HOUR)
    assert bench.ticks() == [90 * MINUTE, 150 * MINUTE, 210 * MINUTE]


def test_a_moment_comes_once_and_the_schedule_stays(bench: Bench) -> None:
    bench.create("at(2026-01-01T03:00:00)")
    assert bench.table.next_ms("a") == START + 3 * HOUR
    bench.clock.advance_ms(DAY)
    assert bench.ticks() == [3 * HOUR]
    assert bench.table.next_ms("a") is None
    assert bench.table.get("a").name == "a"


def test_a_moment_that_was_past_when_it_was_made_never_comes(bench: Bench) -> None:
    bench.create("at(2025-12-31T23:59:59)", action_after_completion="DELETE")
    bench.clock.advance_ms(DAY)
    assert bench.ticks() == []
    assert "a" in bench.kept
    bench.restart(0)
    assert bench.kept == {}


@pytest.mark.parametrize(
    ("expression", "settings", "expected"),
    [
        ("at(2026-01-01T03:00:00)", {}, [3 * HOUR]),
        ("cron(0 * * * ? *)", {"end_ms": START + 2 * HOUR}, [0, HOUR, 2 * HOUR]),
        ("cron(0 0 1 1 ? 2026)", {}, [0]),
    ],
)
def test_one_that_asks_for_it_is_deleted_after_its_last_tick(
    bench: Bench, expression: str, settings: dict[str, int], expected: list[int]
) -> None:
    bench.create(expression, action_after_completion="DELETE", **settings)
    bench.clock.advance_ms(DAY)
    assert bench.ticks() == expected
    assert bench.kept == {}
    assert bench.table.list() == ()


def test_the_disabled_do_not_tick_and_what_they_slept_through_is_not_missed(bench: Bench) -> None:
    schedule = bench.create("rate(1 hour)", state="DISABLED")
    bench.clock.advance_ms(10 * HOUR + 1)
    assert bench.table.next_ms("a") is None
    bench.table.update(replace(schedule, state="ENABLED"))
    bench.clock.advance_ms(2 * HOUR)
    assert bench.ticks() == [11 * HOUR, 12 * HOUR]
    bench.table.update(schedule)
    bench.clock.advance_ms(DAY)
    assert bench.table.statistics() == {"a": Counts(2, 0)}


def test_ticks_of_many_come_in_the_order_of_their_times(bench: Bench) -> None:
    for place in range(50):
        bench.create(f"cron({59 - place} * * * ? *)", name=f"s{place}")
    bench.clock.advance_ms(3 * HOUR - 1)
    times = [tick for _, tick, _ in bench.fired]
    assert len(times) == 150
    assert times == sorted(times)


def test_an_update_holds_from_now_on(bench: Bench) -> None:
    schedule = bench.create("cron(0 * * * ? *)")
    bench.clock.advance_ms(90 * MINUTE)
    bench.table.update(replace(schedule, expression="cron(0/10 * * * ? *)", description="faster"))
    assert bench.table.get("a").description == "faster"
    assert bench.kept["a"][0] == bench.table.get("a")
    bench.clock.advance_ms(20 * MINUTE)
    assert bench.ticks() == [0, HOUR, 100 * MINUTE, 110 * MINUTE]


def test_an_update_of_something_else_leaves_a_tick_that_waits_in_its_window(bench: Bench) -> None:
    bench.jitter = lambda limit_ms: limit_ms - 1
    schedule = bench.create("cron(0 12 * * ? *)", flexible_window_minutes=15)
    bench.clock.advance_ms(12 * HOUR + MINUTE)
    bench.table.update(replace(schedule, description="changed"))
    bench.clock.advance_ms(HOUR)
    assert bench.ticks() == [12 * HOUR]


def test_a_refused_update_changes_nothing(bench: Bench) -> None:
    schedule = bench.create("cron(0 * * * ? *)")
    with pytest.raises(ValidationException):
        bench.table.update(replace(schedule, expression="cron(0 * * * * *)"))
    bench.clock.advance_ms(HOUR)
    assert bench.ticks() == [0, HOUR]


def test_a_deleted_one_ticks_no_more_and_its_name_is_free(bench: Bench) -> None:
    bench.create("rate(1 minute)")
    bench.clock.advance_ms(1)
    bench.table.delete("a")
    bench.clock.advance_ms(HOUR)
    assert bench.ticks() == [0]
    assert bench.kept == {}
    bench.create("rate(1 hour)")
    assert bench.table.statistics() == {"a": Counts(0, 0)}


def test_a_tick_may_delete_its_own_schedule_and_make_another(bench: Bench) -> None:
    def replaced(schedule: Schedule) -> None:
        if schedule.name == "a":
            bench.table.delete("a")
            bench.create("rate(1 hour)", name="b")

    bench.on_fire = replaced
    bench.create("rate(1 minute)")
    bench.clock.advance_ms(HOUR)
    assert bench.ticks("a") == [0]
    assert bench.ticks("b") == [0, HOUR]


def test_names_are_found_or_said_not_to_exist(bench: Bench) -> None:
    bench.create("rate(1 day)", name="b")
    bench.create("rate(1 day)", name="a")
    assert [schedule.name for schedule in bench.table.list()] == ["a", "b"]
    with pytest.raises(ResourceConflictException, match=r"^Schedule a already exists\.$"):
        bench.create("rate(1 day)")
    for call in (bench.table.get, bench.table.delete, bench.table.next_ms):
        with pytest.raises(ResourceNotFoundException, match=r"^Schedule c does not exist\.$"):
            call("c")
    with pytest.raises(ResourceNotFoundException):
        bench.table.update(Schedule("c", "rate(1 day)", "f"))


def test_there_is_a_bound_and_it_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timetable, "SCHEDULES_MAX", 2)
    bench.create("rate(1 day)", name="a")
    bench.create("rate(1 day)", name="b")
    with pytest.raises(InvalidParameterValueException, match="There are 2 schedules, which is the most"):
        bench.create("rate(1 day)", name="c")
    bench.table.delete("a")
    bench.create("rate(1 day)", name="c")


def test_a_closed_timetable_is_silent_and_leaves_no_timer(bench: Bench) -> None:
    bench.create("rate(1 minute)")
    bench.table.close()
    assert bench.clock.next_ms is None
    bench.clock.advance_ms(HOUR)
    assert bench.ticks() == []


def test_a_timetable_that_is_closed_by_a_tick_stops_there(bench: Bench) -> None:
    bench.on_fire = lambda schedule: bench.table.close()
    for name in "abc":
        bench.create("rate(1 minute)", name=name)
    bench.clock.advance_ms(HOUR)
    assert len(bench.fired) == 1


def test_a_far_tick_is_waited_for_a_minute_at_a_time(bench: Bench) -> None:
    bench.create("cron(0 12 * * ? *)")
    assert bench.clock.next_ms == MINUTE
    bench.clock.advance_ms(12 * HOUR)
    assert bench.fired == [("a", START + 12 * HOUR, START + 12 * HOUR)]


def test_without_schedules_there_is_no_timer(bench: Bench) -> None:
    assert bench.clock.next_ms is None
    bench.table.load([])
    assert bench.clock.next_ms is None


# --- flexible windows ---------------------------------------------------------------------------------------------


def test_a_flexible_tick_comes_some_time_within_its_window_and_keeps_its_time(bench: Bench) -> None:
    bench.jitter = lambda limit_ms: 7 * MINUTE
    bench.create("cron(0 * * * ? *)", flexible_window_minutes=15)
    bench.clock.advance_ms(3 * HOUR - 1)
    assert [(tick - START, came - tick) for _, tick, came in bench.fired] == [
        (hour * HOUR, 7 * MINUTE) for hour in range(3)
    ]
    assert set(bench.windows) == {15 * MINUTE}


def test_without_a_window_there_is_no_jitter(bench: Bench) -> None:
    bench.create("rate(1 minute)")
    bench.clock.advance_ms(HOUR)
    assert bench.windows == []


def test_a_window_longer_than_the_period_loses_no_tick_and_keeps_their_order(bench: Bench) -> None:
    delays = iter([9, 0, 3, 14, 0, 0, 14, 1, 2] * 20)
    bench.jitter = lambda limit_ms: next(delays) * MINUTE
    bench.create("rate(1 minute)", flexible_window_minutes=15)
    bench.clock.advance_ms(HOUR)
    ticks = bench.ticks()
    assert ticks == [minute * MINUTE for minute in range(len(ticks))]
    assert all(0 <= came - tick < 15 * MINUTE for _, tick, came in bench.fired)
    assert bench.table.statistics()["a"].missed == 0


# --- refusals and faults of the caller ----------------------------------------------------------------------------


def test_a_tick_that_is_refused_is_offered_again_until_it_is_taken(bench: Bench) -> None:
    bench.refuse = TooManyRequestsException("The queue is full.")
    bench.create("rate(1 hour)")
    bench.clock.advance_ms(10_000)
    assert bench.ticks() == []
    assert bench.kept["a"][1] < START
    bench.refuse = None
    bench.clock.advance_ms(1_000)
    assert bench.ticks() == [0]


def test_a_refused_tick_gives_way_to_the_next_one(bench: Bench) -> None:
    bench.refuse = TooManyRequestsException("The queue is full.")
    bench.create("rate(1 minute)")
    bench.clock.advance_ms(5 * MINUTE + 10)
    bench.refuse = None
    bench.clock.advance_ms(1_000)
    assert bench.ticks() == [5 * MINUTE]
    assert bench.table.statistics() == {"a": Counts(1, 5)}


def test_a_fault_of_the_caller_is_not_hidden_and_stops_no_one(bench: Bench) -> None:
    bench.create("rate(1 hour)")
    bench.create("rate(1 hour)", name="b")
    bench.refuse = KeyError("a fault")
    with pytest.raises(KeyError):
        bench.clock.advance_ms(0)
    bench.refuse = None
    bench.clock.advance_ms(1_000)
    assert sorted(name for name, _, _ in bench.fired) == ["a", "b"]


# --- what it costs ------------------------------------------------------------------------------------------------


def test_changes_without_end_leave_nothing_behind(bench: Bench) -> None:
    schedule = bench.create("rate(1 day)", start_ms=START + DAY)
    for turn in range(5_000):
        bench.table.update(replace(schedule, description=str(turn)))
        bench.create("rate(1 day)", name="b", start_ms=START + DAY)
        bench.table.delete("b")
    assert len(bench.table._heap) < 200
    assert len(bench.clock._timers) < 10


def test_10_000_schedules_of_one_moment_come_in_portions_that_let_others_on_the_loop(bench: Bench) -> None:
    for place in range(10_000):
        bench.create("cron(0 12 * * ? *)", name=str(place))
    seen: list[int] = []

    def look() -> None:
        seen.append(len(bench.fired))
        if len(seen) < 12:
            bench.clock.after(0, look)

    bench.clock.after(12 * HOUR / 1000, look)
    bench.clock.advance_ms(12 * HOUR)
    assert len(bench.fired) == 10_000
    assert max(later - earlier for earlier, later in pairwise([0, *seen])) == timetable.STEPS_MOST
