"""Schedules of a real engine: its functions are invoked by themselves, and what was asked for outlives it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from aws import CREDENTIALS, Aws, serving
from doors import DOORS
from engines import Timed, timed
from timetables import HOUR, MINUTE, START

from engine.clock import VirtualClock
from engine.errors import (
    EngineClosedError,
    ResourceConflictException,
    ResourceNotFoundException,
    ValidationException,
)

ARN = "arn:aws:scheduler:us-east-1:000000000000:schedule/default"


@pytest.fixture(params=DOORS)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Timed]:
    """With the function `report`."""
    with timed(door=request.param) as engine:
        engine.deploy("report", tmp_path)
        yield engine


def test_a_rate_and_a_cron_invoke_their_functions_with_schedulers_event(engine: Timed) -> None:
    engine.create_schedule("often", "rate(5 minutes)", "report")
    engine.create_schedule(
        "once", "cron(7 0 1 1 ? 2026)", "report:$LATEST", payload={"at": "<aws.scheduler.scheduled-time>"}
    )
    engine.advance_ms(0)
    (event,) = engine.seen("report", 1)
    assert UUID(event.pop("id"))
    assert event == {
        "version": "0",
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": "000000000000",
        "time": "2026-01-01T00:00:00Z",
        "region": "us-east-1",
        "resources": [f"{ARN}/often"],
        "detail": "{}",
    }
    engine.advance_ms(5 * MINUTE)
    assert engine.seen("report", 2)[1]["time"] == "2026-01-01T00:05:00Z"
    engine.advance_ms(2 * MINUTE)
    assert engine.seen("report", 3)[2] == {"at": "2026-01-01T00:07:00Z"}
    assert engine.told("often") == {"next_ms": START + 10 * MINUTE, "fired": 2, "missed": 0, "problem": None}
    assert engine.told("once") == {"next_ms": None, "fired": 1, "missed": 0, "problem": None}


def test_what_is_asked_for_is_told_and_listed_by_name(engine: Timed) -> None:
    made = engine.create_schedule("b", "rate(1 day)", "report", payload=b'{"raw": 1}', state="DISABLED")
    assert (made.payload, made.created_ms, made.last_modified_ms) == (b'{"raw": 1}', START, START)
    other = engine.create_schedule("a", "at(2026-12-24T18:00:00)", "report", timezone="Europe/Berlin")
    assert engine.get_schedule("b") == made
    assert engine.list_schedules() == [other, made]
    assert engine.stats("report")["schedules"].keys() == {"a", "b"}
    engine.delete_schedule("b")
    assert engine.list_schedules() == [other]


def test_an_update_gives_what_is_not_said_its_default_again(engine: Timed) -> None:
    engine.create_schedule("s", "rate(1 day)", "report", payload=1, description="d", state="DISABLED")
    engine.advance_ms(HOUR)
    assert engine.told("s")["next_ms"] is None
    changed = engine.update_schedule("s", "rate(1 hour)", "report", description="now")
    assert (changed.payload, changed.state, changed.description) == (None, "ENABLED", "now")
    assert (changed.created_ms, changed.last_modified_ms) == (START, START + HOUR)
    assert engine.told("s")["next_ms"] == START + 2 * HOUR
    engine.advance_ms(HOUR)
    assert engine.seen("report", 1)[0]["time"] == "2026-01-01T02:00:00Z"


def test_the_deleted_and_the_disabled_invoke_nothing(engine: Timed) -> None:
    engine.create_schedule("deleted", "cron(0 * * * ? *)", "report")
    engine.create_schedule("disabled", "cron(0 * * * ? *)", "report", state="DISABLED")
    engine.create_schedule("other", "cron(30 * * * ? *)", "report", payload="last")
    engine.delete_schedule("deleted")
    engine.advance_ms(90 * MINUTE)
    assert set(engine.seen("report", 1)) == {"last"}


def test_what_cannot_be_is_refused_and_leaves_nothing(engine: Timed) -> None:
    engine.create_schedule("s", "rate(1 day)", "report", state="DISABLED")
    with pytest.raises(ResourceConflictException, match=r"^Schedule s already exists\.$"):
        engine.create_schedule("s", "rate(1 day)", "report")
    with pytest.raises(ResourceNotFoundException, match=r"^Function not found: .*:function:nobody$"):
        engine.create_schedule("new", "rate(1 day)", "nobody")
    with pytest.raises(ResourceNotFoundException, match=r"^Function not found: .*:function:report:live$"):
        engine.create_schedule("new", "rate(1 day)", "report:live")
    with pytest.raises(ValidationException, match="enum value set"):
        engine.create_schedule("new", "rate(1 day)", "report", state="PAUSED")
    with pytest.raises(ResourceNotFoundException, match=r"^Schedule new does not exist\.$"):
        engine.update_schedule("new", "rate(1 day)", "report")
    with pytest.raises(ResourceNotFoundException, match=r"^Schedule new does not exist\.$"):
        engine.delete_schedule("new")
    with pytest.raises(ResourceNotFoundException, match=r"^Function not found"):
        engine.update_schedule("s", "rate(1 day)", "nobody")
    assert [each.name for each in engine.list_schedules()] == ["s"]
    assert engine.get_schedule("s").function == "report"


def test_one_whose_function_is_gone_can_be_disabled(engine: Timed) -> None:
    engine.create_schedule("s", "rate(1 day)", "report", start_ms=START + HOUR)
    engine.delete_function("report")
    assert engine.update_schedule("s", "rate(1 day)", "report", state="DISABLED").state == "DISABLED"


def test_a_closed_engine_has_no_schedules(engine: Timed) -> None:
    engine.close()
    with pytest.raises(EngineClosedError):
        engine.create_schedule("s", "rate(1 day)", "report")
    with pytest.raises(EngineClosedError):
        engine.list_schedules()


# --- with a data folder -------------------------------------------------------------------------------------------


def test_what_was_missed_while_the_engine_was_closed_is_made_good_once(tmp_path: Path) -> None:
    clock, folder = VirtualClock(START), str(tmp_path / "data")
    with timed(clock, data_dir=folder) as engine:
        engine.deploy("report", tmp_path)
        made = engine.create_schedule("s", "cron(0 * * * ? *)", "report", payload="<aws.scheduler.scheduled-time>")
        engine.advance_ms(0)
        assert engine.seen("report", 1) == ["2026-01-01T00:00:00Z"]
    clock.advance_ms(5 * HOUR + 30 * MINUTE)
    with timed(clock, data_dir=folder) as engine:
        assert engine.list_schedules() == [made]
        engine.advance_ms(0)
        assert engine.seen("report", 1) == ["2026-01-01T05:00:00Z"]
        assert engine.told("s") == {"next_ms": START + 6 * HOUR, "fired": 1, "missed": 4, "problem": None}
    with timed(clock, data_dir=folder) as engine:
        engine.advance_ms(30 * MINUTE)
        assert engine.seen("report", 1) == ["2026-01-01T06:00:00Z"]


def test_changes_and_deletions_outlive_the_engine(tmp_path: Path) -> None:
    clock, folder = VirtualClock(START), str(tmp_path / "data")
    with timed(clock, data_dir=folder) as engine:
        engine.deploy("report", tmp_path)
        for name in ("kept", "deleted", "changed"):
            engine.create_schedule(name, "cron(0 12 * * ? *)", "report")
        engine.delete_schedule("deleted")
        changed = engine.update_schedule(
            "changed",
            "rate(2 hours)",
            "report",
            timezone="Asia/Tokyo",
            payload={"ä": "\u2028"},
            flexible_window_minutes=3,
            start_ms=START + HOUR,
            end_ms=START + 9 * HOUR,
            maximum_retry_attempts=0,
            maximum_event_age_s=60,
            dead_letter_arn="arn:aws:sqs:us-east-1:000000000000:failed",
            action_after_completion="DELETE",
            description="d",
        )
    with timed(clock, data_dir=folder) as engine:
        assert [each.name for each in engine.list_schedules()] == ["changed", "kept"]
        assert engine.get_schedule("changed") == changed


def test_a_moment_that_asks_for_it_is_deleted_after_its_invocation(tmp_path: Path) -> None:
    clock, folder = VirtualClock(START), str(tmp_path / "data")
    with timed(clock, data_dir=folder) as engine:
        engine.deploy("report", tmp_path)
        engine.create_schedule("s", "at(2026-01-01T03:00:00)", "report", action_after_completion="DELETE")
        engine.advance_ms(3 * HOUR)
        assert engine.list_schedules() == []
        engine.seen("report", 1)
    with timed(clock, data_dir=folder) as engine:
        assert engine.list_schedules() == []
        engine.advance_ms(HOUR)
        assert engine.is_done()


# --- a function that is gone --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with serving() as made:
        yield made


def test_a_tick_whose_function_is_gone_is_offered_until_it_is_back(tmp_path: Path) -> None:
    with timed() as engine:
        engine.deploy("report", tmp_path)
        engine.create_schedule("s", "at(2026-01-01T01:00:00)", "report", payload=1)
        engine.delete_function("report")
        engine.advance_ms(2 * HOUR)
        assert engine.told("s")["problem"].startswith("Function not found: ")
        engine.deploy("report", tmp_path)
        engine.advance_ms(1_000)
        assert engine.seen("report", 1) == [1]
        assert engine.told("s") == {"next_ms": None, "fired": 1, "missed": 0, "problem": None}


@pytest.mark.parametrize(
    ("settings", "condition", "tries"),
    [
        ({"maximum_event_age_s": 60}, "MaximumEventAgeInSeconds", "59"),
        ({"maximum_retry_attempts": 2}, "MaximumRetryAttempts", "2"),
    ],
)
def test_a_tick_that_is_given_up_goes_to_the_dead_letter_queue(
    tmp_path: Path, aws: Aws, settings: dict[str, int], condition: str, tries: str
) -> None:
    queue = aws.queue()
    with timed(aws_endpoint_url=aws.endpoint_url, credentials=CREDENTIALS) as engine:
        engine.deploy("report", tmp_path)
        engine.create_schedule(
            "s", "at(2026-01-01T01:00:00)", "report", payload={"n": 1}, dead_letter_arn=queue, **settings
        )
        engine.delete_function("report")
        engine.advance_ms(HOUR + MINUTE)
        assert engine.told("s") == {"next_ms": None, "fired": 0, "missed": 1, "problem": None}
        message = aws.received(queue)
    assert message["Body"] == '{"n":1}'
    told = {name: given["StringValue"] for name, given in message["MessageAttributes"].items()}
    assert UUID(told.pop("EXECUTION_ID"))
    function = "arn:aws:lambda:us-east-1:000000000000:function:report"
    assert told == {
        "ERROR_CODE": "ResourceNotFoundException",
        "ERROR_MESSAGE": f"Function not found: {function}",
        "EXHAUSTED_RETRY_CONDITION": condition,
        "IS_PAYLOAD_TRUNCATED": "false",
        "RETRY_ATTEMPTS": tries,
        "SCHEDULED_TIME": "2026-01-01T01:00:00Z",
        "SCHEDULE_ARN": f"{ARN}/s",
        "TARGET_ARN": function,
    }
