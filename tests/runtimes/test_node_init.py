"""Node.js functions that cannot start: in Lambda's words, in the answer and in the log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from javascript import ANY_VERSION, CLASSIC, MODERN, written
from verdicts import answer, failure

pytestmark = pytest.mark.filterwarnings(ANY_VERSION)
NOT_VALID = (
    "'../index.handler' is not a valid handler name. Use absolute paths when specifying root directories in handler "
    "names."
)
HANDLER = "exports.handler = async () => 1"
UNHEARD = "Promise.reject(new Error('unheard'));"


@pytest.mark.parametrize(
    ("files", "handler", "error_type", "message"),
    [
        ("exports.handler = (", "index.handler", "Runtime.UserCodeSyntaxError", "SyntaxError: Unexpected end of input"),
        ("require('nowhere')", "index.handler", "Runtime.ImportModuleError", "Error: Cannot find module 'nowhere'"),
        (HANDLER, "absent.handler", "Runtime.ImportModuleError", "Error: Cannot find module 'absent'"),
        ("exports.other = 1", "index.handler", "Runtime.HandlerNotFound", "index.handler is undefined or not exported"),
        ("exports.handler = 1", "index.handler", "Runtime.HandlerNotFound", "index.handler is not a function"),
        (HANDLER, "../index.handler", "Runtime.MalformedHandlerName", NOT_VALID),
        (HANDLER, "index", "Runtime.MalformedHandlerName", "Bad handler"),
        ({"index.mjs": "export const = 1"}, "index.handler", "Runtime.UserCodeSyntaxError", "SyntaxError: "),
        (
            {"index.mjs": "import 'nowhere'"},
            "index.handler",
            "Error",
            "Cannot find package 'nowhere' imported",
        ),
        ("throw new RangeError('not today')", "index.handler", "RangeError", "not today"),
        (UNHEARD + HANDLER, "index.handler", "Runtime.UnhandledPromiseRejection", "Error: unheard"),
    ],
)
@pytest.mark.parametrize(
    ("runtime", "no_request", "what"),
    [
        (CLASSIC, "undefined", "Uncaught Exception"),
        (MODERN, "", "Init Error"),
    ],
)
def test_an_init_that_fails(
    deploy: Any,
    tmp_path: Path,
    runtime: str,
    no_request: str,
    what: str,
    files: Any,
    handler: str,
    error_type: str,
    message: str,
) -> None:
    function = deploy(written(tmp_path, files), handler, runtime)
    told = failure(function)
    assert told["errorType"] == error_type
    assert told["errorMessage"].startswith(message)
    assert message.partition("\n")[0] in told["trace"][0]
    words = "Unhandled Promise Rejection" if UNHEARD in files else what
    log = function.log(function.results[0])
    (logged,) = (line for line in log if f"Z\t{no_request}\tERROR\t{words} \t" in line)
    assert json.loads(logged.rpartition("\t")[2])["errorType"] == error_type
    assert f"Status: error\tError Type: {error_type}" in log[-1]


def test_a_syntax_error_names_its_file_and_line(deploy: Any, tmp_path: Path) -> None:
    function = deploy(written(tmp_path, "exports.handler = async () => {\n  const 1;\n}"), "index.handler", CLASSIC)
    assert "/var/task/index.js:2" in failure(function)["trace"]


def test_a_handler_with_a_callback_is_refused_from_node_24_on(deploy: Any, tmp_path: Path) -> None:
    code = written(tmp_path, "exports.handler = (event, context, callback) => callback(null, 1)")
    told = failure(deploy(code, "index.handler", MODERN))
    assert told["errorType"] == "Runtime.CallbackHandlerDeprecated"
    assert told["errorMessage"].startswith("ERROR: AWS Lambda has removed support for callback-based function handlers")
    assert answer(deploy(code, "index.handler", CLASSIC)) == 1


def test_es_modules_are_not_guessed_where_lambda_does_not(deploy: Any, tmp_path: Path) -> None:
    code = written(tmp_path, "export const handler = async () => 1")
    told = failure(deploy(code, "index.handler", "nodejs18.x"))
    assert told["errorType"] == "Runtime.UserCodeSyntaxError"
    assert told["errorMessage"] == "SyntaxError: Unexpected token 'export'"
