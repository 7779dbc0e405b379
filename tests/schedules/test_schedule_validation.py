"""What a schedule may be: every range at both of its ends, and that one answer names everything that is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.core.schedules.validation import validate_schedule
from engine.errors import ValidationException
from engine.model import Schedule

NOW = 1_800_000_000_000
FINE = Schedule("nightly", "cron(0 12 * * ? *)", "report:live", "Europe/Berlin")
QUEUE = "arn:aws:sqs:eu-central-1:123456789012:failed"


def refusal(**changes: Any) -> str:
    with pytest.raises(ValidationException) as refused:
        validate_schedule(replace(FINE, **changes), NOW)
    return refused.value.message


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": "a"},
        {"name": "A-z_0.9" + "x" * 57},
        {"description": "d" * 512},
        {"flexible_window_minutes": 1},
        {"flexible_window_minutes": 1_440},
        {"payload": b"null"},
        {"payload": b'"' + b"x" * 262_142 + b'"'},
        {"maximum_retry_attempts": 0},
        {"maximum_retry_attempts": 185},
        {"maximum_event_age_s": 60},
        {"maximum_event_age_s": 86_400},
        {"dead_letter_arn": QUEUE},
        {"state": "DISABLED", "action_after_completion": "DELETE"},
        {"start_ms": NOW - 300_000, "end_ms": NOW + 1},
        {"created_ms": NOW - 10**9, "start_ms": NOW - 10**9, "end_ms": NOW - 10**8},
        {"expression": "at(2022-12-31T23:59:59)", "start_ms": 9, "end_ms": 7},
        {"function": "arn:aws:lambda:eu-central-1:123456789012:function:report:7"},
    ],
)
def test_what_scheduler_takes_is_taken(changes: dict[str, Any]) -> None:
    validate_schedule(replace(FINE, **changes), NOW)


@pytest.mark.parametrize(
    ("changes", "member", "why"),
    [
        ({"name": ""}, "name", "length greater than or equal to 1"),
        ({"name": "x" * 65}, "name", "length less than or equal to 64"),
        ({"name": "a b"}, "name", "regular expression pattern: [0-9a-zA-Z-_.]+"),
        ({"name": "a\n"}, "name", "regular expression pattern"),
        ({"name": 7}, "name", "must be str, not int"),
        ({"expression": ""}, "scheduleExpression", "length greater than or equal to 1"),
        ({"expression": "x" * 257}, "scheduleExpression", "length less than or equal to 256"),
        ({"timezone": "x" * 51}, "scheduleExpressionTimezone", "length less than or equal to 50"),
        ({"timezone": None}, "scheduleExpressionTimezone", "must be str, not NoneType"),
        ({"description": "d" * 513}, "description", "length less than or equal to 512"),
        ({"description": "\ud800"}, "description", "not Unicode text"),
        ({"flexible_window_minutes": -1}, "maximumWindowInMinutes", "greater than or equal to 0"),
        ({"flexible_window_minutes": 1_441}, "maximumWindowInMinutes", "less than or equal to 1440"),
        ({"flexible_window_minutes": True}, "maximumWindowInMinutes", "must be int, not bool"),
        ({"state": "PAUSED"}, "state", "enum value set: [ENABLED, DISABLED]"),
        ({"action_after_completion": "KEEP"}, "actionAfterCompletion", "enum value set: [NONE, DELETE]"),
        ({"payload": b"{"}, "target.input", "is not JSON"),
        ({"payload": b""}, "target.input", "is not JSON"),
        ({"payload": b"NaN"}, "target.input", "is not JSON"),
        ({"payload": b"[" * 100_000}, "target.input", "is not JSON"),
        ({"payload": b'"\xff"'}, "target.input", "is not JSON"),
        ({"payload": {}}, "target.input", "must be bytes of JSON, not dict"),
        ({"payload": b'"' + b"x" * 262_143 + b'"'}, "target.input", "has 262145 bytes, and 262144 is the most"),
        ({"maximum_retry_attempts": -1}, "maximumRetryAttempts", "greater than or equal to 0"),
        ({"maximum_retry_attempts": 186}, "maximumRetryAttempts", "less than or equal to 185"),
        ({"maximum_event_age_s": 59}, "maximumEventAgeInSeconds", "greater than or equal to 60"),
        ({"maximum_event_age_s": 86_401}, "maximumEventAgeInSeconds", "less than or equal to 86400"),
        ({"maximum_event_age_s": 10**10_000}, "maximumEventAgeInSeconds", "too many digits"),
        ({"dead_letter_arn": "failed"}, "deadLetterConfig.arn", "regular expression pattern"),
        ({"dead_letter_arn": QUEUE.replace("sqs", "sns")}, "deadLetterConfig.arn", "regular expression pattern"),
        ({"dead_letter_arn": QUEUE + ".fifo"}, "deadLetterConfig.arn", "regular expression pattern"),
        ({"start_ms": -1}, "startDate", "greater than or equal to 0"),
        ({"end_ms": 1.5}, "endDate", "must be int, not float"),
    ],
)
def test_what_is_out_of_range_is_named_with_its_value(changes: dict[str, Any], member: str, why: str) -> None:
    message = refusal(**changes)
    assert message.startswith("1 validation error detected: Value ")
    assert f"{member}'" in message
    assert why in message
    assert len(message) < 1_500


def test_one_answer_names_everything_that_is_out_of_range() -> None:
    message = refusal(name="", flexible_window_minutes=9_999, payload=b"x", maximum_event_age_s=1)
    assert message.startswith("4 validation errors detected: ")
    for member in ("'name'", "maximumWindowInMinutes", "'target.input'", "maximumEventAgeInSeconds"):
        assert member in message


def test_an_expression_a_time_zone_and_a_function_are_read() -> None:
    assert refusal(expression="cron(0 1 * * * *)").startswith("Invalid Schedule Expression cron(0 1 * * * *). ")
    assert refusal(timezone="Mars/Olympus").startswith("Invalid Timezone Mars/Olympus. ")
    assert "'functionName'" in refusal(function="no function")


def test_a_start_long_past_is_refused_in_schedulers_words() -> None:
    early = refusal(start_ms=NOW - 300_001)
    assert early.startswith("The StartDate you specify cannot be earlier than 5 minutes ago.")
    assert str(NOW - 300_001) in early


@pytest.mark.parametrize("end", [NOW + 5, NOW + 4])
def test_an_end_comes_after_the_start(end: int) -> None:
    assert "must be later than the StartDate" in refusal(start_ms=NOW + 5, end_ms=end)


def test_an_end_that_is_past_is_refused() -> None:
    assert "must be in the future" in refusal(end_ms=NOW)
