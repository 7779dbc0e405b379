"""F3: EventBridge's six cron fields as sets of values, and the moments at which they hold in a time zone.

Own code, because no library has this grammar and daylight saving as EventBridge Scheduler documents them: aws-croniter
knows UTC alone, fails on `LW` and gives up on days that are years away; cronsim and croniter read Unix's fields, move
what a clock change skips and repeat what it repeats.

Local times are naive here. Those that a clock change skips never come; of those that come twice the first counts. Both
keep local times and instants in one order, which is what the search rests on.
"""

from __future__ import annotations

import calendar
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import takewhile
from typing import Final, NamedTuple

FIELDS: Final = "minutes hours day-of-month month day-of-week year"
EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
SEARCH_FIRST_MS: Final = -2 * 86_400_000  # before 1970 in every zone
SEARCH_LAST_MS: Final = int(datetime(2200, 1, 3, tzinfo=UTC).timestamp()) * 1000  # after 2199 in every zone

Days = Callable[[int, int], Iterable[int]]  # year, month → days of the month, ascending


class Field(NamedTuple):
    """The values of one field. `steps` says whether `/` is among its wildcards, `wraps` whether 22-2 is a range."""

    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()
    steps: bool = True
    wraps: bool = True

    @property
    def allowed(self) -> str:
        named = f" or {self.names[0]}-{self.names[-1]}" if self.names else ""
        return f"The {self.name} field takes {self.least}-{self.most}{named}"


MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MINUTE: Final = Field("minutes", 0, 59)
HOUR: Final = Field("hours", 0, 23)
DAY: Final = Field("day-of-month", 1, 31)
MONTH: Final = Field("month", 1, 12, MONTHS)
WEEKDAY: Final = Field("day-of-week", 1, 7, WEEKDAYS, steps=False)
YEAR: Final = Field("year", 1970, 2199, wraps=False)

_LAST_DAY = re.compile(r"L(?:-([1-9]|[12][0-9]|30))?")
_NEAR_DAY = re.compile(r"([0-9]{1,2})W")
_LAST_WEEKDAY = re.compile(r"([0-9A-Z]+)L")
_NTH_WEEKDAY = re.compile(r"([0-9A-Z]+)#([1-5])")


