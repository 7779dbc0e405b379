"""F3: schedule expressions as EventBridge Scheduler reads them: `rate(…)`, `cron(…)` and `at(…)`, each in a time zone.

What cron's fields mean is `cron.py`'s. Rules: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from ...errors import ValidationException
from ...model import Schedule
from .cron import SEARCH_LAST_MS, YEAR, Cron, instant_ms

EXPRESSION_MAX: Final = 256  # characters; both of Scheduler's service model
TIMEZONE_MAX: Final = 50
UNITS_MS: Final = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}

_RATE = re.compile(r"rate\(([0-9]{1,9}) (minute|hour|day)s?\)")
_AT = re.compile(r"at\(([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\)")
_CRON = re.compile(r"cron\((\S|\S.*\S)\)")
_ZONE = re.compile(r"(?!posix/|right/|posixrules|localtime)[A-Za-z][\w+-]*(/[\w+-]+)*", re.ASCII)


class Expression(Protocol):
    def next_after_ms(self, ms: int, /) -> int | None:
        """The first tick strictly after Unix time `ms`; None when there is none any more."""

    def count(self, after_ms: int, until_ms: int, /) -> int:
        """How many ticks lie after the one and up to the other."""

    def latest_ms(self, after_ms: int, until_ms: int, /) -> int | None:
        """The last tick after the one and up to the other. Meant for days: looks at each in between."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A tick at `anchor_ms` and one each `period_ms` from then on: days of 24 hours, whatever clocks do."""

    period_ms: int
    anchor_ms: int = 0

    def anchored(self, ms: int) -> Rate:
        return replace(self, anchor_ms=ms)

    def next_after_ms(self, ms: int) -> int | None:
        tick_ms = self.anchor_ms + self._before(ms) * self.period_ms
        return tick_ms if tick_ms < SEARCH_LAST_MS else None

    def count(self, after_ms: int, until_ms: int) -> int:
        return max(0, self._before(min(until_ms, SEARCH_LAST_MS - 1)) - self._before(after_ms))

    def latest_ms(self, after_ms: int, until_ms: int) -> int | None:
        if self.count(after_ms, until_ms) == 0:
            return None
        return self.anchor_ms + (self._before(min(until_ms, SEARCH_LAST_MS - 1)) - 1) * self.period_ms

    def _before(self, ms: int) -> int:
        """How many ticks there are up to then."""
        return max(0, (ms - self.anchor_ms) // self.period_ms + 1)


@dataclass(frozen=True, slots=True)
class Once:
    """One tick; none where clocks in its time zone skip that moment."""

    tick_ms: int | None

    def next_after_ms(self, ms: int) -> int | None:
        return self.tick_ms if self.tick_ms is not None and self.tick_ms > ms else None

    def count(self, after_ms: int, until_ms: int) -> int:
        return int(self.latest_ms(after_ms, until_ms) is not None)

    def latest_ms(self, after_ms: int, until_ms: int) -> int | None:
        return self.tick_ms if self.tick_ms is not None and after_ms < self.tick_ms <= until_ms else None


@dataclass(frozen=True, slots=True)
class Between:
    """The ticks of another expression from `start_ms` to `end_ms`, both included; None is without bound."""

    whole: Expression
    start_ms: int | None
    end_ms: int | None

    def next_after_ms(self, ms: int) -> int | None:
        tick_ms = self.whole.next_after_ms(self._from(ms))
        return None if tick_ms is None or (self.end_ms is not None and tick_ms > self.end_ms) else tick_ms

    def count(self, after_ms: int, until_ms: int) -> int:
        return self.whole.count(self._from(after_ms), self._to(until_ms))

    def latest_ms(self, after_ms: int, until_ms: int) -> int | None:
        return self.whole.latest_ms(self._from(after_ms), self._to(until_ms))

    def _from(self, ms: int) -> int:
        return ms if self.start_ms is None else max(ms, self.start_ms - 1)

    def _to(self, ms: int) -> int:
        return ms if self.end_ms is None else min(ms, self.end_ms)


def expression_of(schedule: Schedule) -> Expression:
    """When a schedule ticks while it is enabled. Raises ValidationException.

    Its first and last moment do not hold for `at(…)`, and a rate counts from its first moment or else from its making:
    both are Scheduler's rules.
    """
    expression = parse_expression(schedule.expression, schedule.timezone)
    if isinstance(expression, Once):
        return expression
    if isinstance(expression, Rate):
        expression = expression.anchored(schedule.created_ms if schedule.start_ms is None else schedule.start_ms)
    if schedule.start_ms is None and schedule.end_ms is None:
        return expression
    return Between(expression, schedule.start_ms, schedule.end_ms)


def parse_expression(text: str, timezone: str) -> Expression:
    """Read an expression; a rate comes back anchored at 0. Raises ValidationException in Scheduler's words and more."""
    zone = _zone(timezone)
    shown = text if len(text) <= EXPRESSION_MAX else text[:EXPRESSION_MAX] + "…"
    try:
        return _parse(text, zone)
    except ValueError as error:
        raise ValidationException(f"Invalid Schedule Expression {shown}. {error}") from None


def _parse(text: str, zone: tzinfo) -> Expression:
    if len(text) > EXPRESSION_MAX:
        raise ValueError(f"It has {len(text)} characters, and {EXPRESSION_MAX} is the most.")
    if text.startswith("rate("):
        return _rate(text)
    if text.startswith("cron("):
        return _cron(text, zone)
    if text.startswith("at("):
        return _at(text, zone)
    raise ValueError("It must be of the form rate(5 minutes), cron(0 12 * * ? *) or at(2026-12-24T18:00:00).")


def _rate(text: str) -> Rate:
    # Unlike EventBridge's rules, Scheduler takes `rate(2 minute)`: it does not ask for the singular at 1 alone.
    match = _RATE.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise ValueError("A rate is a whole number above 0, one space, and minutes, hours or days: rate(5 minutes).")
    return Rate(int(match[1]) * UNITS_MS[match[2]])


def _cron(text: str, zone: tzinfo) -> Cron:
    match = _CRON.fullmatch(text)
    if match is None:
        raise ValueError("Six fields stand between the brackets, with no space before or after: cron(0 12 * * ? *).")
    return Cron(match[1], zone)


def _at(text: str, zone: tzinfo) -> Once:
    match = _AT.fullmatch(text)
    if match is None:
        raise ValueError(
            "A moment is written yyyy-mm-ddThh:mm:ss, and its time zone is said apart: at(2026-12-24T18:00:00)."
        )
    year, month, day, hour, minute, second = map(int, match.groups())
    if not YEAR.least <= year <= YEAR.most:
        raise ValueError(f"{YEAR.allowed}, not {year}.")
    try:
        moment = datetime(year, month, day, hour, minute, second)
    except ValueError as error:
        raise ValueError(f"There is no such moment: {error}.") from None
    return Once(instant_ms(moment, zone))


def _zone(name: str) -> tzinfo:
    if name == "UTC":  # which must not depend on the host's time zone database
        return UTC
    try:
        if len(name) <= TIMEZONE_MAX and _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; no time zone file; a folder of the database
        pass
    shown = name if len(name) <= TIMEZONE_MAX else name[:TIMEZONE_MAX] + "…"
    raise ValidationException(
        f"Invalid Timezone {shown}. Give a name of the IANA time zone database that this host has, such as UTC or "
        "Europe/Berlin."
    )
