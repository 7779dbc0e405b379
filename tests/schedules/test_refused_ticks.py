"""Ticks that the caller refuses: how long they are offered, and what is said of those that are given up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from timetables import HOUR, MINUTE, START, Bench

from engine.core.schedules.timetable import Counts, NotYet
from engine.errors import EngineError, ResourceNotFoundException
from engine.model import Schedule

GONE = ResourceNotFoundException("Function not found: f")


class Refused(Bench):
    """Every tick is refused. `given_up`: whose, when it was for, why, and after how many tries."""

    def __init__(self) -> None:
        self.given_up: list[tuple[str, int, str, int]] = []
        super().__init__()
        self.refuse: Exception | None = GONE

    def opened(self, **settings: Any) -> Any:
        return super().opened(given_up=self._give_up, **settings)

    def _give_up(self, schedule: Schedule, scheduled_ms: int, why: EngineError, tries: int) -> None:
        self.given_up.append((schedule.name, scheduled_ms - START, str(why), tries))


@pytest.fixture
def refused() -> Refused:
    return Refused()


def test_one_that_the_next_overtakes_is_given_up(refused: Refused) -> None:
    refused.create("rate(1 minute)")
    refused.clock.advance_ms(2 * MINUTE)
    assert refused.given_up == [("a", 0, str(GONE), 60), ("a", MINUTE, str(GONE), 60)]
    assert refused.table.statistics() == {"a": Counts(0, 2)}


@pytest.mark.parametrize(("most", "expected"), [(0, [0, HOUR, 2 * HOUR]), (3, [0, HOUR])])
def test_one_is_given_up_when_it_was_tried_again_as_often_as_it_may(
    refused: Refused, most: int, expected: list[int]
) -> None:
    refused.create("rate(1 hour)", maximum_retry_attempts=most)
    refused.clock.advance_ms(2 * HOUR)
    assert refused.given_up == [("a", tick, str(GONE), most + 1) for tick in expected]
    assert refused.kept["a"][1] == START + expected[-1]
    refused.clock.advance_ms(MINUTE)
    refused.restart(0)
    refused.clock.advance_ms(MINUTE)
    assert refused.ticks() == [] and len(refused.given_up) == 3


def test_one_that_is_too_old_is_given_up_and_what_asks_for_it_goes(refused: Refused) -> None:
    refused.create("at(2026-01-01T01:00:00)", maximum_event_age_s=600, action_after_completion="DELETE")
    refused.clock.advance_ms(HOUR + 10 * MINUTE)
    assert refused.given_up == [("a", HOUR, str(GONE), 600)]
    assert refused.kept == {}


def test_the_last_try_of_the_last_tick_ends_what_asks_for_it(refused: Refused) -> None:
    refused.create("at(2026-01-01T01:00:00)", maximum_retry_attempts=0, action_after_completion="DELETE")
    refused.clock.advance_ms(HOUR)
    assert refused.given_up == [("a", HOUR, str(GONE), 1)]
    assert refused.kept == {}


def test_why_it_is_refused_is_told_until_it_is_taken(refused: Refused) -> None:
    refused.create("rate(1 hour)")
    refused.clock.advance_ms(1_000)
    assert refused.table.problems() == {"a": str(GONE)}
    refused.refuse = None
    refused.clock.advance_ms(1_000)
    assert refused.table.problems() == {}
    assert (refused.ticks(), refused.given_up) == ([0], [])


def test_an_update_has_it_offered_anew(refused: Refused) -> None:
    schedule = refused.create("rate(1 hour)", maximum_retry_attempts=2)
    refused.clock.advance_ms(1_000)
    refused.table.update(replace(schedule, description="d"))
    refused.clock.advance_ms(1_000)
    assert refused.given_up == []
    refused.clock.advance_ms(1_000)
    assert refused.given_up == [("a", 0, str(GONE), 3)]


def test_what_was_missed_without_being_offered_is_not_given_up(refused: Refused) -> None:
    refused.create("rate(1 hour)")
    refused.refuse = None
    refused.clock.advance_ms(0)
    refused.restart(9 * HOUR)
    refused.clock.advance_ms(0)
    assert (refused.table.statistics(), refused.given_up) == ({"a": Counts(1, 8)}, [])


def test_not_yet_is_no_refusal(refused: Refused) -> None:
    refused.refuse = NotYet("the one before is being written")
    refused.create("rate(1 hour)", maximum_retry_attempts=0)
    refused.clock.advance_ms(9_500)
    assert (refused.given_up, refused.table.problems()) == ([], {})
    refused.refuse = None
    refused.clock.advance_ms(500)
    assert refused.ticks() == [0]
