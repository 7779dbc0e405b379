"""Answers and events that should break whoever reads them."""

from __future__ import annotations

import json

import pytest
from standing import Hostile

from engine.config import ANSWER_MAX_BYTES
from engine.errors import InvalidRequestContentException, RequestTooLargeException

MARSHAL = "Runtime.MarshalError"


def test_an_answer_at_the_cap_passes_and_one_byte_more_is_too_large(hostile: Hostile) -> None:
    assert len(hostile.told("answers_bytes", length=ANSWER_MAX_BYTES)) == ANSWER_MAX_BYTES - 2
    over = hostile.attack("answers_bytes", length=ANSWER_MAX_BYTES + 1)
    assert (over.function_error, over.json()["errorType"]) == ("Unhandled", "Function.ResponseSizeTooLarge")
    assert hostile.report(over)["status"].startswith("Status: error")
    assert hostile.invoke().function_error is None


@pytest.mark.parametrize(
    ("attack", "error_type"),
    [("answers_a_set", MARSHAL), ("answers_itself", MARSHAL), ("answers_a_liar", None), ("raises_a_liar", "Liar")],
)
def test_an_answer_that_is_no_json_is_an_error_of_the_function(
    hostile: Hostile, attack: str, error_type: str | None
) -> None:
    result = hostile.attack(attack)
    assert result.function_error == "Unhandled"
    assert error_type is None or result.json()["errorType"] == error_type
    assert hostile.invoke().start == "warm"


def test_deep_answers_come_through_or_fail_as_an_error_of_the_function(hostile: Hostile) -> None:
    shallow = hostile.attack("answers_deep", levels=200)
    assert shallow.payload.count(b"[") == 201
    deep = hostile.attack("answers_deep", levels=100_000)
    assert deep.function_error == "Unhandled"
    assert hostile.invoke().function_error is None


def test_nan_is_told_as_lambda_tells_it(hostile: Hostile) -> None:
    assert hostile.attack("answers_nan").payload == b"[NaN, Infinity, -Infinity]"


def test_half_a_character_does_no_harm(hostile: Hostile) -> None:
    result = hostile.attack("answers_surrogates")
    assert result.function_error is not None or json.loads(result.payload) == "\ud800"


def test_an_error_without_bound_is_cut_or_too_large_but_answered(hostile: Hostile) -> None:
    result = hostile.attack("raises_without_end")
    assert (result.function_error, len(result.payload) <= ANSWER_MAX_BYTES) == ("Unhandled", True)
    assert hostile.invoke().function_error is None


@pytest.mark.parametrize("event", [b"", b"{", b"nul", b"\xff", b'{"a":1}}', b"[" * 100_000])
def test_an_event_that_is_no_json_is_refused_or_fails_in_its_own_function(hostile: Hostile, event: bytes) -> None:
    """The engine passes bytes on unread; it is the function's runtime that says what is wrong with them."""
    try:
        result = hostile.door.invoke(hostile.name, event)
    except InvalidRequestContentException:
        return
    hostile.results.append(result)
    assert (result.function_error, result.json()["errorType"]) == ("Unhandled", "Runtime.UnmarshalError")
    assert hostile.invoke().start == "warm"


def test_an_event_over_the_cap_is_refused(hostile: Hostile) -> None:
    with pytest.raises(RequestTooLargeException):
        hostile.door.invoke(hostile.name, "x" * 6_291_456)
