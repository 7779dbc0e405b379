"""Schedule expressions: AWS's own examples, each rule of the grammar, time zones, and what a refusal says."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from engine.core.schedules.grammar import Between, Expression, Once, Rate, expression_of, parse_expression
from engine.errors import ValidationException
from engine.model import Schedule

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def ms(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def ticks(text: str, start: str, count: int, zone: str = "UTC") -> list[str]:
    """The first ticks from the local time `start` on, as local times with their offset."""
    expression, now, found = parse_expression(text, zone), ms(start, zone) - 1, []
    while len(found) < count and (tick := expression.next_after_ms(now)) is not None:
        found.append(datetime.fromtimestamp(tick / 1000, ZoneInfo(zone)).isoformat(timespec="minutes"))
        now = tick
    return found


def utc(text: str, start: str, count: int) -> list[str]:
    return [tick.removesuffix("+00:00") for tick in ticks(text, start, count)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cron(0 10 * * ? *)", ["2026-05-01T10:00", "2026-05-02T10:00"]),
        ("cron(15 12 * * ? *)", ["2026-05-01T12:15", "2026-05-02T12:15"]),
        ("cron(0 18 ? * MON-FRI *)", ["2026-05-01T18:00", "2026-05-04T18:00"]),
        ("cron(0 8 1 * ? *)", ["2026-05-01T08:00", "2026-06-01T08:00"]),
        ("cron(0/15 * * * ? *)", ["2026-05-01T00:00", "2026-05-01T00:15"]),
        ("cron(0/10 * ? * MON-FRI *)", ["2026-05-01T00:00", "2026-05-01T00:10"]),
        ("cron(0/5 8-17 ? * MON-FRI *)", ["2026-05-01T08:00", "2026-05-01T08:05"]),
        ("cron(0 9 ? * 2#1 *)", ["2026-05-04T09:00", "2026-06-01T09:00"]),
        ("cron(15 10 ? * 6L 2026-2027)", ["2026-05-29T10:15", "2026-06-26T10:15"]),
        ("cron(0 0 3W * ? *)", ["2026-05-04T00:00", "2026-06-03T00:00"]),
        ("cron(0 0 ? * 3#2 *)", ["2026-05-12T00:00", "2026-06-09T00:00"]),
        ("cron(0 0 1 JAN,FEB,MAR ? *)", ["2027-01-01T00:00", "2027-02-01T00:00"]),
    ],
)
def test_the_examples_of_aws_documentation_tick_when_it_says(expression: str, expected: list[str]) -> None:
    assert utc(expression, "2026-05-01T00:00", 2) == expected


def test_a_range_of_hours_goes_over_midnight_as_in_aws_documentation() -> None:
    found = utc("cron(0/30 20-2 ? * MON-FRI *)", "2026-05-03T12:00", 20)
    assert found[:6] == [f"2026-05-04T{time}" for time in ("00:00", "00:30", "01:00", "01:30", "02:00", "02:30")]
    assert found[6:8] == ["2026-05-04T20:00", "2026-05-04T20:30"]
    assert found[-1] == "2026-05-05T02:30"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cron(0 0 L * ? *)", ["2026-01-31", "2026-02-28", "2026-03-31"]),
        ("cron(0 0 L-2 * ? *)", ["2026-01-29", "2026-02-26", "2026-03-29"]),
        ("cron(0 0 L-29 * ? *)", ["2026-01-02", "2026-03-02", "2026-04-01"]),
        ("cron(0 0 LW * ? *)", ["2026-01-30", "2026-02-27", "2026-03-31"]),
        ("cron(0 0 1W * ? *)", ["2026-01-01", "2026-02-02", "2026-03-02"]),
        ("cron(0 0 31W * ? *)", ["2026-01-30", "2026-03-31", "2026-05-29"]),
        ("cron(0 0 ? * L *)", ["2026-01-03", "2026-01-10", "2026-01-17"]),
        ("cron(0 0 ? * friL *)", ["2026-01-30", "2026-02-27", "2026-03-27"]),
        ("cron(0 0 ? * MON#5 *)", ["2026-03-30", "2026-06-29", "2026-08-31"]),
        ("cron(0 0 ? * FRI-MON *)", ["2026-01-02", "2026-01-03", "2026-01-04"]),
        ("cron(0 0 30,31 1-3 ? *)", ["2026-01-30", "2026-01-31", "2026-03-30"]),
        ("cron(0 0 25-5/4 2 ? *)", ["2026-02-02", "2026-02-25", "2027-02-02"]),
        ("cron(0 0 1 */5 ? *)", ["2026-01-01", "2026-06-01", "2026-11-01"]),
        ("cron(0 0 1 1 ? 2025/3)", ["2028-01-01", "2031-01-01", "2034-01-01"]),
        ("cron(0 0 29 2 ? *)", ["2028-02-29", "2032-02-29", "2036-02-29"]),
        ("cron(0 0 ? 2 2#5 *)", ["2044-02-29", "2072-02-29", "2112-02-29"]),
        ("cron(0 0 1 1 ? 2199)", ["2199-01-01"]),
        ("cron(0 0 30 2 ? *)", []),
        ("cron(0 0 1 1 ? 1970-2025)", []),
    ],
)
def test_each_way_to_say_a_day_means_what_it_says(expression: str, expected: list[str]) -> None:
    assert [tick[:10] for tick in utc(expression, "2026-01-01T00:00", 3)] == expected


def test_a_leap_day_is_found_over_the_century_that_has_none() -> None:
    assert utc("cron(0 0 29 2 ? *)", "2096-03-01T00:00", 1) == ["2104-02-29T00:00"]


@pytest.mark.parametrize(
    ("expression", "minutes"),
    [
        ("5,10-12,50/4", [5, 10, 11, 12, 50, 54, 58]),
        ("58-2", [0, 1, 2, 58, 59]),
        ("*/25", [0, 25, 50]),
        ("7", [7]),
        ("50-9/6", [2, 8, 50, 56]),
    ],
)
def test_lists_ranges_and_steps_add_up(expression: str, minutes: list[int]) -> None:
    found = utc(f"cron({expression} 3 1 1 ? 2026)", "2026-01-01T00:00", 99)
    assert found == [f"2026-01-01T03:{minute:02}" for minute in minutes]


def test_a_tick_comes_strictly_after_the_time_asked_about() -> None:
    expression = parse_expression("cron(0 12 * * ? *)", "UTC")
    noon = ms("2026-01-01T12:00")
    assert expression.next_after_ms(noon - 1) == noon
    assert expression.next_after_ms(noon) == noon + DAY


@pytest.mark.parametrize("far", [-(10**18), -1, 0, 10**18])
def test_times_out_of_all_reason_are_answered(far: int) -> None:
    expected = ms("1970-01-01T00:00") if far < 0 else ms("1970-01-01T00:01") if far == 0 else None
    assert parse_expression("cron(* * * * ? *)", "UTC").next_after_ms(far) == expected


# --- daylight saving, as EventBridge Scheduler documents it -------------------------------------------------------


def test_what_a_clock_change_skips_does_not_run_that_day() -> None:
    assert ticks("cron(30 2 * * ? *)", "2026-03-07T00:00", 2, "America/New_York") == [
        "2026-03-07T02:30-05:00",
        "2026-03-09T02:30-04:00",
    ]


def test_what_a_clock_change_repeats_runs_once() -> None:
    assert ticks("cron(30 1 * * ? *)", "2026-11-01T00:00", 2, "America/New_York") == [
        "2026-11-01T01:30-04:00",
        "2026-11-02T01:30-05:00",
    ]
    assert ticks("cron(0/20 1-2 1 11 ? 2026)", "2026-11-01T00:00", 9, "America/New_York") == [
        *("2026-11-01T01:00-04:00", "2026-11-01T01:20-04:00", "2026-11-01T01:40-04:00"),
        *("2026-11-01T02:00-05:00", "2026-11-01T02:20-05:00", "2026-11-01T02:40-05:00"),
    ]


def test_asked_in_the_repeated_hour_the_next_tick_is_behind_it() -> None:
    expression = parse_expression("cron(0/20 * * * ? *)", "America/New_York")
    repeated = ms("2026-11-01T06:10")  # 01:10 for the second time
    assert expression.next_after_ms(repeated) == ms("2026-11-01T07:00")


def test_a_day_that_a_time_zone_never_had_has_no_tick() -> None:
    assert ticks("cron(0 12 * * ? *)", "2011-12-29T00:00", 2, "Pacific/Apia") == [
        "2011-12-29T12:00-10:00",
        "2011-12-31T12:00+14:00",
    ]


def test_midnight_that_a_clock_change_skips_does_not_run() -> None:
    found = ticks("cron(0 0 * * ? *)", "2024-04-25T00:00", 3, "Africa/Cairo")
    assert [tick[:16] for tick in found] == ["2024-04-25T00:00", "2024-04-27T00:00", "2024-04-28T00:00"]


def test_one_moment_is_read_in_its_time_zone() -> None:
    assert parse_expression("at(2022-11-20T13:00:00)", "America/New_York") == Once(ms("2022-11-20T18:00"))
    assert parse_expression("at(2022-11-20T13:00:07)", "UTC") == Once(ms("2022-11-20T13:00:07"))


def test_one_moment_comes_once_or_never() -> None:
    once = parse_expression("at(2026-11-01T01:30:00)", "America/New_York")
    assert once.next_after_ms(0) == ms("2026-11-01T05:30")
    assert once.next_after_ms(ms("2026-11-01T05:30")) is None
    assert parse_expression("at(2026-03-08T02:30:00)", "America/New_York").next_after_ms(0) is None


# --- rates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "period"),
    [
        *(("rate(1 minute)", MINUTE), ("rate(5 minutes)", 5 * MINUTE), ("rate(1 hour)", HOUR)),
        *(("rate(12 hours)", 12 * HOUR), ("rate(1 day)", DAY), ("rate(7 days)", 7 * DAY)),
        *(("rate(2 minute)", 2 * MINUTE), ("rate(1 hours)", HOUR)),
    ],
)
def test_rates_are_read_with_either_form_of_their_unit(text: str, period: int) -> None:
    assert parse_expression(text, "UTC") == Rate(period)


def test_a_rate_ticks_at_its_anchor_and_by_its_period_from_then_on() -> None:
    rate = Rate(5 * MINUTE).anchored(1_234)
    assert rate.next_after_ms(-(10**15)) == 1_234
    assert rate.next_after_ms(1_233) == 1_234
    assert rate.next_after_ms(1_234) == 301_234
    assert rate.next_after_ms(301_233) == 301_234
    assert rate.count(0, 301_234) == 2
    assert rate.count(1_234, 301_233) == 0
    assert rate.latest_ms(0, 301_233) == 1_234
    assert rate.latest_ms(1_234, 301_234) == 301_234
    assert rate.latest_ms(1_234, 301_233) is None


def test_a_rate_of_ages_ends_like_all_schedules_with_the_year_2199() -> None:
    rate = parse_expression("rate(999999999 days)", "UTC")
    assert rate.next_after_ms(0) is None
    assert rate.count(0, 10**20) == 0
    assert rate.latest_ms(-1, 10**20) == 0


# --- bounds of a schedule -----------------------------------------------------------------------------------------


def of(expression: str, start: int | None = None, end: int | None = None, created: int = 0) -> Expression:
    return expression_of(Schedule("a", expression, "f", start_ms=start, end_ms=end, created_ms=created))


def test_a_rate_counts_from_the_start_or_else_from_the_making() -> None:
    assert of("rate(5 minutes)", created=77).next_after_ms(0) == 77
    assert of("rate(5 minutes)", start=99, created=77).next_after_ms(0) == 99
    assert of("rate(5 minutes)", start=99, created=77).next_after_ms(99) == 99 + 5 * MINUTE


def test_ticks_lie_between_start_and_end_with_both_included() -> None:
    hourly = of("cron(0 * * * ? *)", start=HOUR, end=3 * HOUR)
    assert isinstance(hourly, Between)
    assert [hourly.next_after_ms(at) for at in (0, HOUR, 2 * HOUR, 3 * HOUR)] == [HOUR, 2 * HOUR, 3 * HOUR, None]
    assert hourly.count(-1, 9 * HOUR) == 3
    assert hourly.count(4 * HOUR, 9 * HOUR) == 0
    assert hourly.latest_ms(-1, 9 * HOUR) == 3 * HOUR
    assert hourly.latest_ms(-1, HOUR - 1) is None


def test_start_and_end_say_nothing_about_one_moment() -> None:
    assert of("at(1970-01-01T00:01:00)", start=2 * MINUTE, end=3 * MINUTE).next_after_ms(0) == MINUTE


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        # Refused by the real service, as recorded from it.
        *("cron(0 1 * * * *)", "cron(7 20 * * NOT *)", "cron(INVALID)", "cron(0 dummy ? * MON-FRI *)"),
        *("cron(71 8 1 * ? *)", "cron()", "rate(10 seconds)", "rate(10 years)", "rate()", "rate(10)"),
        *("rate(10 minutess)", "rate(foo minutes)", "rate(-10 minutes)", "rate( 10 minutes )", " rate(10 minutes)"),
        *("at(2021-12-31T23:59:59Z)", "at(2021-12-31)", "rate(30 seconds)", "cron(*/30 * * * * ? *)"),
        # And by the grammar.
        *("", "rate(0 minutes)", "rate(5  minutes)", "rate(5 Minutes)", "rate(5 minutes) ", "rate(٥ minutes)"),
        *("cron(0 0 ? * ? *)", "cron(0 0 1 * MON *)", "cron( 0 12 * * ? *)", "cron(0 12 * * ? *", "CRON(0 12 * * ? *)"),
        *("cron(60 * * * ? *)", "cron(* 24 * * ? *)", "cron(* * 0 * ? *)", "cron(* * 32 * ? *)", "cron(* * * 13 ? *)"),
        *("cron(* * ? * 0 *)", "cron(* * ? * 8 *)", "cron(* * * * ? 1969)", "cron(* * * * ? 2200)"),
        *(
            "cron(*/0 * * * ? *)",
            "cron(*/60 * * * ? *)",
            "cron(/5 * * * ? *)",
            "cron(5- * * * ? *)",
            "cron(, * * * ? *)",
        ),
        *("cron(1,,2 * * * ? *)", "cron(*-5 * * * ? *)", "cron(1-2-3 * * * ? *)", "cron(1/2/3 * * * ? *)"),
        *("cron(* * ? * 3#1,6#3 *)", "cron(* * ? * 3#6 *)", "cron(* * ? * 3#0 *)", "cron(* * ? * 2L,3 *)"),
        *("cron(* * ? * 2/2 *)", "cron(* * L,3 * ? *)", "cron(* * 1,15W * ? *)", "cron(* * 0W * ? *)"),
        *("cron(* * 32W * ? *)", "cron(* * W * ? *)", "cron(* * L-31 * ? *)", "cron(? * * * ? *)", "cron(L * * * ? *)"),
        *("cron(* * * * ? 2030-2020)", "cron(* * * JANUARY ? *)", "cron(* * ? * MO *)", "cron(-1 * * * ? *)"),
        *("at(2026-02-30T00:00:00)", "at(2026-01-01T24:00:00)", "at(2026-01-01 00:00:00)", "at(2300-01-01T00:00:00)"),
    ],
)
def test_what_the_grammar_does_not_have_is_refused_in_schedulers_words(text: str) -> None:
    with pytest.raises(ValidationException) as refused:
        parse_expression(text, "UTC")
    assert refused.value.message.startswith(f"Invalid Schedule Expression {text}. ")
    assert refused.value.message.endswith((".", ")"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cron(71 8 1 * ? *)", "The minutes field takes 0-59, not 71."),
        ("cron(0 8 ? * NOT *)", "The day-of-week field takes 1-7 or SUN-SAT, not NOT."),
        ("cron(0 12 * * ?)", "and this has 5."),
        ("cron(0 1 * * * *)", "these are * and *: put ? into the one that does not matter."),
        ("cron(* * 1,15W * ? *)", "stand alone, unlike in 1,15W."),
        ("cron(*/90 * * * ? *)", "The minutes field takes steps of 1-59 after /, not 90."),
        ("at(2026-02-30T00:00:00)", "There is no such moment: day is out of range for month."),
        ("every 5 minutes", "of the form rate(5 minutes), cron(0 12 * * ? *) or at(2026-12-24T18:00:00)."),
    ],
)
def test_a_refusal_says_what_is_wrong_and_what_would_do(text: str, why: str) -> None:
    with pytest.raises(ValidationException) as refused:
        parse_expression(text, "UTC")
    assert refused.value.message.endswith(why)


def test_an_endless_expression_is_neither_read_nor_repeated_in_full() -> None:
    with pytest.raises(ValidationException) as refused:
        parse_expression(f"cron({'1,' * 10**6}1 * * * ? *)", "UTC")
    assert len(refused.value.message) < 400


@pytest.mark.parametrize(
    "name",
    [
        *("", "Mars/Olympus", "../../../etc/passwd", "/etc/localtime", "America", "posix/UTC", "right/Europe/Berlin"),
        *("utc+1", "Europe/Berlin\0", "Europe/Berlin ", "a" * 10_000, "Europe//Berlin", "zone.tab", "tzdata.zi"),
    ],
)
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValidationException) as refused:
        parse_expression("rate(1 minute)", name)
    assert refused.value.message.startswith(f"Invalid Timezone {name[:50]}")
    assert len(refused.value.message) < 300
