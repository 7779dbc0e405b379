"""Commands against a running service, as a shell sees them: output, exit status, and what a user is told."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import COMMAND, service

SOURCE = """
import os

def handler(event, context):
    print("seen", event)
    if event == "fail":
        raise ValueError("asked to")
    if event == "context":
        return context.client_context.custom
    return [event, os.environ.get("KEY")]

def other(event, context):
    return "other"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with service(folder) as (where,):
        yield where


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "app.py"
    path.write_text(SOURCE)
    return path


class Shell:
    """Runs commands with $ENGINE_SOCKET set."""

    def __init__(self, address: str) -> None:
        self.environment = {**os.environ, "ENGINE_SOCKET": address}

    def __call__(self, *arguments: object, stdin: str = "", status: int = 0) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, *map(str, arguments)]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=120, check=False, env=self.environment
        )
        assert done.returncode == status, done
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: object) -> Any:
        return json.loads(self(*arguments, "--json").stdout)


@pytest.fixture
def engine(address: str) -> Shell:
    return Shell(address)


@pytest.fixture
def name(engine: Shell, code: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A deployed function."""
    named = f"f-{abs(hash(request.node.name)) % 10**8}"
    engine("deploy", named, code, "--memory", 1769)
    yield named
    engine("rm", named)


def test_deploying_creates_and_then_updates(engine: Shell, name: str, code: Path) -> None:
    made = engine.json("deploy", name, f"{code}:app.other", "--env", "KEY=a=b", "--timeout", 7, "--description", "d")
    assert (made["handler"], made["timeout_s"], made["description"]) == ("app.other", 7, "d")
    assert (made["environment"], made["memory_mb"]) == ({"KEY": "a=b"}, 1769)
    assert engine("invoke", name).stdout == '"other"\n'
    assert engine("deploy", name, code).stdout.strip() == made["function_arn"]
    assert json.loads(engine("invoke", name, "1").stdout) == [1, "a=b"]


def test_provisioned_concurrency_is_deployed_shown_and_taken_away(engine: Shell, name: str, code: Path) -> None:
    engine("deploy", name, code, "--alias", "live", "--provisioned", 2)
    (told,) = engine.json("ls", name)["provisioned"]
    assert (told["function_arn"].endswith(f"{name}:live"), told["requested_provisioned_concurrent_executions"]) == (
        True,
        2,
    )
    while "READY" not in (shown := engine("ls", name).stdout):
        assert "IN_PROGRESS" in shown
    assert engine.json("invoke", name, "--qualifier", "live")["start"] == "provisioned"
    assert "provisioned GB-seconds" in engine("bill").stdout and "provisioned" in engine("stats").stdout
    engine("deploy", name, code, "--alias", "live", "--provisioned", 0)
    assert engine.json("ls", name)["provisioned"] == []
    assert "--publish or --alias" in engine("deploy", name, code, "--provisioned", 1, status=2).stderr


def test_what_happens_to_events_is_deployed_and_shown(engine: Shell, name: str, code: Path) -> None:
    queue = "arn:aws:sqs:us-east-1:000000000000:queue"
    assert engine.json("deploy", name, code, "--dead-letter", queue)["dead_letter_target_arn"] == queue
    assert engine.json("ls", name)["event_invoke"] == []
    engine("deploy", name, code, "--retries", 0, "--on-success", queue, "--on-failure", "arn:aws:s3:::failed")
    shown = engine("ls", name).stdout.splitlines()
    assert shown[-1].split() == ["$LATEST", "0", queue, "arn:aws:s3:::failed"]
    made = engine.json("deploy", name, code, "--event-age", 60, "--on-success", "", "--dead-letter", "")
    assert made["dead_letter_target_arn"] is None
    engine("deploy", name, code, "--alias", "live", "--retries", 1)
    engine("deploy", name, code, "--publish", "--description", "another", "--retries", 2)
    told = engine.json("ls", name)["event_invoke"]
    assert [
        (each["function_arn"].rpartition(":")[2], each["maximum_retry_attempts"], each["maximum_event_age_s"])
        for each in told
    ] == [("$LATEST", 0, 60), ("2", 2, None), ("live", 1, None)]
    assert (told[0]["on_success"], told[0]["on_failure"]) == (None, "arn:aws:s3:::failed")
    assert "3" in engine("deploy", name, code, "--retries", 3, status=2).stderr
    assert "destinationConfig" in engine("deploy", name, code, "--on-success", "q", status=1).stderr


def test_what_a_function_reaches_and_how_it_starts_are_deployed_and_stay(engine: Shell, name: str, code: Path) -> None:
    made = engine.json("deploy", name, code, "--network", "loopback", "--snap-start")
    assert (made["network"], made["snap_start"]) == ("loopback", True)
    again = engine.json("deploy", name, code, "--no-snap-start")
    assert (again["network"], again["snap_start"]) == ("loopback", False)


def test_a_version_and_an_alias_come_with_a_deployment(engine: Shell, name: str, code: Path) -> None:
    assert engine.json("deploy", name, code, "--publish")["version"] == "1"
    assert engine.json("deploy", name, code, "--alias", "live", "--description", "two")["version"] == "2"
    assert engine.json("deploy", name, code, "--alias", "live", "--description", "three")["version"] == "3"
    assert engine.json("invoke", name, "--qualifier", "live")["executed_version"] == "3"
    told = engine.json("ls", name)
    assert [each["version"] for each in told["versions"]] == ["$LATEST", "1", "2", "3"]
    assert [(each["name"], each["function_version"]) for each in told["aliases"]] == [("live", "3")]
    shown = engine("ls", name).stdout
    assert "live" in shown and "three" in shown
    engine("rm", name, "--qualifier", "1")
    assert [each["version"] for each in engine.json("ls", name)["versions"]] == ["$LATEST", "2", "3"]


def test_a_layer_is_a_path_too(engine: Shell, name: str, tmp_path: Path, code: Path) -> None:
    layer = tmp_path / "layer" / "python"
    layer.mkdir(parents=True)
    (layer / "extra.py").write_text("WORD = 1\n")
    assert len(engine.json("deploy", name, code, "--layer", tmp_path / "layer")["layers"]) == 1


def test_the_answer_is_on_standard_output_and_the_log_on_standard_error(engine: Shell, name: str) -> None:
    done = engine("invoke", name, '{"n": 1}', "--log")
    assert json.loads(done.stdout) == [{"n": 1}, None]
    assert "seen {'n': 1}" in done.stderr.splitlines()
    assert "REPORT RequestId: " in done.stderr
    assert engine("invoke", name).stderr == ""


def test_a_function_error_ends_with_status_1_and_its_document(engine: Shell, name: str) -> None:
    done = engine("invoke", name, '"fail"', status=1)
    assert json.loads(done.stdout)["errorMessage"] == "asked to"


def test_events_come_from_files_and_standard_input_and_contexts_too(engine: Shell, name: str, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text('"context"')
    done = engine("invoke", name, f"@{event}", "--client-context", '{"custom": {"a": 1}}')
    assert json.loads(done.stdout) == {"a": 1}
    assert json.loads(engine("invoke", name, "-", stdin="[2]").stdout) == [[2], None]
    assert engine.json("invoke", name, "--type", "DryRun")["status_code"] == 204


def test_functions_are_listed_whole_where_output_is_piped(engine: Shell, name: str) -> None:
    assert name in engine("ls").stdout
    assert name in [each["function_name"] for each in engine.json("ls")["functions"]]
    description = "long " * 40 + "end"
    engine("deploy", "f-long", Path(__file__).parent.parent / "functions" / "hello", "--description", description)
    assert description in engine("ls").stdout
    assert "\x1b" not in engine("ls").stdout
    engine("rm", "f-long")


def test_counts_bill_and_records_say_what_was_invoked(engine: Shell, name: str, folder: Path, tmp_path: Path) -> None:
    for event in ("1", "2"):
        engine("invoke", name, event)
    engine("invoke", name, '"fail"', status=1)
    counts = engine.json("stats", name)["functions"][name]["versions"]["$LATEST"]
    assert (counts["invocations"], counts["errors"], counts["cold_starts"]) == (3, 1, 1)
    assert name in engine("stats").stdout
    (line,) = [line for line in engine.json("bill", "--by", "version")["lines"] if line["function"] == name]
    assert (line["requests"], line["errors"], float(line["cost"]) > 0) == (3, 1, True)
    shown = engine("bill").stdout.splitlines()
    assert any(row.split()[:2] == [name, "3"] for row in shown)
    assert shown[-1].startswith("total")
    assert engine.json("bill", "--month", "2001-01")["total"]["requests"] == 0
    told = engine("bill", "--csv", tmp_path / "ledger.csv", "--data", folder / "data")
    rows = list(csv.DictReader((tmp_path / "ledger.csv").read_text().splitlines()))
    assert [row["function"] for row in rows].count(name) == 3
    assert told.stderr.startswith(f"{len(rows)} records in ")


def test_logs_are_printed_and_limited(engine: Shell, name: str) -> None:
    request = engine.json("invoke", name, '"one"')["request_id"]
    engine("invoke", name, '"two"')
    lines = engine("logs", name).stdout.splitlines()
    assert [line for line in lines if line.startswith("seen")] == ["seen one", "seen two"]
    assert engine("logs", name, "--limit", 1).stdout.startswith("REPORT")
    only = engine("logs", name, "--request-id", request, "--json").stdout.splitlines()
    assert {json.loads(line)["request_id"] for line in only} == {request}


def test_following_a_log_loses_and_doubles_no_line(engine: Shell, name: str) -> None:
    engine("invoke", name, '"before"')
    command = [*COMMAND, "logs", name, "-f"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=engine.environment) as follower:
        assert follower.stdout is not None
        seen: list[str] = []
        for n in ["before", *range(5)]:
            if n != "before":
                engine("invoke", name, json.dumps(n))
            while not (seen and seen[-1].startswith("REPORT") and f"seen {n}\n" in seen):
                seen.append(follower.stdout.readline())
        follower.send_signal(signal.SIGINT)
        seen += follower.stdout.readlines()
    assert follower.returncode == 0
    assert "".join(seen) == engine("logs", name).stdout


def test_a_service_tells_its_limits(engine: Shell, address: str) -> None:
    assert {"memory", "cpu"} <= {line["limit"] for line in engine.json("doctor", "--socket", address)["limits"]}


@pytest.mark.parametrize(
    "arguments", [["ls"], ["stats"], ["bill"], ["logs", "f"], ["rm", "f"], ["invoke", "f"], ["doctor", "--socket", "S"]]
)
def test_where_nobody_serves_the_address_and_the_way_out_are_told(arguments: list[str], tmp_path: Path) -> None:
    missing = f"unix:{tmp_path}/none.sock"
    done = Shell(missing)(*[missing if word == "S" else word for word in arguments], status=1)
    assert f"no engine can be reached at {missing}: No such file or directory" in done.stderr
    assert "`engine serve`" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["invoke", "nobody"], "ResourceNotFoundException: Function not found"),
        (["invoke", "f", "{"], "not JSON"),
        (["invoke", "f", "--client-context", "1"], "it is a JSON object"),
        (["deploy", "f", "/nowhere"], "/nowhere does not exist"),
        (["deploy", "f", "CODE", "--memory", "1"], "'1' at 'memorySize'"),
        (["deploy", "f", "CODE:app.handler", "--env", "K"], "'K' has no '='"),
        (["logs", "nobody"], "ResourceNotFoundException"),
        (["rm", "nobody"], "ResourceNotFoundException"),
        (["bill", "--month", "May"], "May"),
        (["bill", "--csv", "x.csv", "--data", "/nowhere"], "/nowhere is no data folder"),
        (["ls", "--socket", "tcp:host"], "tcp:host:port"),
    ],
)
def test_what_is_wrong_is_told_by_value(engine: Shell, code: Path, arguments: list[str], told: str) -> None:
    given = [word.replace("CODE", str(code)) for word in arguments]
    done = subprocess.run(
        [*COMMAND, *given], capture_output=True, text=True, timeout=60, check=False, env=engine.environment
    )
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_event_is_accepted_and_seen_in_the_table_of_events(engine: Shell, code: Path) -> None:
    engine("deploy", "by-event", code, "--memory", 1_769)
    assert json.loads(engine("invoke", "by-event", '"now"', "--type", "Event", "--json").stdout)["status_code"] == 202
    while True:  # each look is a process of its own; the suite's own time limit ends one that never sees it run
        told = json.loads(engine("events", "by-event", "--json").stdout)
        if told["functions"]["by-event"]["$LATEST"]["depth"] == 0:
            break
    counts = told["functions"]["by-event"]["$LATEST"]
    assert (counts["AsyncEventsReceived"], counts["AsyncEventsDropped"]) == (1, 0)
    assert told["all"]["depth"] == 0
    heading, row = engine("events", "by-event").stdout.splitlines()
    assert heading.split()[:3] == ["function", "qualifier", "received"]
    assert row.split()[:3] == ["by-event", "$LATEST", "1"]
    assert "now" in engine("logs", "by-event").stdout