class Cron:
    """Six fields in a time zone."""

    __slots__ = ("_days", "_hours", "_minutes", "_months", "_years", "_zone")

    def __init__(self, text: str, zone: tzinfo) -> None:
        """Raises ValueError, with a sentence that says what is wrong in `text`: what stands between the brackets."""
        fields = text.upper().split()
        if len(fields) != 6:
            raise ValueError(f"cron takes six fields ({FIELDS}), and this has {len(fields)}.")
        minutes, hours, day, month, weekday, years = fields
        self._minutes = values_of(minutes, MINUTE)
        self._hours = values_of(hours, HOUR)
        self._months = values_of(month, MONTH)
        self._years = values_of(years, YEAR)
        self._days = days_of(day, weekday)
        self._zone = zone

    def next_after_ms(self, ms: int) -> int | None:
        if ms >= SEARCH_LAST_MS:
            return None
        for moment in self._moments(local_time(max(ms, SEARCH_FIRST_MS), self._zone)):
            tick_ms = instant_ms(moment, self._zone)
            if tick_ms is not None and tick_ms > ms:
                return tick_ms
        return None

    def count(self, after_ms: int, until_ms: int) -> int:
        """By days, so that years of every minute are counted in milliseconds."""
        counted = 0
        for ticks in map(self._ticks_of, self._days_between(after_ms, until_ms)):
            if ticks and after_ms < ticks[0] and ticks[-1] <= until_ms:
                counted += len(ticks)
            else:
                counted += bisect_right(ticks, until_ms) - bisect_right(ticks, after_ms)
        return counted

    def latest_ms(self, after_ms: int, until_ms: int) -> int | None:
        for day in reversed(list(self._days_between(after_ms, until_ms))):
            ticks = self._ticks_of(day)
            if place := bisect_right(ticks, until_ms):
                return ticks[place - 1] if ticks[place - 1] > after_ms else None
        return None

    def _days_between(self, after_ms: int, until_ms: int) -> Iterator[date]:
        """The days whose ticks can lie there."""
        after_ms, until_ms = max(after_ms, SEARCH_FIRST_MS), min(until_ms, SEARCH_LAST_MS)
        if until_ms <= after_ms:
            return iter(())
        # A day more at either end: where clocks go back over midnight, dates and instants are not in one order.
        last = local_time(until_ms, self._zone).date() + timedelta(days=1)
        first = local_time(after_ms, self._zone).date() - timedelta(days=1)
        return takewhile(lambda day: day <= last, self._dates(first))

    def _ticks_of(self, day: date) -> list[int] | DayTicks:
        begin = datetime(day.year, day.month, day.day, tzinfo=self._zone)
        offset = begin.utcoffset() or timedelta()
        if offset == (begin + timedelta(days=1)).utcoffset():
            midnight_ms = (day.toordinal() - EPOCH_DAY) * 86_400_000 - int(offset.total_seconds()) * 1000
            return DayTicks(midnight_ms, self._hours, self._minutes)
        ticks = (instant_ms(moment, self._zone) for moment in self._moments_of(day, begin.replace(tzinfo=None)))
        return [tick_ms for tick_ms in ticks if tick_ms is not None]

    def _moments(self, start: datetime) -> Iterator[datetime]:
        for day in self._dates(start.date()):
            yield from self._moments_of(day, start)

    def _moments_of(self, day: date, start: datetime) -> Iterator[datetime]:
        """The local times of one day from `start` on."""
        hour_least = start.hour if day == start.date() else 0
        for hour in self._hours[bisect_left(self._hours, hour_least) :]:
            minute_least = start.minute if hour == hour_least and day == start.date() else 0
            for minute in self._minutes[bisect_left(self._minutes, minute_least) :]:
                yield datetime(day.year, day.month, day.day, hour, minute)

    def _dates(self, first: date) -> Iterator[date]:
        for year in self._years[bisect_left(self._years, first.year) :]:
            for month in self._months:
                if (year, month) >= (first.year, first.month):
                    for day in self._days(year, month):
                        if day >= first.day or (year, month) != (first.year, first.month):
                            yield date(year, month, day)


class DayTicks:
    """The ticks of a day on which clocks are not changed, ascending, worked out as they are looked at."""

    __slots__ = ("_hours", "_midnight_ms", "_minutes")

    def __init__(self, midnight_ms: int, hours: tuple[int, ...], minutes: tuple[int, ...]) -> None:
        self._midnight_ms = midnight_ms
        self._hours = hours
        self._minutes = minutes

    def __len__(self) -> int:
        return len(self._hours) * len(self._minutes)

    def __getitem__(self, place: int) -> int:
        hour, minute = divmod(place, len(self._minutes))
        return self._midnight_ms + (self._hours[hour] * 60 + self._minutes[minute]) * 60_000


