"""How a Node.js handler gives its answer: by promise, callback, context, or when its event loop is empty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from javascript import ANY_VERSION, CLASSIC, MODERN, written
from verdicts import answer, failure

pytestmark = pytest.mark.filterwarnings(ANY_VERSION)


def handler(body: str, parameters: str = "event, context, callback") -> str:
    return f"exports.handler = ({parameters}) => {{ {body} }}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("callback(null, 7)", 7),
        ("callback()", None),
        ("callback(null, 1); callback(null, 2); context.succeed(3)", 1),
        ("context.succeed(7)", 7),
        ("context.done(null, 7)", 7),
        ("return 7", None),  # what a synchronous handler returns is not its answer
        ("return Promise.resolve(7)", 7),
        ("return {then: (resolve) => resolve(7)}", 7),
        ("return new Promise(() => {})", None),  # nothing is left that could keep it
        ("setTimeout(() => callback(null, 7), 5)", 7),
        ("callback(null, 7); return Promise.resolve(8)", 7),
    ],
)
def test_the_first_word_of_a_classic_handler_counts(deploy: Any, tmp_path: Path, body: str, expected: object) -> None:
    function = deploy(written(tmp_path, handler(body)), "index.handler", CLASSIC)
    assert [answer(function), answer(function)] == [expected, expected]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("callback(new TypeError('no'))", ("TypeError", "no")),
        ("callback('no')", ("string", "no")),
        ("callback({code: 7})", ("object", "[object Object]")),
        ("context.fail(new TypeError('no'))", ("TypeError", "no")),
        ("context.fail()", ("string", "handled")),
        ("context.done('no')", ("string", "no")),
        ("throw new TypeError('no')", ("TypeError", "no")),
        ("throw 'no'", ("string", "no")),
        ("return Promise.reject(7)", ("number", "7")),
        ("callback(null, 1n)", ("Error", "Unable to stringify response body")),
        ("callback({get message() { throw 1 }, name: 'a', stack: 'b'})", ("handled", "callback called with Error")),
    ],
)
def test_the_errors_of_a_classic_handler(deploy: Any, tmp_path: Path, body: str, error: tuple[str, str]) -> None:
    function = deploy(written(tmp_path, handler(body)), "index.handler", CLASSIC)
    for _ in range(2):
        told = failure(function)
        assert (told["errorType"], told["errorMessage"][: len(error[1])]) == error
    assert function.results[1].start == "warm"


@pytest.mark.parametrize(
    ("body", "expected"),
    [("return 7", 7), ("return Promise.resolve(7)", 7), ("return new Promise(() => {})", None), ("", None)],
)
def test_a_modern_handler_answers_by_what_it_returns(deploy: Any, tmp_path: Path, body: str, expected: object) -> None:
    function = deploy(written(tmp_path, handler(body, "event, context")), "index.handler", MODERN)
    assert [answer(function), answer(function)] == [expected, expected]


def test_a_modern_context_has_no_callbacks(deploy: Any, tmp_path: Path) -> None:
    code = written(tmp_path, handler("return Object.keys(context)", "event, context"))
    classic, modern = (set(answer(deploy(code, "index.handler", runtime)) or ()) for runtime in (CLASSIC, MODERN))
    assert classic == set()
    assert {"functionName", "awsRequestId", "getRemainingTimeInMillis", "tenantId"} <= modern
    assert not {"succeed", "fail", "done", "callbackWaitsForEmptyEventLoop"} & modern


LATE = """
let late = 0;
exports.handler = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = event.waits;
  const before = late;
  setTimeout(() => { late += 1; }, 50);
  callback(null, before);
};
"""


def test_a_callbacks_answer_waits_for_the_event_loop_unless_told_not_to(deploy: Any, tmp_path: Path) -> None:
    function = deploy(written(tmp_path, LATE), "index.handler", CLASSIC)
    assert [answer(function, {"waits": True}) for _ in range(3)] == [0, 1, 2]
    assert all(result.duration_ms >= 49 for result in function.results)
    hasty = deploy(written(tmp_path, LATE), "index.handler", CLASSIC)
    assert answer(hasty, {"waits": False}) == 0
    assert answer(hasty, {"waits": True}) == 0  # the first one's timer was not done, and is now


FROZEN = """
let ticks = 0;
setInterval(() => { ticks += 1; }, 1);
exports.handler = async (event) => {
  if (event.for_ms) await new Promise((resolve) => setTimeout(resolve, event.for_ms));
  return ticks;
};
"""


def test_an_interval_runs_within_invocations_and_stands_still_between_them(deploy: Any, tmp_path: Path) -> None:
    function = deploy(written(tmp_path, FROZEN), "index.handler", CLASSIC)
    first = answer(function, {"for_ms": 50})
    assert first > 0
    assert answer(function, {}) <= first + 2
