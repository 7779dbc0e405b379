"""F3: the event that one tick of a schedule invokes its function with."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Final

from ...model import Schedule

GROUP: Final = "default"  # schedules here have no groups, which ARNs name all the same

# https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
_ATTRIBUTE = re.compile(rb"<aws\.scheduler\.(schedule-arn|scheduled-time|execution-id|attempt-number)>")


def scheduled_event(schedule: Schedule, scheduled_ms: int, event_id: str, region: str, account_id: str) -> bytes:
    """The payload with Scheduler's context attributes filled in, or its default event where there is no payload.

    The attempt number is always 1: retries send the same event again.
    """
    arn = schedule_arn(schedule.name, region, account_id)
    time = datetime.fromtimestamp(scheduled_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if schedule.payload is not None:
        values = {"schedule-arn": arn, "scheduled-time": time, "execution-id": event_id, "attempt-number": "1"}
        return _ATTRIBUTE.sub(lambda match: values[match[1].decode()].encode(), schedule.payload)
    event = {
        "version": "0",
        "id": event_id,
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": account_id,
        "time": time,
        "region": region,
        "resources": [arn],
        "detail": "{}",
    }
    return json.dumps(event, separators=(",", ":")).encode()


def schedule_arn(name: str, region: str, account_id: str) -> str:
    return f"arn:aws:scheduler:{region}:{account_id}:schedule/{GROUP}/{name}"
