"""`aws logs tail` of the real aws cli, which has it from version 2 on: the log as it is, filtered, and followed.

Debian's package `awscli` is one; ENGINE_AWS_CLI names another. Without one the tests fail.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from gateways import CREDENTIALS, PATIENCE_S, REGION, Gateway

TALKS = """
def handler(event, context):
    print("said", event)
"""


@pytest.fixture(scope="module")
def cli() -> str:
    """An aws cli of version 2: the first one on the path, which may have one of version 1 as well."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    for found in [os.environ.get("ENGINE_AWS_CLI"), *(shutil.which("aws", path=folder) for folder in folders)]:
        if found is not None and _version(found).startswith("aws-cli/2"):
            return found
    pytest.fail("no aws cli 2 on the path (Debian: awscli), nor at ENGINE_AWS_CLI")


def _version(command: str) -> str:
    return subprocess.run([command, "--version"], capture_output=True, text=True, check=False).stdout


@contextmanager
def tail(cli: str, served: Gateway, group: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [cli, "--endpoint-url", served.url, "logs", "tail", group, "--format", "short", *options]
    environment = {
        **os.environ,
        **{name.upper(): value for name, value in CREDENTIALS.items()},
        "AWS_DEFAULT_REGION": REGION,
        "PYTHONUNBUFFERED": "1",
    }
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def whole_tail(cli: str, served: Gateway, group: str, *options: str) -> str:
    with tail(cli, served, group, *options) as process:
        told, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    return told


class Lines:
    """What a process prints, line by line, waited for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.seen: list[str] = []
        self._coming: queue.Queue[str] = queue.Queue()
        self._process = process
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._coming.put(line)

    def wait_for(self, wanted: str) -> None:
        while not any(wanted in line for line in self.seen):
            self.seen.append(self._coming.get(timeout=PATIENCE_S))

    def close(self) -> None:
        self._process.terminate()
        self._thread.join()
        while not self._coming.empty():
            self.seen.append(self._coming.get())


def test_a_log_is_told_and_followed_without_a_line_lost_or_doubled(cli: str, served: Gateway, aws: Any) -> None:
    served.deploy("tailed", TALKS)
    aws.invoke(FunctionName="tailed", Payload=json.dumps("number 0").encode())
    assert "said number 0" in whole_tail(cli, served, "/aws/lambda/tailed")
    with tail(cli, served, "/aws/lambda/tailed", "--follow") as following:
        lines = Lines(following)
        try:
            lines.wait_for("said number 0")
            for number in (1, 2, 3):
                aws.invoke(FunctionName="tailed", Payload=json.dumps(f"number {number}").encode())
                lines.wait_for(f"said number {number}")
        finally:
            lines.close()
    said = [line.partition("said ")[2].strip() for line in lines.seen if "said " in line]
    assert said == [f"number {number}" for number in range(4)]


def test_a_log_is_filtered(cli: str, served: Gateway, aws: Any) -> None:
    served.deploy("filtered", TALKS)
    for text in ("wanted", "other"):
        aws.invoke(FunctionName="filtered", Payload=json.dumps(text).encode())
    told = whole_tail(cli, served, "/aws/lambda/filtered", "--filter-pattern", '"said wanted"')
    assert (told.count("said"), "said wanted" in told) == (1, True)
