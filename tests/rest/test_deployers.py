"""Applications as people deploy them: AWS SAM's remote invocation, and Chalice from a folder to an answer and away."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_cli import tool_environment
from deployers import installed
from gateways import Gateway

SAM = "aws-sam-cli==1.170.0"
CHALICE = "chalice==1.34.0"
PATIENCE_S = 120
TALKS = """
def handler(event, context):
    print("asked with", event)
    if event.get("fail"):
        raise ValueError("as asked")
    return {"sum": sum(event["numbers"])}
"""
CHALICE_APP = """
from chalice import Chalice
from chalicelib.words import GREETING

app = Chalice(app_name="greeter")


@app.lambda_function(name="greet")
def greet(event, context):
    return {"greeting": f"{GREETING}, {event['name']}!", "in": context.function_name}


@app.lambda_function(name="count")
def count(event, context):
    return len(event)
"""
CHALICE_SETTINGS = {
    "version": "2.0",
    "app_name": "greeter",
    "manage_iam_role": False,
    "autogen_policy": False,
    "iam_role_arn": "arn:aws:iam::123456789012:role/execution_role",
    "environment_variables": {"KEY": "V"},
    "stages": {"dev": {"lambda_memory_size": 256, "lambda_timeout": 20, "tags": {"owner": "tests"}}},
}


@pytest.fixture(scope="session")
def sam() -> Path:
    return installed(SAM) / "sam"


@pytest.fixture(scope="session")
def chalice() -> Path:
    return installed(CHALICE) / "chalice"


class Tool:
    def __init__(self, command: Path, folder: Path, gateway: Gateway) -> None:
        self._command = str(command)
        self._folder = folder
        # No other service of AWS's is needed: what asked for one would be refused at once, and the test fail.
        nobody = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "SAM_CLI_TELEMETRY": "0"}
        self._environment = {**tool_environment(folder, gateway), **nobody}

    def run(self, *arguments: str, told: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [self._command, *arguments]
        return subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            input=told,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )


def test_sam_invokes_remotely_and_shows_the_log(sam: Path, served: Gateway, tmp_path: Path) -> None:
    arn = served.deploy("of-sam", TALKS)["FunctionArn"]
    tool = Tool(sam, tmp_path, served)
    done = tool.run("remote", "invoke", arn, "--event", '{"numbers": [1, 2, 3]}')
    assert (done.returncode, done.stdout) == (0, '{"sum": 6}'), done.stderr
    assert "asked with {'numbers': [1, 2, 3]}" in done.stderr
    assert "REPORT RequestId: " in done.stderr
    whole = tool.run("remote", "invoke", arn, "--event", '{"fail": true}', "--output", "json")
    assert json.loads(whole.stdout)["FunctionError"] == "Unhandled"
    dry = tool.run("remote", "invoke", arn, "--parameter", "InvocationType=DryRun", "--output", "json")
    assert json.loads(dry.stdout)["StatusCode"] == 204
    assert "Function not found" in tool.run("remote", "invoke", arn + "-not").stderr


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Path]:
    """A Chalice application: a folder."""
    (tmp_path / ".chalice").mkdir()
    (tmp_path / "chalicelib").mkdir()
    (tmp_path / "chalicelib" / "__init__.py").touch()
    (tmp_path / "chalicelib" / "words.py").write_text('GREETING = "Hello"\n')
    (tmp_path / "app.py").write_text(CHALICE_APP)
    (tmp_path / "requirements.txt").touch()
    (tmp_path / ".chalice" / "config.json").write_text(json.dumps(CHALICE_SETTINGS))
    yield tmp_path


def test_chalice_deploys_an_application_changes_it_and_takes_it_away(
    chalice: Path, served: Gateway, application: Path
) -> None:
    tool, aws = Tool(chalice, application, served), served.boto3()
    done = tool.run("deploy")
    assert done.returncode == 0, done.stdout + done.stderr
    greeted = tool.run("invoke", "--name", "greet", told='{"name": "you"}')
    assert json.loads(greeted.stdout) == {"greeting": "Hello, you!", "in": "greeter-dev-greet"}, greeted.stderr
    assert tool.run("invoke", "--name", "count", told='{"a": 1, "b": 2}').stdout.strip() == "2"
    found = aws.get_function(FunctionName="greeter-dev-greet")
    assert (found["Configuration"]["MemorySize"], found["Configuration"]["Timeout"]) == (256, 20)
    assert found["Configuration"]["Environment"]["Variables"] == {"KEY": "V"}
    assert found["Tags"]["owner"] == "tests"
    (application / "chalicelib" / "words.py").write_text('GREETING = "Good day"\n')
    done = tool.run("deploy")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        json.loads(tool.run("invoke", "--name", "greet", told='{"name": "all"}').stdout)["greeting"] == "Good day, all!"
    )
    done = tool.run("delete")
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.raises(aws.exceptions.ResourceNotFoundException):
        aws.get_function(FunctionName="greeter-dev-greet")
