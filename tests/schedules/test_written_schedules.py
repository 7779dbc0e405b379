"""A schedule as it is kept: what was written is read, and what another version wrote is made the best of."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.schedules.grammar import expression_of
from engine.core.schedules.written import (
    NUMBERS,
    NUMBERS_OR_NONE,
    TEXTS,
    TEXTS_OR_NONE,
    schedule_as_text,
    schedule_of_text,
)
from engine.errors import ValidationException
from engine.model import Schedule

FULL = Schedule(
    name="s",
    expression="rate(5 minutes)",
    function="f:live",
    timezone="Europe/Berlin",
    payload='{"ä": "\u2028"}'.encode(),
    state="DISABLED",
    flexible_window_minutes=15,
    start_ms=1,
    end_ms=2,
    maximum_retry_attempts=0,
    maximum_event_age_s=60,
    dead_letter_arn="arn:aws:sqs:us-east-1:000000000000:failed",
    action_after_completion="DELETE",
    description="d",
    created_ms=3,
    last_modified_ms=4,
)
PLAIN = Schedule("s", "rate(1 day)", "f")


@pytest.mark.parametrize("schedule", [FULL, PLAIN])
def test_what_was_written_is_read(schedule: Schedule) -> None:
    assert schedule_of_text("s", schedule_as_text(schedule)) == schedule


def test_every_field_is_kept() -> None:
    kept = {"name", *TEXTS, *NUMBERS, *TEXTS_OR_NONE, *NUMBERS_OR_NONE}
    assert kept == set(Schedule.__dataclass_fields__)


def test_fields_that_are_unknown_or_missing_do_no_harm() -> None:
    text = json.dumps({"expression": "rate(1 day)", "function": "f", "colour": "red", "name": "other"})
    assert schedule_of_text("s", text) == PLAIN


@pytest.mark.parametrize(
    "odd", [{"payload": 1}, {"start_ms": "soon"}, {"description": None}, {"flexible_window_minutes": True}]
)
def test_fields_of_another_kind_have_their_defaults(odd: dict[str, object]) -> None:
    text = json.dumps({"expression": "rate(1 day)", "function": "f", **odd})
    assert schedule_of_text("s", text) == PLAIN


@given(st.one_of(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)))
def test_whatever_stands_there_gives_a_schedule_that_never_ticks(text: str) -> None:
    schedule = schedule_of_text("s", text)
    assert schedule == Schedule("s", "", "")
    with pytest.raises(ValidationException, match="Invalid Schedule Expression"):
        expression_of(schedule)
