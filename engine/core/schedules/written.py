"""F3: a schedule as it is kept: JSON of its fields, read by whichever version opens the folder next."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import Any, Final

from ...model import Schedule

TEXTS: Final = ("expression", "function", "timezone", "state", "action_after_completion", "description")
NUMBERS: Final = ("flexible_window_minutes", "created_ms", "last_modified_ms")
TEXTS_OR_NONE: Final = ("payload", "dead_letter_arn")
NUMBERS_OR_NONE: Final = ("start_ms", "end_ms", "maximum_retry_attempts", "maximum_event_age_s")

log = logging.getLogger("engine.schedules")


def schedule_as_text(schedule: Schedule) -> str:
    """The payload stands in it as text: it is JSON, so UTF-8."""
    told = asdict(schedule)
    told["payload"] = None if schedule.payload is None else schedule.payload.decode()
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def schedule_of_text(name: str, text: str) -> Schedule:
    """Fields that are unknown are passed over; those that are missing, or of another kind, have their defaults.

    Without an expression, or where it cannot be read at all, it is one that never ticks, and says why.
    """
    told = _fields(name, text)
    given = {
        **{field: told[field] for field in TEXTS if isinstance(told.get(field), str)},
        **{field: told[field] for field in NUMBERS if _is_number(told.get(field))},
        **{field: told[field] for field in TEXTS_OR_NONE if isinstance(told.get(field), str)},
        **{field: told[field] for field in NUMBERS_OR_NONE if _is_number(told.get(field))},
    }
    if "payload" in given:
        given["payload"] = given["payload"].encode()
    return Schedule(name, **{"expression": "", "function": "", **given})


def _fields(name: str, text: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if isinstance(told, dict):
        return told
    log.error("schedule %s cannot be read and does not tick: update it, or delete it", name)
    return {}


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
