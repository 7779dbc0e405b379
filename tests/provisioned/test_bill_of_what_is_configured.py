"""Provisioned concurrency is billed for as long as it is configured, used or not, through restarts and kills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records.bill import Bill
from engine.records.prices import PriceList
from engine.records.rollups import (
    CONFIGURED_STEP_MS,
    NEW_COUNTS,
    Configured,
    Position,
    RollupKey,
    Rollups,
    Use,
    billed_until,
    configured_uses,
)

NOON = 1_795_348_800_000  # 2026-11-22 12:00 UTC
MINUTE = 60_000
ONE = Configured("f", "1", "x86_64", 1_024, "us-east-1", 1)
TEN = ONE._replace(units=10)


@pytest.fixture
def rollups(tmp_path: Path) -> Iterator[Rollups]:
    opened = Rollups(tmp_path / "rollups.db")
    yield opened
    opened.close()


def seconds(rollups: Rollups, now_ms: int, month: str | None = None) -> Decimal:
    """GB-seconds configured so far."""
    return Bill(PriceList.load(), rollups.sums("day", month, now_ms=now_ms)[0]).total().provisioned_gb_seconds


def test_time_is_rounded_up_to_five_minutes_from_when_it_was_enabled(rollups: Rollups) -> None:
    rollups.configure([ONE], NOON)
    assert [seconds(rollups, NOON + minutes * MINUTE) for minutes in (0, 1, 5, 6, 11)] == [300, 300, 300, 600, 900]
    rollups.configure([], NOON + 6 * MINUTE)
    assert seconds(rollups, NOON + 99 * MINUTE) == 600


def test_a_change_goes_on_in_the_same_five_minutes(rollups: Rollups) -> None:
    rollups.configure([ONE], NOON)
    rollups.configure([ONE], NOON + MINUTE)
    rollups.configure([TEN], NOON + 2 * MINUTE)
    assert seconds(rollups, NOON + 3 * MINUTE) == 2 * 60 + 3 * 60 * 10
    rollups.configure([], NOON + 4 * MINUTE)
    assert seconds(rollups, NOON + 9 * MINUTE) == 2 * 60 + 3 * 60 * 10


def test_it_goes_on_over_a_restart(tmp_path: Path) -> None:
    first = Rollups(tmp_path / "rollups.db")
    first.configure([TEN], NOON)
    first.close()
    again = Rollups(tmp_path / "rollups.db")
    again.configure([TEN], NOON + 20 * MINUTE)
    assert seconds(again, NOON + 29 * MINUTE) == 30 * 60 * 10
    again.close()


def test_it_is_split_at_midnight_and_between_months(rollups: Rollups) -> None:
    first = 1_796_083_200_000 - 10 * MINUTE  # 2026-12-01 00:00 UTC, less ten minutes
    rollups.configure([ONE], first)
    rollups.configure([], first + 25 * MINUTE)
    assert (seconds(rollups, 0, "2026-11"), seconds(rollups, 0, "2026-12")) == (600, 900)
    days = Counter({key.day: use.configured_mb_ms for key, use in rollups.sums("day", now_ms=0)[0]})
    assert days == {"2026-11-30": 600 * 1_024_000, "2026-12-01": 900 * 1_024_000}


def test_a_clock_that_goes_back_costs_no_less_than_nothing(rollups: Rollups) -> None:
    rollups.configure([ONE], NOON)
    rollups.configure([TEN], NOON - 60 * MINUTE)
    rollups.configure([], NOON - 120 * MINUTE)
    assert seconds(rollups, NOON) == 3_000


def test_an_hour_costs_what_the_price_list_says_and_its_use_the_lower_price() -> None:
    hour = list(configured_uses(TEN, NOON, NOON + 60 * MINUTE))
    used = Use(2, billed_ms=2_000, mb_ms=2_000 * 1_024, provisioned_requests=1, provisioned_mb_ms=1_000 * 1_024)
    bill = Bill(PriceList.load(), [*hour, (RollupKey("f", "1", "2026-11-22", "x86_64", 1_024, "us-east-1"), used)])
    (line,) = bill.lines("version")
    on_demand, ahead = Decimal("0.0000166667"), Decimal("0.0000097222")
    configured, requests = 36_000 * Decimal("0.0000041667"), 2 * Decimal("0.0000002")
    assert line.cost == bill.total().cost == configured + requests + on_demand + ahead
    assert (line.provisioned_gb_seconds, line.gb_seconds) == (36_000, 2)
    free = bill.total(free_tier=True).cost
    assert free == configured + Decimal("0.0000002") + ahead


@given(st.integers(0, 10**13), st.integers(0, 10**9))
def test_no_time_is_lost_between_days(begin_ms: int, length_ms: int) -> None:
    uses = list(configured_uses(TEN, begin_ms, begin_ms + length_ms))
    assert sum(use.configured_mb_ms for _, use in uses) == length_ms * 10_240
    assert len({key.day for key, _ in uses}) == len(uses)
    until_ms = billed_until(begin_ms, begin_ms + length_ms)
    assert 0 <= until_ms - begin_ms - max(length_ms, 1) < CONFIGURED_STEP_MS


def test_sums_of_an_older_engine_are_read_on(tmp_path: Path) -> None:
    file = tmp_path / "rollups.db"
    key = RollupKey("f", "1", "2026-11-22", "x86_64", 1_024, "us-east-1")
    made = Rollups(file)
    made.add({key: Use(3, billed_ms=30, mb_ms=30_720)}, Position(1, 2, 3))
    made.close()
    older = apsw.Connection(str(file))
    for name in NEW_COUNTS:
        older.execute(f"ALTER TABLE rollups DROP COLUMN {name}")
    older.execute("DROP TABLE configured; PRAGMA user_version = 1")
    older.close()
    again = Rollups(file)
    again.add({key: Use(1, provisioned_requests=1)}, Position(1, 2, 4))
    sums, position = again.sums("version", now_ms=0)
    again.close()
    assert (position.sequence, [use.requests for _, use in sums]) == (4, [4])
    assert [use.provisioned_requests for _, use in sums] == [1]
