"""Node.js functions through the engine: answers, errors and their stacks, logs, limits, packages from npm."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from builds import FUNCTIONS, zipped
from doors import Function
from javascript import ANY_VERSION, CLASSIC, MODERN, installed, own_runtime, written
from verdicts import answer, echoes_six_megabytes, ends, failure, runs_out_of_memory, times_out

BEHAVES = FUNCTIONS / "node-behaves"
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
pytestmark = pytest.mark.filterwarnings(ANY_VERSION)


@pytest.fixture
def behave(deploy: Any) -> Function:
    function: Function = deploy(BEHAVES, "index.handler", own_runtime())
    return function


def test_hello_is_cold_once_and_warm_after(behave: Function) -> None:
    assert [answer(behave) for _ in range(3)] == [1, 2, 3]
    assert [result.start for result in behave.results] == ["cold", "warm", "warm"]
    assert behave.results[0].init_ms


@pytest.mark.parametrize("runtime", [CLASSIC, MODERN])
@pytest.mark.parametrize(
    ("files", "handler"),
    [
        ({"index.js": "exports.handler = async () => 'it'"}, "index.handler"),
        ({"index.mjs": "export const handler = async () => 'it'"}, "index.handler"),
        ({"index.cjs": "exports.handler = async () => 'it'"}, "index.handler"),
        ({"app.js": "export const main = async () => 'it'", "package.json": '{"type": "module"}'}, "app.main"),
        ({"src/shop/cart.js": "exports.a = {b: async () => 'it'}"}, "src/shop/cart.a.b"),
        ({"index.js": "exports.handler = async () => 'it'", "index.mjs": "syntax error"}, "index.handler"),
        ({"index.mjs": "const it = await 'it'; export const handler = async () => it"}, "index.handler"),
        ({"node_modules/shop/index.js": "exports.handler = async () => 'it'"}, "shop.handler"),
    ],
)
def test_files_of_every_kind_are_found(
    deploy: Any, tmp_path: Path, runtime: str, files: dict[str, str], handler: str
) -> None:
    assert answer(deploy(written(tmp_path, files), handler, runtime)) == "it"


def test_a_zip_and_a_single_file_are_deployed_too(deploy: Any, tmp_path: Path) -> None:
    code = zipped(BEHAVES, tmp_path / "code.zip")
    assert answer(deploy(code, "index.deep.er.handler", own_runtime())) == "found"
    single = written(tmp_path, {"hello.mjs": "export const handler = async (event) => [event.name]"}) / "hello.mjs"
    assert answer(deploy(single, "hello.handler", own_runtime()), {"name": "Ada"}) == ["Ada"]


def test_an_error_has_its_type_and_its_real_stack(behave: Function) -> None:
    told = failure(behave, {"do": "fail"})
    assert (told["errorType"], told["errorMessage"]) == ("OutOfStock", "tea is out of stock")
    assert told["trace"][0] == "OutOfStock: tea is out of stock"
    assert told["trace"][1].startswith("    at innermost (/var/task/index.js:")
    (logged,) = (line for line in behave.log(behave.results[0]) if "Invoke Error" in line)
    request = re.escape(behave.results[0].request_id)
    assert re.match(rf"{STAMP}\t{request}\tERROR\tInvoke Error \t{{", logged)
    document = json.loads(logged.rpartition("\t")[2])
    assert (document["errorType"], document["stack"]) == ("OutOfStock", told["trace"])
    assert answer(behave) == 2  # in the same process


def test_what_cannot_be_json_is_an_error_and_nothing_is_null(behave: Function) -> None:
    for doing in ("number", "circle"):
        assert failure(behave, {"do": doing})["errorMessage"] == "Unable to stringify response body"
    assert answer(behave, {"do": "nothing"}) is None


def test_context_environment_and_folder(deploy: Any) -> None:
    given = {"memory_mb": 512, "timeout_s": 30, "environment": {"COLOUR": "blue", "TZ": "Asia/Tokyo"}}
    behave = deploy(BEHAVES, "index.handler", own_runtime(), **given)
    result = behave({"do": "context"}, client_context={"custom": {"a": "b"}})
    told = result.json()
    variables = told["environment"]
    assert (told["awsRequestId"], told["clientContext"]) == (result.request_id, {"custom": {"a": "b"}})
    assert told["invokedFunctionArn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{behave.name}"
    assert (told["functionName"], told["functionVersion"], told["memoryLimitInMB"]) == (behave.name, "$LATEST", "512")
    assert told["logGroupName"] == f"/aws/lambda/{behave.name}"
    assert told["logStreamName"] == variables["AWS_LAMBDA_LOG_STREAM_NAME"]
    assert 0 < told["remaining"] <= 30_000
    assert told["trace"].startswith("Root=1-")
    assert told["folder"] == variables["LAMBDA_TASK_ROOT"] == "/var/task"
    assert variables["AWS_EXECUTION_ENV"] == f"AWS_Lambda_{own_runtime()}"
    assert (variables["COLOUR"], variables["TZ"], variables["_HANDLER"]) == ("blue", "Asia/Tokyo", "index.handler")
    assert not {"HOME", "ENGINE_TEST_SESSION"} & set(variables)
    assert {"--max-semi-space-size=25", "--max-old-space-size=461"} <= set(told["memory"])


def test_every_word_is_in_the_log_of_its_own_invocation(behave: Function) -> None:
    said, silent = behave({"do": "say"}), behave()
    lines = behave.log(said)
    request = re.escape(said.request_id)
    for level, text in (
        ("INFO", r"to the log { a: 1 }"),
        ("ERROR", "an error of\rtwo lines"),
        ("DEBUG", "in detail"),
    ):
        assert [line for line in lines if re.fullmatch(rf"{STAMP}\t{request}\t{level}\t{text}", line)], lines
    assert {"to standard output", "to standard error"} <= set(lines)
    assert [line.split()[0] for line in behave.log(silent)] == ["START", "END", "REPORT"]


def test_json_logs_have_levels_that_are_filtered(deploy: Any) -> None:
    given = {"log_format": "JSON", "application_log_level": "INFO"}
    behave = deploy(BEHAVES, "index.handler", own_runtime(), **given)
    said = behave({"do": "say"})
    records = [json.loads(line) for line in behave.log(said) if line.startswith("{")]
    mine = [(record["level"], record["message"]) for record in records if "level" in record]
    assert mine == [("INFO", "to the log { a: 1 }"), ("ERROR", "an error of\ntwo lines")]
    assert {record["requestId"] for record in records if "level" in record} == {said.request_id}
    failure(behave, {"do": "fail"})
    logged = [json.loads(line) for line in behave.log(behave.results[1]) if "OutOfStock" in line and '"level"' in line]
    assert logged[0]["message"]["errorMessage"] == "tea is out of stock"


def test_six_megabytes_both_ways(deploy: Any) -> None:
    echoes_six_megabytes(deploy(BEHAVES, "index.echo", own_runtime()))


def test_an_answer_over_the_limit_is_refused_and_one_below_is_not(behave: Function) -> None:
    assert failure(behave, {"do": "long", "n": 6_291_557})["errorType"] == "Function.ResponseSizeTooLarge"
    assert len(answer(behave, {"do": "long", "n": 6_291_554})) == 6_291_554


def test_a_time_out_and_the_cold_start_after_it(deploy: Any) -> None:
    behave = deploy(BEHAVES, "index.handler", own_runtime(), timeout_s=1)
    times_out(behave, {"do": "sleep"})
    assert answer(behave) == 1


def test_memory_outside_the_heap_ends_as_out_of_memory(deploy: Any) -> None:
    behave = deploy(BEHAVES, "index.handler", own_runtime(), memory_mb=256)
    runs_out_of_memory(behave, {"do": "hog buffers"})
    assert answer(behave) == 1


def test_a_full_heap_ends_in_nodes_own_words(deploy: Any) -> None:
    behave = deploy(BEHAVES, "index.handler", own_runtime(), environment={"NODE_OPTIONS": "--max-old-space-size=64"})
    hog = ends(behave, {"do": "hog heap"}, "Runtime.ExitError", "Runtime exited with error: signal: aborted")
    assert any("JavaScript heap out of memory" in line for line in behave.log(hog))
    assert answer(behave) == 1


@pytest.mark.parametrize(
    ("status", "reason"),
    [(0, "Runtime exited without providing a reason"), (3, "Runtime exited with error: exit status 3")],
)
def test_a_handler_that_ends_the_process(behave: Function, status: int, reason: str) -> None:
    ends(behave, {"do": "exit", "n": status}, "Runtime.ExitError", reason)
    assert answer(behave) == 1


def test_an_error_that_nobody_catches_is_told_and_ends_the_process(behave: Function) -> None:
    told = failure(behave, {"do": "throw later"})
    assert (told["errorType"], told["errorMessage"]) == ("OutOfStock", "later")
    assert any("\tERROR\tUncaught Exception \t{" in line for line in behave.log(behave.results[0]))
    told = failure(behave, {"do": "reject later"})
    assert told["errorType"] == "Runtime.UnhandledPromiseRejection"
    assert told["errorMessage"] == "OutOfStock: unheard"
    assert any("\tERROR\tUnhandled Promise Rejection \t{" in line for line in behave.log(behave.results[1]))
    assert answer(behave) == 1


def test_packages_from_npm_run_as_commonjs_and_as_es_modules(deploy: Any, tmp_path: Path) -> None:
    modules = installed("lodash@4.17.21", "nanoid@5.1.6")
    code = written(
        tmp_path / "code",
        {
            "index.js": "exports.handler = async (event) => require('lodash').chunk(event, 2)",
            "id.mjs": "import { nanoid } from 'nanoid'; export const handler = async (event) => nanoid(event)",
        },
    )
    shutil.copytree(modules, code / "node_modules")
    assert answer(deploy(code, "index.handler", own_runtime()), [1, 2, 3]) == [[1, 2], [3]]
    assert len(answer(deploy(code, "id.handler", own_runtime()), 30)) == 30


def test_packages_in_layers_are_found(deploy: Any, tmp_path: Path) -> None:
    versioned = f"nodejs/node{own_runtime()[6:8]}/node_modules/colour/index.js"
    layer = written(
        tmp_path / "layer",
        {"nodejs/node_modules/shape/index.js": "module.exports = 'round'", versioned: "module.exports = 'blue'"},
    )
    code = written(tmp_path / "code", "exports.handler = async () => [require('shape'), require('colour')]")
    assert answer(deploy(code, "index.handler", own_runtime(), layers=[layer])) == ["round", "blue"]
