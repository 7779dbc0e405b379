"""The event of a tick: Scheduler's default, or the payload with its context attributes filled in."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from engine.core.schedules.event import scheduled_event
from engine.model import Schedule

AT = int(datetime(2015, 10, 8, 16, 53, 6, tzinfo=UTC).timestamp() * 1000)
ID = "89d1a02d-5ec7-412e-82f5-13505f849b41"
ARN = "arn:aws:scheduler:us-east-2:123456789012:schedule/default/nightly"


def event(payload: bytes | None, at: int = AT) -> bytes:
    schedule = Schedule("nightly", "rate(5 minutes)", "report", payload=payload)
    return scheduled_event(schedule, at, ID, "us-east-2", "123456789012")


def test_without_a_payload_it_is_schedulers_default_event() -> None:
    assert json.loads(event(None)) == {
        "version": "0",
        "id": ID,
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": "123456789012",
        "time": "2015-10-08T16:53:06Z",
        "region": "us-east-2",
        "resources": [ARN],
        "detail": "{}",
    }


def test_a_payload_is_passed_as_it_is() -> None:
    payload = b'{ "a": [1, "\xc3\xa4", "<aws.scheduler.other>", "<aws.scheduler.schedule-arn"] }'
    assert event(payload) == payload


def test_context_attributes_are_filled_in_wherever_they_stand() -> None:
    payload = (
        b'{"<aws.scheduler.schedule-arn>":"<aws.scheduler.scheduled-time>","run":"<aws.scheduler.execution-id>/'
        b'<aws.scheduler.attempt-number>","again":"at <aws.scheduler.scheduled-time>"}'
    )
    time = "2015-10-08T16:53:06Z"
    assert json.loads(event(payload)) == {ARN: time, "run": f"{ID}/1", "again": f"at {time}"}


def test_times_are_told_in_whole_seconds() -> None:
    assert json.loads(event(None, AT + 999))["time"] == "2015-10-08T16:53:06Z"
