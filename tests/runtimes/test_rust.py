"""Functions in Rust with AWS's own client, lambda_runtime from crates.io."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builds import built_rust, zipped
from doors import Door, Function
from verdicts import answer, comes_to_log, echoes_six_megabytes, ends, failure, runs_out_of_memory, times_out


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zipped(built_rust("rust-behaves"), tmp_path_factory.mktemp("rust") / "rust.zip")


@pytest.fixture
def behave(deploy: Any, code: Path) -> Function:
    function: Function = deploy(code, "behave")
    return function


def test_hello_with_a_real_dependency(deploy: Any, code: Path) -> None:
    hello = deploy(code, "hello")
    first = hello({"name": "Ada", "versions": ["1.2.3", "1.10.0", "none"]})
    assert first.json() == {"greeting": "Hello, Ada!", "newest": "1.10.0"}
    assert answer(hello, {"versions": ["0.1.0"]})["greeting"] == "Hello, world!"
    assert [result.start for result in hello.results] == ["cold", "warm"]


def test_errors_and_own_types_of_errors(deploy: Any, code: Path, behave: Function) -> None:
    assert failure(behave, {"do": "fail"})["errorMessage"] == "asked to"
    assert failure(behave, {"do": "parse"})["errorMessage"] == "invalid digit found in string"
    own = {"errorType": "OutOfStock", "errorMessage": "tea is out of stock"}
    assert failure(deploy(code, "own-error")) == own


def test_a_panic_is_the_invocations_error_and_the_process_goes_on(behave: Function) -> None:
    pid = answer(behave)
    assert failure(behave, {"do": "panic"})["errorMessage"] == "Lambda panicked: at the wits' end"
    log = behave.log(behave.results[-1])
    assert any("src/main.rs" in line for line in log) and "at the wits' end" in log
    assert (answer(behave), behave.results[-1].start) == (pid, "warm")


def test_context(deploy: Any, code: Path) -> None:
    behave = deploy(code, "behave", memory_mb=256, timeout_s=30)
    result = behave({"do": "context"}, client_context={"custom": {"a": "b"}})
    told = result.json()
    assert told["request_id"] == result.request_id
    assert told["arn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{behave.name}"
    assert told["custom"] == {"a": "b"}
    assert (told["name"], told["version"], told["memory_mb"]) == (behave.name, "$LATEST", 256)
    assert (told["log_group"], told["folder"]) == (f"/aws/lambda/{behave.name}", "/var/task")
    assert told["trace"].startswith("Root=")
    assert told["deadline_ms"] > 0


def test_output_is_in_its_own_invocation(behave: Function) -> None:
    said, silent = behave({"do": "say"}), behave()
    assert {"to standard output", "to standard error"} <= set(behave.log(said))
    assert not [line for line in behave.log(silent) if "to standard" in line]


def test_six_megabytes_both_ways(deploy: Any, code: Path) -> None:
    echoes_six_megabytes(deploy(code, "echo"))


def test_an_answer_over_the_limit_is_refused(behave: Function) -> None:
    assert failure(behave, {"do": "long", "n": 6_291_557})["errorType"] == "Function.ResponseSizeTooLarge"
    assert isinstance(answer(behave), int)


def test_a_time_out(deploy: Any, code: Path) -> None:
    behave = deploy(code, "behave", timeout_s=1)
    times_out(behave, {"do": "sleep"})
    assert isinstance(answer(behave), int)


def test_out_of_memory(deploy: Any, code: Path) -> None:
    behave = deploy(code, "behave", memory_mb=128)
    runs_out_of_memory(behave, {"do": "hog"})
    assert isinstance(answer(behave), int)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"do": "exit", "n": 7}, "Runtime exited with error: exit status 7"),
        ({"do": "abort"}, "Runtime exited with error: signal: aborted"),
    ],
)
def test_a_handler_that_ends_the_process(behave: Function, event: Any, reason: str) -> None:
    ends(behave, event, "Runtime.ExitError", reason)
    assert isinstance(answer(behave), int)


def test_an_init_that_fails(deploy: Any, code: Path) -> None:
    nobody = deploy(code, "nobody")
    ends(nobody, None, "Runtime.ExitError", "Runtime exited with error: exit status 1")
    comes_to_log(nobody, "no handler is called nobody")


def test_pieces_are_streamed_with_their_prelude(deploy: Any, code: Path, door: Door) -> None:
    stream = deploy(code, "stream")
    given = door.invoke_stream(stream.name, {"n": 3})
    prelude, _, body = b"".join(given).partition(bytes(8))
    assert json.loads(prelude)["statusCode"] == 200
    assert body == b"piece 2\npiece 1\npiece 0\n"
    assert given.result.function_error is None
