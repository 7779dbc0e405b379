"""Custom runtimes: AWS's tutorial in bash and curl, and clients on bare sockets that are awkward and within HTTP."""

from __future__ import annotations

import base64
import json
import os
import stat
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from builds import FUNCTIONS
from doors import Door
from verdicts import TIMED_OUT, answer, ends, failure, times_out

RAW = Path(__file__).parent / "code" / "raw_bootstrap.py"
BASH = FUNCTIONS / "bash-bootstrap"


def packed(target: Path, files: dict[str, tuple[bytes, bool]]) -> Path:
    """A zip of these files, each with whether it may be executed."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (content, executable) in files.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
            archive.writestr(entry, content)
    return target


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return packed(tmp_path / "raw.zip", {"bootstrap": (RAW.read_bytes(), True)})


@pytest.mark.parametrize("runtime", ["provided", "provided.al2", "provided.al2023"])
def test_the_tutorial_in_bash_runs_unmodified(deploy: Any, runtime: str) -> None:
    hello = deploy(BASH, "function.hello", runtime)
    assert answer(hello, {"a": [1, None]}) == {"hello": {"a": [1, None]}}
    assert answer(hello) == {"hello": {}}
    assert [result.start for result in hello.results] == ["cold", "warm"]
    assert 'event: {"a":[1,null]}' in hello.log(hello.results[0])
    assert "event: {}" in hello.log(hello.results[1])


def test_what_a_shell_script_tells_as_an_error(deploy: Any) -> None:
    sorry = deploy(BASH, "function.sorry")
    assert failure(sorry) == {"errorMessage": "not today", "errorType": "Function.Failed", "stackTrace": []}
    report = "Status: error\tError Type: Function.Failed"
    assert report in sorry.log(sorry.results[0])[-1]


def test_an_init_error_that_is_posted_is_the_answer(deploy: Any) -> None:
    nothing = deploy(BASH, "missing.handler")
    told = failure(nothing)
    assert (told["errorType"], told["errorMessage"]) == ("Runtime.NoSuchFile", "missing.sh cannot be read")


def test_heads_of_an_invocation(deploy: Any) -> None:
    function = deploy(BASH, "function.heads")
    result = function(None, client_context={"custom": {"a": 1}})
    heads = dict(line.split(": ", 1) for line in result.json())
    given = {name.lower(): value for name, value in heads.items()}
    assert given["lambda-runtime-aws-request-id"] == result.request_id
    assert given["lambda-runtime-invoked-function-arn"].endswith(f":function:{function.name}")
    assert given["lambda-runtime-trace-id"].startswith("Root=1-")
    assert json.loads(given["lambda-runtime-client-context"]) == {"custom": {"a": 1}}
    assert int(given["lambda-runtime-deadline-ms"]) > 0


def test_folder_and_variables_of_the_process(deploy: Any) -> None:
    function = deploy(BASH, "function.folder")
    expected = f"/var/task /var/task /var/runtime function.folder {function.name} none"
    assert answer(function) == expected


def test_a_bootstrap_that_ends_by_a_signal_and_one_that_sleeps(deploy: Any) -> None:
    ends(deploy(BASH, "function.quits"), None, "Runtime.ExitError", "Runtime exited with error: signal: terminated")
    sleeps = deploy(BASH, "function.sleeps", timeout_s=1)
    times_out(sleeps, None)
    times_out(sleeps, None)


def test_a_bootstrap_may_come_in_a_layer(deploy: Any, tmp_path: Path) -> None:
    layer = packed(tmp_path / "layer.zip", {"bootstrap": ((BASH / "bootstrap").read_bytes(), True)})
    code = packed(tmp_path / "code.zip", {"function.sh": ((BASH / "function.sh").read_bytes(), False)})
    assert answer(deploy(code, "function.hello", layers=[layer]), [1]) == {"hello": [1]}


def test_code_comes_before_layers(deploy: Any, tmp_path: Path) -> None:
    layer = packed(tmp_path / "layer.zip", {"bootstrap": (b"#!/bin/sh\nexit 9\n", True)})
    assert answer(deploy(BASH, "function.hello", layers=[layer]), 1) == {"hello": 1}


@pytest.mark.parametrize("files", [{"readme": (b"", False)}, {"bootstrap": (b"#!/bin/sh\n", False)}])
def test_no_bootstrap_or_one_that_may_not_be_executed(deploy: Any, tmp_path: Path, files: Any) -> None:
    told = failure(deploy(packed(tmp_path / "code.zip", files), "any"))
    assert told["errorType"] == "Runtime.InvalidEntrypoint"
    assert "RequestId: " in told["errorMessage"]


@pytest.mark.parametrize("content", [b"#!/no/such/interpreter\n", b"\x7fELF and no more"])
def test_a_bootstrap_that_cannot_be_run(deploy: Any, tmp_path: Path, content: bytes) -> None:
    code = packed(tmp_path / "code.zip", {"bootstrap": (content, True)})
    assert failure(deploy(code, "any"))["errorType"] == "Runtime.InvalidEntrypoint"


@pytest.mark.parametrize(
    "manner",
    ["small_letters", "tiny_chunks", "byte_by_byte", "pipelines", "two_connections", "expects_continue"],
)
def test_an_awkward_client_is_served_and_kept(deploy: Any, raw: Path, manner: str) -> None:
    function = deploy(raw, manner)
    connections = 2 if manner == "two_connections" else 1
    for number in range(3):
        assert answer(function, {"number": number}) == {"event": {"number": number}, "connections": connections}
    assert [result.start for result in function.results] == ["cold", "warm", "warm"]


def test_many_calls_at_once_are_each_answered_and_no_process_is_held_to_a_cpu(deploy: Any, raw: Path) -> None:
    """An environment goes to its runtime's CPU now and then while there is always work; it may leave it again."""
    function = deploy(raw, "small_letters")
    with ThreadPoolExecutor(16) as callers:
        told = list(callers.map(function, range(1_000)))
    assert [each.json()["event"] for each in told] == list(range(1_000))
    for pid in function.pids():
        assert os.sched_getaffinity(pid) == os.sched_getaffinity(0)


