"""`engine run` and `engine doctor`, as a shell sees them: real processes, their output and exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUNCTIONS = Path(__file__).parent.parent / "functions"
ECHO = """
def handler(event, context):
    print("seen", event)
    if event == "fail":
        raise ValueError("asked to")
    return {"event": event, "memory": context.memory_limit_in_mb}
"""


def engine(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Runs the command and waits for it."""
    command = [sys.executable, "-P", "-c", "from engine.cli import main; main(prog_name='engine')", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    path = tmp_path / "echo.py"
    path.write_text(ECHO)
    return path


def test_the_answer_is_on_standard_output_and_the_log_on_standard_error(echo: Path) -> None:
    done = engine("run", str(echo), "--event", '{"n": 1}', "--memory", "256")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"event": {"n": 1}, "memory": "256"}
    lines = done.stderr.splitlines()
    assert lines[0].startswith("INIT_START Runtime Version: python:3.")
    assert lines[1].startswith("START RequestId: ")
    assert lines[2] == "seen {'n': 1}"
    assert lines[-1].startswith("REPORT RequestId: ")
    assert "Memory Size: 256 MB" in lines[-1]
    assert "Init Duration: " in lines[-1]


def test_a_function_error_is_printed_and_ends_with_status_1(echo: Path) -> None:
    done = engine("run", str(echo), "--event", '"fail"')
    assert done.returncode == 1
    assert json.loads(done.stdout)["errorType"] == "ValueError"
    assert "[ERROR] ValueError: asked to" in done.stderr


def test_an_event_comes_from_a_file_or_from_standard_input(echo: Path, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text("[1, 2]")
    from_file = engine("run", str(echo), "--event", f"@{event}")
    from_stdin = engine("run", str(echo), "--event", "-", stdin="[1, 2]")
    assert json.loads(from_file.stdout) == json.loads(from_stdin.stdout)
    assert json.loads(from_file.stdout)["event"] == [1, 2]


def test_without_an_event_the_function_gets_an_empty_object(echo: Path) -> None:
    assert json.loads(engine("run", str(echo)).stdout)["event"] == {}


def test_repeating_gives_one_cold_and_then_warm_starts(echo: Path) -> None:
    done = engine("run", str(echo), "--repeat", "3", "--json")
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result["start"] for result in results] == ["cold", "warm", "warm"]
    assert [result["init_ms"] is None for result in results] == [False, True, True]
    assert all(result["log"][-1].startswith("REPORT") for result in results)


def test_a_handler_and_variables_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import os\ndef other(event, context):\n    return os.environ['KEY']\n")
    done = engine("run", f"{path}:mine.other", "--env", "KEY=a=b")
    assert (done.returncode, json.loads(done.stdout)) == (0, "a=b")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["ECHO", "--event", "{"], "not JSON"),
        (["ECHO", "--event", "@nowhere.json"], "cannot read nowhere.json"),
        (["ECHO", "--env", "KEY"], "'KEY' has no '='"),
        (["ECHO", "--memory", "64"], "'64' at 'memorySize'"),
        (["ECHO", "--timeout", "901"], "'901' at 'timeout'"),
        (["ECHO", "--runtime", "cobol74"], "cobol74"),
        (["ECHO", "--repeat", "0"], "0 is not in the range"),
    ],
)
def test_bad_input_names_the_value_and_starts_nothing(echo: Path, arguments: list[str], told: str) -> None:
    done = engine("run", *[str(echo) if argument == "ECHO" else argument for argument in arguments])
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_another_version_runs_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "index.js").write_text("exports.handler = async (event) => event;")
    done = engine("run", str(tmp_path / "index.js"), "--runtime", "nodejs12.x")
    assert done.returncode == 0
    assert "warning: index: nodejs12.x runs on nodejs " in done.stderr


def test_doctor_tells_what_is_enforced_by_what() -> None:
    told = json.loads(engine("doctor", "--json").stdout)
    lines = told["limits"]
    assert {"memory", "cpu", "pids"} <= {line["limit"] for line in lines}
    assert all(line["why"] for line in lines)
    assert "memory" in engine("doctor").stdout


def test_doctor_lists_the_languages_that_the_host_has() -> None:
    found = json.loads(engine("doctor", "--json").stdout)["runtimes"]
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip("v\n")
    assert node in [each["version"] for each in found if each["language"] == "nodejs"]
    assert node in engine("doctor").stdout


@pytest.mark.parametrize("target", ["index.mjs", ".", "index.mjs:index.handler"])
def test_javascript_runs_on_this_hosts_node(tmp_path: Path, target: str) -> None:
    code = "export const handler = async (event) => { console.log('seen'); return [event] }"
    (tmp_path / "index.mjs").write_text(code)
    done = engine("run", str(tmp_path / target), "--event", "7")
    assert (done.returncode, json.loads(done.stdout)) == (0, [7])
    assert done.stderr.splitlines()[0].startswith("INIT_START Runtime Version: nodejs")
    assert "\tINFO\tseen" in done.stderr
    assert "warning" not in done.stderr