def local_time(ms: int, zone: tzinfo) -> datetime:
    """The minute that clocks in `zone` show then."""
    return datetime.fromtimestamp(ms // 1000, zone).replace(tzinfo=None, second=0, fold=0)


def instant_ms(moment: datetime, zone: tzinfo) -> int | None:
    """When clocks in `zone` show this first; None where a change of theirs leaves it out."""
    instant_s = int(moment.replace(tzinfo=zone).timestamp())
    exists = datetime.fromtimestamp(instant_s, zone).replace(tzinfo=None, fold=0) == moment
    return instant_s * 1000 if exists else None


def values_of(text: str, field: Field) -> tuple[int, ...]:
    """What a list of values, ranges and steps allows, ascending. Raises ValueError."""
    return tuple(sorted({value for item in text.split(",") for value in _item(item, field)}))


def _item(item: str, field: Field) -> Iterable[int]:
    head, slash, step = item.partition("/")
    low, dash, high = head.partition("-")
    if slash and not field.steps:
        raise ValueError(f"The {field.name} field takes no /: list its values instead of {item}.")
    if head == "*":
        start, end = field.least, field.most
    else:
        start = _value(low, field)
        end = _value(high, field) if dash else field.most if slash else start
    every = _step(step, field) if slash else 1
    if start <= end:
        return range(start, end + 1, every)
    if not field.wraps:
        raise ValueError(f"The {field.name} field has the range {head}, which ends before it begins.")
    return [*range(start, field.most + 1), *range(field.least, end + 1)][::every]


def _value(text: str, field: Field) -> int:
    if text in field.names:
        return field.least + field.names.index(text)
    if re.fullmatch(r"[0-9]{1,4}", text) and field.least <= int(text) <= field.most:
        return int(text)
    raise ValueError(f"{field.allowed}, not {text or 'nothing'}.")


def _step(text: str, field: Field) -> int:
    if re.fullmatch(r"[0-9]{1,4}", text) and 1 <= int(text) <= field.most:
        return int(text)
    raise ValueError(f"The {field.name} field takes steps of 1-{field.most} after /, not {text or 'nothing'}.")


def days_of(day: str, weekday: str) -> Days:
    """The days that the two day fields mean together. Raises ValueError."""
    if (day == "?") == (weekday == "?"):
        raise ValueError(
            f"Exactly one of day-of-month and day-of-week must be ?, and these are {day} and {weekday}: "
            "put ? into the one that does not matter."
        )
    return _month_days(day) if weekday == "?" else _week_days(weekday)


def _month_days(text: str) -> Days:
    if text == "LW":
        return lambda year, month: [_near_weekday(year, month, calendar.monthrange(year, month)[1])]
    if last := _LAST_DAY.fullmatch(text):
        before = int(last[1] or 0)
        return lambda year, month: range(max(1, _length(year, month) - before), _length(year, month) - before + 1)
    if near := _NEAR_DAY.fullmatch(text):
        wanted = _value(near[1], DAY)
        return lambda year, month: [_near_weekday(year, month, wanted)] if wanted <= _length(year, month) else []
    if "L" in text or "W" in text:
        raise ValueError(f"In the day-of-month field L, L-3, LW and 15W stand alone, unlike in {text}.")
    values = values_of(text, DAY)
    return lambda year, month: values[: bisect_left(values, _length(year, month) + 1)]


def _week_days(text: str) -> Days:
    if text == "L":  # the last day of the week
        text = "SAT"
    if last := _LAST_WEEKDAY.fullmatch(text):
        final = frozenset([_value(last[1], WEEKDAY)])
        return lambda year, month: _days_on(final, year, month)[-1:]
    if nth := _NTH_WEEKDAY.fullmatch(text):
        wanted, place = frozenset([_value(nth[1], WEEKDAY)]), int(nth[2])
        return lambda year, month: _days_on(wanted, year, month)[place - 1 : place]
    if "L" in text or "#" in text:
        raise ValueError(f"In the day-of-week field 5L and 3#2 (1-5 after #) stand alone, unlike in {text}.")
    values = frozenset(values_of(text, WEEKDAY))
    return lambda year, month: _days_on(values, year, month)


def _days_on(weekdays: frozenset[int], year: int, month: int) -> list[int]:
    """The days of a month that are among `weekdays`, of which 1 is Sunday."""
    first, length = calendar.monthrange(year, month)  # where 0 is Monday
    return [day for day in range(1, length + 1) if (first + day) % 7 + 1 in weekdays]


def _near_weekday(year: int, month: int, day: int) -> int:
    """The day from Monday to Friday that is nearest and in the same month."""
    first, length = calendar.monthrange(year, month)
    place = (first + day - 1) % 7
    if place == 5:
        return day - 1 if day > 1 else day + 2
    if place == 6:
        return day + 1 if day < length else day - 2
    return day


def _length(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]
