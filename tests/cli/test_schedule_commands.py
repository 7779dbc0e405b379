"""Schedules from the command line, as a shell sees them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import COMMAND, service

SOURCE = "def handler(event, context):\n    print('seen', event)\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with the function `report`."""
    code = tmp_path_factory.mktemp("code") / "app.py"
    code.write_text(SOURCE)
    with service(tmp_path_factory.mktemp("service")) as (where,):
        done = run(where, "deploy", "report", str(code), "--memory", "1769")
        assert done.returncode == 0, done
        yield where


def run(address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ENGINE_SOCKET": address}
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False, env=environment
    )


def said(address: str, *arguments: str) -> str:
    done = run(address, *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def told(address: str, *arguments: str) -> Any:
    return json.loads(said(address, *arguments, "--json"))


def test_a_schedule_is_made_listed_and_deleted(address: str) -> None:
    line = said(address, "schedule", "nightly", "cron(0 3 * * ? 2199)", "report", "--timezone", "Europe/Berlin")
    assert line == "nightly: the next tick is at 2199-01-01T02:00:00Z\n"
    heading, *rows = said(address, "schedules").splitlines()
    (row,) = (row for row in rows if row.startswith("nightly "))
    assert heading.split()[:3] == ["schedule", "expression", "time"]
    assert re.split(" {2,}", row)[:6] == [
        "nightly", "cron(0 3 * * ? 2199)", "Europe/Berlin", "report", "ENABLED", "2199-01-01T02:00:00Z",
    ]  # fmt: skip
    assert said(address, "unschedule", "nightly") == ""
    assert "nightly" not in [each["name"] for each in told(address, "schedules")["schedules"]]


def test_all_that_can_be_said_is_kept_and_replaced_by_the_next(address: str, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text('{"to": "Ada"}')
    queue = "arn:aws:sqs:us-east-1:000000000000:failed"
    options = [
        *("--payload", f"@{event}", "--flexible", "5", "--start", "2199-01-01T00:00:00", "--disabled"),
        *("--end", "2199-02-01T00:00:00+01:00", "--dead-letter", queue, "--retries", "0", "--event-age", "60"),
        *("--delete-after", "--description", "d"),
    ]
    made = told(address, "schedule", "all", "rate(5 minutes)", "report", *options)
    assert (made["payload"], made["flexible_window_minutes"], made["state"]) == ('{"to": "Ada"}', 5, "DISABLED")
    assert (made["start_ms"], made["end_ms"]) == (7_226_582_400_000, 7_229_257_200_000)
    assert (made["dead_letter_arn"], made["maximum_retry_attempts"], made["maximum_event_age_s"]) == (queue, 0, 60)
    assert (made["action_after_completion"], made["description"], made["next_ms"]) == ("DELETE", "d", None)
    changed = told(address, "schedule", "all", "at(2001-01-01T00:00:00)", "report")
    assert changed["created_ms"] == made["created_ms"]
    assert (changed["payload"], changed["state"], changed["dead_letter_arn"]) == (None, "ENABLED", None)
    assert said(address, "schedule", "all", "at(2001-01-01T00:00:00)", "report") == "all: no tick is to come\n"
    (listed,) = (each for each in told(address, "schedules")["schedules"] if each["name"] == "all")
    assert listed.keys() == {*changed, "fired", "missed", "problem"}
    assert (listed["fired"], listed["missed"], listed["problem"]) == (0, 0, None)
    said(address, "unschedule", "all")


def test_a_schedule_invokes_and_its_ticks_are_counted(address: str) -> None:
    said(address, "schedule", "daily", "rate(1 day)", "report", "--payload", '"by itself"')
    while "seen by itself" not in said(address, "logs", "report"):
        pass
    (listed,) = (each for each in told(address, "schedules")["schedules"] if each["name"] == "daily")
    assert (listed["fired"], listed["missed"], listed["next_ms"]) == (1, 0, listed["created_ms"] + 86_400_000)
    said(address, "unschedule", "daily")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["schedule", "s", "rate(1 week)", "report"], "Invalid Schedule Expression rate(1 week)"),
        (["schedule", "s", "rate(1 day)", "nobody"], "ResourceNotFoundException: Function not found"),
        (["schedule", "s", "rate(1 day)", "report", "--timezone", "Mars/Olympus"], "Invalid Timezone Mars/Olympus"),
        (["schedule", "s", "rate(1 day)", "report", "--payload", "{"], "not JSON"),
        (["schedule", "s", "rate(1 day)", "report", "--start", "noon"], "'noon' is no moment"),
        (["schedule", "s", "rate(1 day)", "report", "--retries", "186"], "186"),
        (["unschedule", "s"], "ResourceNotFoundException: Schedule s does not exist."),
        (["schedules", "--socket", "tcp:host"], "tcp:host:port"),
    ],
)
def test_what_is_wrong_is_told_by_its_value(address: str, arguments: list[str], why: str) -> None:
    done = run(address, *arguments)
    assert done.returncode in (1, 2)
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
