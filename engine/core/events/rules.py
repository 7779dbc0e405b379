"""F3: Lambda's rules for events as pure functions: when one is tried again, and when it is given up.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html. The conditions are those of Lambda's
invocation records.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

from ...config import EVENT_AGE_MAX_S, RETRY_ATTEMPTS_MAX

Condition: TypeAlias = Literal[
    "Success", "RetriesExhausted", "EventAgeExceeded", "ZeroReservedConcurrency", "RecursiveInvocation"
]
RETRY_STEP_S: Final = 60  # a minute before the first retry, two before the second
BACK_OFF_LEAST_S: Final = 1
BACK_OFF_MOST_S: Final = 300
DELIVERY_AGE_MAX_S: Final = 3_600  # the engine's own: how long a destination that fails is tried


class Terms(NamedTuple):
    """What is asked for events of one function, version or alias."""

    retries: int = RETRY_ATTEMPTS_MAX
    age_ms: int = EVENT_AGE_MAX_S * 1_000
    on_success: str | None = None
    on_failure: str | None = None
    dead_letter: str | None = None


class Again(NamedTuple):
    """It is to be tried again, then."""

    due_ms: int


def after_error(terms: Terms, attempts: int, accepted_ms: int, now_ms: int) -> Again | Condition:
    """What becomes of an event whose function failed for the `attempts`th time.

    A retry that would come when the event is too old is not waited for.
    """
    if attempts > terms.retries:
        return "RetriesExhausted"
    due_ms = now_ms + retry_delay_s(attempts) * 1_000
    return "EventAgeExceeded" if is_too_old(terms, accepted_ms, due_ms) else Again(due_ms)


def is_too_old(terms: Terms, accepted_ms: int, now_ms: int) -> bool:
    """Whether an event is not to be run any more."""
    return now_ms - accepted_ms >= terms.age_ms


def retry_delay_s(attempts: int) -> int:
    """How long after the `attempts`th error the next try is."""
    return RETRY_STEP_S * attempts


def back_off_s(failures: int) -> int:
    """How long to wait after so many throttles or errors of the system in a row: 1 s, 2 s, 4 s … 5 minutes."""
    return min(BACK_OFF_MOST_S, BACK_OFF_LEAST_S << min(failures - 1, 16))