@pytest.mark.parametrize("manner", ["new_connections", "connection_close", "http_1_0"])
def test_a_client_may_have_a_connection_for_each_request(deploy: Any, raw: Path, manner: str) -> None:
    function = deploy(raw, manner)
    for number in range(3):
        told = answer(function, number)
        assert (told["event"], told["connections"]) == (number, 2 * number + 2)
        assert told.get("ended", True) is True


def test_a_cause_for_x_ray_of_nearly_a_mebibyte_is_taken(deploy: Any, raw: Path) -> None:
    function = deploy(raw, "huge_head")
    for number in range(2):
        assert failure(function, {"number": number}) == {
            "errorMessage": f'{{"number": {number}}}',
            "errorType": "Caused",
        }
    assert function.results[-1].start == "warm"


def test_wrong_turns_are_refused_as_aws_does_and_the_invocation_goes_on(deploy: Any, raw: Path) -> None:
    function = deploy(raw, "wrong_turns")
    for _ in range(2):
        said = answer(function, {})["said"]
        assert said["another's answer"] == [400, "InvalidRequestID"]
        assert said["init is over"] == [403, "InvalidStateTransition"]
        assert said["no such path"][0] == said["no such version"][0] == 404
        assert said["wrong method"][0] == 405


def test_an_answer_that_is_too_long_is_told_to_both_sides(deploy: Any, raw: Path) -> None:
    function = deploy(raw, "too_long")
    assert failure(function, 6_291_557)["errorType"] == "Function.ResponseSizeTooLarge"
    assert answer(function, 0) == 413
    assert len(answer(function, 6_291_556)) == 6_291_554


def test_a_stream_as_aws_describes_it(deploy: Any, raw: Path, door: Door) -> None:
    function = deploy(raw, "streams")
    given = door.invoke_stream(function.name, {"pieces": ["one ", "two"], "type": "text/plain"})
    assert b"".join(given) == b"one two"
    assert (given.content_type, given.result.function_error) == ("text/plain", None)
    body = {"errorMessage": "no more", "errorType": "Custom.Broken"}
    error = base64.b64encode(json.dumps(body).encode()).decode()
    broken = door.invoke_stream(function.name, {"pieces": ["one "], "error": error})
    assert b"".join(broken) == b"one "
    assert json.loads(broken.result.payload) == body
    assert broken.result.function_error == "Unhandled"


def test_a_bootstrap_that_never_asks_for_an_event_is_ended(deploy: Any, tmp_path: Path) -> None:
    code = packed(tmp_path / "code.zip", {"bootstrap": (b"#!/bin/sh\nexec sleep 100\n", True)})
    hangs = deploy(code, "any", timeout_s=1)
    result = hangs()
    assert (result.json()["errorType"], result.duration_ms) == ("Sandbox.Timedout", 1_000)
    assert TIMED_OUT in hangs.log(result)[-1]
