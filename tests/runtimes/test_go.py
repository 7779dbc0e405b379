"""Functions in Go with AWS's own client, aws-lambda-go: built, zipped, deployed and run as users do it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from builds import built_go, zipped
from doors import Door, Function
from verdicts import answer, comes_to_log, echoes_six_megabytes, ends, failure, runs_out_of_memory, times_out

EXITED = "Runtime exited"


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zipped(built_go("go-behaves"), tmp_path_factory.mktemp("go") / "go.zip")


@pytest.fixture
def behave(deploy: Any, code: Path) -> Function:
    function: Function = deploy(code, "behave")
    return function


def test_hello_with_typed_events_and_a_real_dependency(deploy: Any, code: Path) -> None:
    hello = deploy(code, "hello")
    first, second = hello({"name": "Ada", "prices": ["0.1", 0.2, "3"]}), hello({"name": "Lin", "prices": []})
    assert first.json() == {"greeting": "Hello, Ada!", "total": "3.3"}
    assert second.json() == {"greeting": "Hello, Lin!", "total": "0"}
    assert (first.start, second.start) == ("cold", "warm")
    assert first.init_ms and second.init_ms is None


def test_an_event_that_does_not_fit_its_type_is_the_functions_error(deploy: Any, code: Path) -> None:
    hello = deploy(code, "hello")
    assert failure(hello, {"name": 7})["errorType"] == "UnmarshalTypeError"
    assert answer(hello, {"name": "Ada"})["greeting"] == "Hello, Ada!"


def test_events_of_aws_are_read_and_answered_by_its_types(deploy: Any, code: Path) -> None:
    event = {"rawPath": "/orders", "requestContext": {"http": {"method": "POST"}}}
    told = answer(deploy(code, "url"), event)
    assert (told["statusCode"], told["body"]) == (200, "POST /orders")


def test_errors_and_types_of_errors(behave: Function) -> None:
    assert failure(behave, {"do": "fail"}) == {"errorMessage": "asked to", "errorType": "errorString"}
    own = {"errorMessage": "tea is out of stock", "errorType": "outOfStock"}
    assert failure(behave, {"do": "fail with its own type"}) == own
    assert failure(behave, {"do": "fail with a type"})["errorMessage"] == "wrapped: tea is out of stock"
    assert {result.start for result in behave.results[1:]} == {"warm"}


def test_a_panic_shows_its_stack_and_the_next_invocation_is_a_cold_start(behave: Function) -> None:
    first = answer(behave)
    panic = failure(behave, {"do": "panic"})
    assert (panic["errorMessage"], panic["errorType"]) == ("at the wits' end", "string")
    labels = [frame["label"] for frame in panic["stackTrace"]]
    assert labels.index("innermost") < labels.index("behave")
    (frame,) = (frame for frame in panic["stackTrace"] if frame["label"] == "innermost")
    assert frame["path"].endswith("main.go") and frame["line"] > 1
    assert isinstance(answer(behave), int) and isinstance(first, int)
    assert behave.results[-1].start == "cold"
    comes_to_log(behave, "the process should exit")


def test_context_environment_and_folder(deploy: Any, code: Path) -> None:
    behave = deploy(code, "behave", memory_mb=512, timeout_s=30, environment={"COLOUR": "blue"})
    context = {"custom": {"a": "b"}, "client": {"app_title": "shop"}}
    result = behave({"do": "context"}, client_context=context)
    told = result.json()
    variables = dict(pair.split("=", 1) for pair in told["environment"])
    assert told["request_id"] == result.request_id
    assert told["arn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{behave.name}"
    assert (told["custom"], told["app"]) == ({"a": "b"}, "shop")
    assert 0 < told["left_ms"] <= 30_000
    assert (told["name"], told["version"], told["memory_mb"]) == (behave.name, "$LATEST", 512)
    assert told["log_group"] == f"/aws/lambda/{behave.name}"
    assert told["folder"] == variables["LAMBDA_TASK_ROOT"] == "/var/task"
    assert variables["LAMBDA_RUNTIME_DIR"] == "/var/runtime"
    assert (variables["COLOUR"], variables["_HANDLER"]) == ("blue", "behave")
    assert "AWS_EXECUTION_ENV" not in variables  # as in Lambda, for runtimes that are an operating system only
    assert not {"HOME", "ENGINE_TEST_SESSION"} & set(variables)


def test_standard_output_and_the_log_are_in_their_own_invocation(behave: Function) -> None:
    said, silent = behave({"do": "say"}), behave()
    lines = behave.log(said)
    assert "to standard output" in lines
    assert any(line.endswith(" to the log") for line in lines)
    assert not [line for line in behave.log(silent) if " to " in line]


def test_six_megabytes_both_ways(deploy: Any, code: Path) -> None:
    echoes_six_megabytes(deploy(code, "echo"))


def test_an_answer_over_the_limit_is_refused(behave: Function) -> None:
    assert failure(behave, {"do": "long", "n": 6_291_557})["errorType"] == "Function.ResponseSizeTooLarge"
    assert len(answer(behave, {"do": "long", "n": 6_291_554})) == 6_291_554


def test_a_time_out_and_the_cold_start_after_it(deploy: Any, code: Path) -> None:
    behave = deploy(code, "behave", timeout_s=1)
    times_out(behave, {"do": "sleep"})
    assert isinstance(answer(behave), int)
    assert behave.results[-1].start == "cold"


def test_out_of_memory(deploy: Any, code: Path) -> None:
    behave = deploy(code, "behave", memory_mb=128)
    runs_out_of_memory(behave, {"do": "hog"})
    assert isinstance(answer(behave), int)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(0, "Runtime exited without providing a reason"), (3, "Runtime exited with error: exit status 3")],
)
def test_a_handler_that_ends_the_process(behave: Function, status: int, reason: str) -> None:
    ends(behave, {"do": "exit", "n": status}, "Runtime.ExitError", reason)
    assert isinstance(answer(behave), int)


def test_an_init_that_panics_or_ends(deploy: Any, code: Path) -> None:
    panics = deploy(code, "nobody")
    ends(panics, None, "Runtime.ExitError", "Runtime exited with error: exit status 2")
    comes_to_log(panics, "no handler is called nobody")
    ends(deploy(code, "quits"), None, "Runtime.ExitError", "Runtime exited without providing a reason")


def test_pieces_of_an_io_reader_are_streamed(deploy: Any, code: Path, door: Door) -> None:
    stream = deploy(code, "stream")
    given = door.invoke_stream(stream.name, {"n": 3})
    assert b"".join(given) == b"piece 2\npiece 1\npiece 0\n"
    assert (given.result.function_error, given.content_type) == (None, "application/octet-stream")
    assert stream({"n": 2}).payload == b"piece 1\npiece 0\n"  # and as a whole for who asks for no stream


def test_a_stream_that_breaks_tells_its_error_after_what_was_sent(deploy: Any, code: Path, door: Door) -> None:
    stream = deploy(code, "stream")
    given = door.invoke_stream(stream.name, {"n": 1, "do": "break"})
    assert b"".join(given) == b"piece 0\n"
    error = given.result
    assert error.function_error == "Unhandled"
    assert json.loads(error.payload) == {"errorMessage": "tea is out of stock", "errorType": "outOfStock"}
    early = door.invoke_stream(stream.name, {"do": "fail"})
    assert b"".join(early) == b""
    assert json.loads(early.result.payload)["errorMessage"] == "before the first piece"


def test_a_streaming_answer_of_a_function_url_has_its_prelude(deploy: Any, code: Path, door: Door) -> None:
    stream = deploy(code, "url-stream")
    given = door.invoke_stream(stream.name, {"n": 2})
    prelude, _, body = b"".join(given).partition(bytes(8))
    assert given.content_type == "application/vnd.awslambda.http-integration-response"
    assert json.loads(prelude) == {
        "statusCode": 201,
        "headers": {"content-type": "text/plain", "x-from": "go"},
        "cookies": ["a=1"],
    }
    assert body == b"piece 1\npiece 0\n"


def test_the_deadline_is_the_engines(deploy: Any, code: Path) -> None:
    behave = deploy(code, "behave", timeout_s=7)
    before = time.time()
    left = answer(behave, {"do": "context"})["left_ms"]
    assert 7_000 - (time.time() - before) * 1_000 - 5 <= left <= 7_000
