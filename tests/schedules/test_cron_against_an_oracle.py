"""Cron expressions against an oracle that walks every minute, or every day, and asks each field's text anew."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.schedules.cron import Cron

MINUTE_MS = 60_000
NAMES = {datetime(2026, month, 1).strftime("%b").upper(): month for month in range(1, 13)}
NAMES |= {datetime(2026, 2, day).strftime("%a").upper(): day for day in range(1, 8)}  # the 1st is a Sunday
RANGES = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (1, 7), "year": (1970, 2199)}


def number(text: str) -> int:
    return NAMES[text] if text in NAMES else int(text)


def allows(text: str, value: int, field: str) -> bool:
    """Whether a field's text allows a value: walks from each item's start as the words say, one value at a time."""
    least, most = RANGES[field]
    for item in text.split(","):
        head, _, step = item.partition("/")
        if head == "*":
            first, last = least, most
        elif "-" in head:
            first, last = map(number, head.split("-"))
        else:
            first, last = number(head), most if step else number(head)
        at, taken = first, 0
        while True:
            if at == value and taken % int(step or 1) == 0:
                return True
            if at == last:
                break
            at, taken = (least if at == most else at + 1), taken + 1
    return False


def allows_day(day_text: str, weekday_text: str, day: date) -> bool:
    length = calendar.monthrange(day.year, day.month)[1]
    number_of = day.isoweekday() % 7 + 1
    if day_text == "?":
        if weekday_text == "L":
            return number_of == 7
        if weekday_text.endswith("L"):
            return number_of == number(weekday_text[:-1]) and (day + timedelta(days=7)).month != day.month
        if "#" in weekday_text:
            wanted, place = weekday_text.split("#")
            before = day - timedelta(days=7 * (int(place) - 1))
            earlier = before - timedelta(days=7)
            return number_of == number(wanted) and before.month == day.month != earlier.month
        return allows(weekday_text, number_of, "weekday")
    if day_text == "LW" or day_text.endswith("W"):
        wanted_day = length if day_text == "LW" else int(day_text[:-1])
        if wanted_day > length:
            return False
        target = day.replace(day=wanted_day)
        weekdays = [day.replace(day=each) for each in range(1, length + 1) if day.replace(day=each).isoweekday() < 6]
        return day == min(weekdays, key=lambda each: abs((each - target).days))
    if day_text.startswith("L"):
        return day.day == length - int(day_text[2:] or 0)
    return allows(day_text, day.day, "day")


class Oracle:
    def __init__(self, text: str, zone: str) -> None:
        self.minutes, self.hours, self.day, self.months, self.weekday, self.years = text.split()
        self.zone = ZoneInfo(zone)
        self.days: dict[date, bool] = {}
        self.times: dict[tuple[int, int], bool] = {}

    def ticks(self, start_ms: int, end_ms: int) -> list[int]:
        """Of every minute after the one and up to the other."""
        first = start_ms // MINUTE_MS + 1
        minutes = range(first * MINUTE_MS, end_ms + 1, MINUTE_MS)
        return [at for at in minutes if self.holds(datetime.fromtimestamp(at / 1000, self.zone))]

    def holds(self, local: datetime) -> bool:
        if local.fold:
            return False
        day, time = local.date(), (local.hour, local.minute)
        if day not in self.days:
            in_month = allows(self.months, day.month, "month") and allows(self.years, day.year, "year")
            self.days[day] = in_month and allows_day(self.day, self.weekday, day)
        if self.days[day] and time not in self.times:
            hour, minute = time
            self.times[time] = allows(self.hours, hour, "hour") and allows(self.minutes, minute, "minute")
        return self.days[day] and self.times[time]


def field(name: str, names: tuple[str, ...] = (), *, steps: bool = True, wraps: bool = True) -> st.SearchStrategy[str]:
    least, most = RANGES[name]
    value = st.integers(least, most)
    shown = st.one_of(value.map(str), st.sampled_from(names)) if names else value.map(str)
    pairs = st.tuples(value, value).map(lambda pair: pair if wraps else (min(pair), max(pair)))
    spans = pairs.map(lambda pair: f"{pair[0]}-{pair[1]}")
    step = st.integers(1, min(most, 60) if name == "year" else most)
    items = [shown, spans, st.just("*")]
    if steps:
        items.append(st.tuples(st.one_of(shown, spans, st.just("*")), step).map(lambda both: f"{both[0]}/{both[1]}"))
    return st.lists(st.one_of(items), min_size=1, max_size=3).map(",".join)


months = field("month", ("JAN", "FEB", "JUN", "DEC"))
weekdays = field("weekday", ("SUN", "MON", "SAT"), steps=False)
one_weekday = st.one_of(st.integers(1, 7).map(str), st.sampled_from(["SUN", "MON", "FRI"]))
days = st.one_of(
    st.tuples(
        st.one_of(
            field("day"),
            st.sampled_from(["L", "LW", "*"]),
            st.integers(1, 30).map(lambda before: f"L-{before}"),
            st.integers(1, 31).map(lambda day: f"{day}W"),
        ),
        st.just("?"),
    ),
    st.tuples(
        st.just("?"),
        st.one_of(
            weekdays,
            st.just("L"),
            one_weekday.map(lambda day: f"{day}L"),
            st.tuples(one_weekday, st.integers(1, 5)).map(lambda both: f"{both[0]}#{both[1]}"),
        ),
    ),
)
any_day = st.sampled_from([("*", "?"), ("?", "*")])

# Clock changes: of an hour, of half an hour, at midnight either way, of a whole day; and zones at odd offsets.
CHANGES = [
    ("UTC", "2026-02-27"),
    ("America/New_York", "2026-03-07"),
    ("America/New_York", "2026-10-31"),
    ("Europe/Berlin", "2026-10-24"),
    ("Australia/Lord_Howe", "2026-04-04"),
    ("Australia/Lord_Howe", "2026-10-03"),
    ("Africa/Cairo", "2024-04-25"),
    ("Africa/Cairo", "2024-10-31"),
    ("America/Havana", "2026-10-31"),
    ("America/Sao_Paulo", "2018-11-03"),
    ("America/Sao_Paulo", "2018-02-17"),
    ("Pacific/Apia", "2011-12-29"),
    ("Asia/Kathmandu", "2027-12-31"),
    ("Africa/Casablanca", "2026-02-14"),
    ("America/Scoresbysund", "2024-03-30"),
]


@settings(max_examples=150, deadline=None)
@given(
    minutes=field("minute"),
    hours=field("hour"),
    day=st.one_of(any_day, any_day, days),
    place=st.sampled_from(CHANGES),
    offset=st.integers(0, 24 * 60 * MINUTE_MS),
)
def test_three_days_of_minutes_are_as_the_oracle_says(
    minutes: str, hours: str, day: tuple[str, str], place: tuple[str, str], offset: int
) -> None:
    text = f"{minutes} {hours} {day[0]} * {day[1]} *"
    zone, around = place
    start = int(datetime.fromisoformat(around).replace(tzinfo=UTC).timestamp() * 1000) - 12 * 3_600_000 + offset
    end = start + 3 * 86_400_000
    cron, expected = Cron(text, ZoneInfo(zone)), Oracle(text, zone).ticks(start, end)
    found, at = [], start
    while (tick := cron.next_after_ms(at)) is not None and tick <= end:
        found.append(tick)
        at = tick
    assert found == expected
    assert cron.count(start, end) == len(expected)
    assert cron.latest_ms(start, end) == (expected[-1] if expected else None)


@settings(max_examples=150, deadline=None)
@given(
    months=months,
    day=days,
    years=field("year", wraps=False),
    start=st.dates(date(1970, 1, 1), date(2196, 1, 1)),
)
def test_three_years_of_days_are_as_the_oracle_says(months: str, day: tuple[str, str], years: str, start: date) -> None:
    text = f"0 12 {day[0]} {months} {day[1]} {years}"
    cron, oracle = Cron(text, UTC), Oracle(text, "UTC")
    noons = [datetime(start.year, start.month, start.day, 12, tzinfo=UTC) + timedelta(days=n) for n in range(3 * 365)]
    expected = [int(noon.timestamp()) * 1000 for noon in noons if oracle.holds(noon)]
    first, last = (int(noon.timestamp()) * 1000 for noon in (noons[0], noons[-1]))
    found, at = [], first - 1
    while (tick := cron.next_after_ms(at)) is not None and tick <= last:
        found.append(tick)
        at = tick
    assert found == expected
    assert cron.count(first - 1, last) == len(expected)
    assert cron.latest_ms(first - 1, last) == (expected[-1] if expected else None)


@settings(max_examples=100, deadline=None)
@given(place=st.sampled_from(CHANGES), moments=st.lists(st.integers(0, 4 * 24 * 60), min_size=2, max_size=12))
def test_counts_of_adjoining_spans_add_up(place: tuple[str, str], moments: list[int]) -> None:
    zone, around = place
    start = int(datetime.fromisoformat(around).replace(tzinfo=UTC).timestamp() * 1000) - 86_400_000
    cron = Cron("*/7 * * * ? *", ZoneInfo(zone))
    ends = sorted(start + moment * MINUTE_MS for moment in moments)
    assert sum(cron.count(*span) for span in pairwise(ends)) == cron.count(ends[0], ends[-1])


def test_a_century_of_every_minute_is_counted_by_days() -> None:
    begin = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1000
    end = int(datetime(2126, 1, 1, tzinfo=UTC).timestamp()) * 1000
    assert Cron("* * * * ? *", UTC).count(begin - 1, end - 1) == (end - begin) // MINUTE_MS
