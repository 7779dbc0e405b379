"""AWS's own client for Node.js, npm's aws-lambda-ric, unmodified: built from source, with a bootstrap of its user's."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from builds import FUNCTIONS, zipped
from doors import Door, Function
from javascript import installed
from verdicts import answer, echoes_six_megabytes, ends, failure, runs_out_of_memory, times_out

CLIENT = "aws-lambda-ric"
VERSION = "3.3.0"
PARTS = ("bin", "dist", "package.json")  # of 150 MB, most of which is what it was built from
STREAM = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  for (const piece of event.pieces) stream.write(piece);
  if (event.fail) throw new RangeError('in the middle');
  stream.end();
});
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("client")
    shutil.copytree(FUNCTIONS / "node-behaves", folder / "code")
    (folder / "code" / "stream.js").write_text(STREAM)
    client = folder / "code" / "node_modules" / CLIENT
    built = installed(f"{CLIENT}@{VERSION}") / CLIENT
    for part in PARTS:
        (shutil.copytree if (built / part).is_dir() else shutil.copy2)(built / part, client / part)
    node = os.path.realpath(shutil.which("node") or "node")
    bootstrap = folder / "code" / "bootstrap"
    bootstrap.write_text(f'#!/bin/sh\nexec {node} node_modules/{CLIENT}/bin/index.mjs "$_HANDLER"\n')
    bootstrap.chmod(0o755)
    return zipped(folder / "code", folder / "code.zip")


@pytest.fixture
def behave(deploy: Any, code: Path) -> Function:
    function: Function = deploy(code, "index.handler")
    return function


def test_hello_and_a_warm_start(behave: Function) -> None:
    assert [answer(behave) for _ in range(3)] == [1, 2, 3]
    assert [result.start for result in behave.results] == ["cold", "warm", "warm"]


def test_an_error_with_its_stack(behave: Function) -> None:
    told = failure(behave, {"do": "fail"})
    assert (told["errorType"], told["errorMessage"]) == ("OutOfStock", "tea is out of stock")
    assert told["trace"][1].startswith("    at innermost (/var/task/index.js:")
    assert answer(behave) == 2


def test_context_and_log(deploy: Any, code: Path) -> None:
    behave = deploy(code, "index.handler", memory_mb=512)
    result = behave({"do": "context"}, client_context={"custom": {"a": "b"}})
    told = result.json()
    assert (told["awsRequestId"], told["clientContext"]) == (result.request_id, {"custom": {"a": "b"}})
    assert (told["memoryLimitInMB"], told["functionName"]) == ("512", behave.name)
    said = behave({"do": "say"})
    assert any(line.endswith("\tINFO\tto the log { a: 1 }") and said.request_id in line for line in behave.log(said))


def test_six_megabytes_both_ways(deploy: Any, code: Path) -> None:
    echoes_six_megabytes(deploy(code, "index.echo"))


def test_a_time_out_an_exit_and_too_much_memory(deploy: Any, code: Path) -> None:
    times_out(deploy(code, "index.handler", timeout_s=1), {"do": "sleep"})
    behave = deploy(code, "index.handler", memory_mb=256)
    ends(behave, {"do": "exit", "n": 3}, "Runtime.ExitError", "Runtime exited with error: exit status 3")
    runs_out_of_memory(behave, {"do": "hog buffers"})
    assert answer(behave) == 1


def test_an_init_error_is_told(deploy: Any, code: Path) -> None:
    told = failure(deploy(code, "absent.handler"))
    assert told["errorType"] == "Runtime.ImportModuleError"
    assert told["errorMessage"].startswith("Error: Cannot find module 'absent'")


def test_pieces_are_streamed_and_an_error_follows_them(deploy: Any, code: Path, door: Door) -> None:
    stream = deploy(code, "stream.handler")
    given = door.invoke_stream(stream.name, {"pieces": ["a", "b"]})
    assert (b"".join(given), given.result.function_error) == (b"ab", None)
    broken = door.invoke_stream(stream.name, {"pieces": ["a"], "fail": True})
    assert b"".join(broken) == b"a"
    assert json.loads(broken.result.payload)["errorMessage"] == "in the middle"
