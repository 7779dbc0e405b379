"""Schedules over a socket, by both clients: what goes in comes back, and refusals are the engine's own."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from faces import Face

from engine import errors
from engine.model import Schedule

QUEUE = "arn:aws:sqs:us-east-1:000000000000:failed"


@pytest.fixture
def name(client: Face) -> Iterator[str]:
    """A name for a schedule that the test makes; it is deleted afterwards."""
    made = f"s-{uuid4().hex[:8]}"
    yield made
    client.delete_schedule(made)


def test_what_is_said_of_a_schedule_travels_both_ways(client: Face, name: str) -> None:
    made = client.create_schedule(
        name,
        "cron(0 12 ? * MON-FRI *)",
        "echo",
        timezone="Europe/Berlin",
        payload={"to": ["Ada"]},
        state="DISABLED",
        flexible_window_minutes=15,
        start_ms=4_102_444_800_000,
        end_ms=4_133_980_800_000,
        maximum_retry_attempts=3,
        maximum_event_age_s=60,
        dead_letter_arn=QUEUE,
        action_after_completion="DELETE",
        description="at noon",
    )
    assert isinstance(made, Schedule)
    assert (made.name, made.function, made.payload) == (name, "echo", b'{"to":["Ada"]}')
    assert (made.start_ms, made.end_ms, made.maximum_event_age_s) == (4_102_444_800_000, 4_133_980_800_000, 60)
    assert made.created_ms == made.last_modified_ms > 0
    assert client.get_schedule(name) == made
    assert made in client.list_schedules()
    changed = client.update_schedule(name, "rate(1 day)", "echo", payload=b"[1]", state="DISABLED")
    assert (changed.payload, changed.timezone, changed.dead_letter_arn) == (b"[1]", "UTC", None)
    assert changed.created_ms == made.created_ms
    assert client.get_schedule(name) == changed


def test_a_schedule_of_a_service_invokes(client: Face, name: str) -> None:
    said = uuid4().hex
    client.create_schedule(name, "rate(1 day)", "echo", payload=said)
    while not any(said in event.message for event in client.logs("echo")):
        assert client.ping() == "pong"
    told = client.stats()["schedules"][name]
    assert (told["fired"], told["missed"], told["problem"]) == (1, 0, None)
    assert told["next_ms"] == client.get_schedule(name).created_ms + 86_400_000
    assert name in client.stats("echo")["schedules"]


def test_refusals_are_schedulers_own(client: Face, name: str) -> None:
    client.create_schedule(name, "rate(1 day)", "echo", state="DISABLED")
    with pytest.raises(errors.ResourceConflictException, match=f"Schedule {name} already exists"):
        client.create_schedule(name, "rate(1 day)", "echo")
    with pytest.raises(errors.ResourceNotFoundException, match=r"Function not found: .*:nobody"):
        client.create_schedule("other", "rate(1 day)", "nobody")
    with pytest.raises(errors.ValidationException, match=r"Invalid Schedule Expression rate\(1 week\)"):
        client.create_schedule("other", "rate(1 week)", "echo")
    for call in (client.get_schedule, client.delete_schedule):
        with pytest.raises(errors.ResourceNotFoundException, match="Schedule other does not exist"):
            call("other")
    with pytest.raises(errors.ResourceNotFoundException, match="Schedule other does not exist"):
        client.update_schedule("other", "rate(1 day)", "echo")
