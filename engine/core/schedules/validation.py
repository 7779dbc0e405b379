"""F3: the checks that EventBridge Scheduler makes on a schedule before it is taken, in its and Lambda's wording.

Patterns and ranges are facts of AWS's service model `scheduler` 2021-06-30. Whether the function exists is the
catalog's question.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import orjson

from ...config import EVENT_AGE_MIN_S, SCHEDULE_EVENT_AGE_MAX_S, SCHEDULE_RETRY_ATTEMPTS_MAX
from ...errors import ValidationException
from ...model import Schedule
from ...validation import (
    choice_problem,
    number_problem,
    refuse,
    shown,
    split_function_reference,
    text_problem,
)
from .cron import SEARCH_LAST_MS
from .grammar import EXPRESSION_MAX, TIMEZONE_MAX, Once, parse_expression

NAME_PATTERN: Final = r"[0-9a-zA-Z-_.]+"
NAME_MAX: Final = 64
DESCRIPTION_MAX: Final = 512
WINDOW_MAX_MINUTES: Final = 1_440
PAYLOAD_MAX_BYTES: Final = 262_144
QUEUE_ARN_PATTERN: Final = r"arn:aws[a-z-]*:sqs:[a-z0-9\-]+:\d{12}:[a-zA-Z0-9\-_]+"
QUEUE_ARN_MAX: Final = 1_600
STATES: Final = ("ENABLED", "DISABLED")
ACTIONS: Final = ("NONE", "DELETE")
START_PAST_MOST_MS: Final = 300_000


def validate_schedule(schedule: Schedule, now_ms: int) -> None:
    """Check all of a schedule; one answer names everything that is out of range. Raises ValidationException.

    Start and end are held against the time of its making, so that what was once taken can be updated: `now_ms` is that
    time where `created_ms` is 0.
    """
    refuse(*_problems(schedule))
    split_function_reference(schedule.function)
    expression = parse_expression(schedule.expression, schedule.timezone)
    if not isinstance(expression, Once):  # for which Scheduler ignores both
        _check_bounds(schedule, schedule.created_ms or now_ms)


def _check_bounds(schedule: Schedule, made_ms: int) -> None:
    start_ms, end_ms = schedule.start_ms, schedule.end_ms
    if start_ms is not None and start_ms < made_ms - START_PAST_MOST_MS:
        raise ValidationException(
            f"The StartDate you specify cannot be earlier than 5 minutes ago. It is {start_ms}, in Unix time's "
            f"milliseconds, and {made_ms - START_PAST_MOST_MS} is the earliest."
        )
    if start_ms is not None and end_ms is not None and end_ms <= start_ms:
        raise ValidationException(
            f"The EndDate you specify must be later than the StartDate, and {end_ms} is not later than {start_ms}."
        )
    if end_ms is not None and end_ms <= made_ms:
        raise ValidationException(
            f"The EndDate you specify must be in the future, and {end_ms} is not later than {made_ms}."
        )


def _problems(schedule: Schedule) -> Iterator[str | None]:
    yield text_problem(schedule.name, "name", NAME_PATTERN, NAME_MAX, least=1)
    yield text_problem(schedule.expression, "scheduleExpression", None, EXPRESSION_MAX, least=1)
    yield text_problem(schedule.timezone, "scheduleExpressionTimezone", None, TIMEZONE_MAX, least=1)
    yield text_problem(schedule.description, "description", None, DESCRIPTION_MAX)
    yield number_problem(
        schedule.flexible_window_minutes, "flexibleTimeWindow.maximumWindowInMinutes", 0, WINDOW_MAX_MINUTES
    )
    yield choice_problem(schedule.state, "state", STATES)
    yield choice_problem(schedule.action_after_completion, "actionAfterCompletion", ACTIONS)
    yield _payload(schedule.payload)
    if schedule.start_ms is not None:
        yield number_problem(schedule.start_ms, "startDate", 0, SEARCH_LAST_MS)
    if schedule.end_ms is not None:
        yield number_problem(schedule.end_ms, "endDate", 0, SEARCH_LAST_MS)
    if schedule.dead_letter_arn is not None:
        yield text_problem(schedule.dead_letter_arn, "target.deadLetterConfig.arn", QUEUE_ARN_PATTERN, QUEUE_ARN_MAX)
    yield from _retry_problems(schedule.maximum_retry_attempts, schedule.maximum_event_age_s)


def _retry_problems(attempts: object, age_s: object) -> Iterator[str | None]:
    policy = "target.retryPolicy"
    if attempts is not None:
        yield number_problem(attempts, f"{policy}.maximumRetryAttempts", 0, SCHEDULE_RETRY_ATTEMPTS_MAX)
    if age_s is not None:
        yield number_problem(age_s, f"{policy}.maximumEventAgeInSeconds", EVENT_AGE_MIN_S, SCHEDULE_EVENT_AGE_MAX_S)


def _payload(payload: object) -> str | None:
    if payload is None:
        return None
    if not isinstance(payload, bytes):
        return f"Value at 'target.input' must be bytes of JSON, not {type(payload).__name__}"
    if len(payload) > PAYLOAD_MAX_BYTES:
        return f"Value at 'target.input' has {len(payload)} bytes, and {PAYLOAD_MAX_BYTES} is the most"
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        return f"Value '{shown(payload.decode(errors='replace'))}' at 'target.input' is not JSON: {error}"
    return None
