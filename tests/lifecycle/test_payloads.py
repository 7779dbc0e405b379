"""Events and answers at their limits, and what is not JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest
from doors import Function

from engine import errors

Deploy = Callable[..., Function]
EVENT_MAX = 6_291_456
ANSWER_MAX = 6_291_556


def test_the_largest_event_passes_both_ways_intact(deploy: Deploy) -> None:
    function = deploy("echoes", timeout_s=30)
    text = random.Random(1).randbytes((EVENT_MAX - 2) // 2).hex()
    event = json.dumps(text).encode()
    assert len(event) == EVENT_MAX
    for _ in range(2):
        assert function(event).payload == event
    assert function({"small": 1}).json() == {"small": 1}


@pytest.mark.parametrize("size", [0, 3_967, 3_968, 3_969, 65_536, 1_000_001])
def test_events_of_every_size_pass_both_ways_intact(deploy: Deploy, size: int) -> None:
    event = {"text": random.Random(size).randbytes(size).hex()[:size]}
    function = deploy("echoes", timeout_s=30)
    assert function(event).json() == event
    assert function(json.dumps(event).encode()).json() == event


def test_an_event_a_byte_too_large_is_refused(deploy: Deploy) -> None:
    function = deploy("echoes")
    with pytest.raises(errors.RequestTooLargeException, match=f"smaller than {EVENT_MAX} bytes .* has {EVENT_MAX + 1}"):
        function(b'"' + b"x" * (EVENT_MAX - 1) + b'"')
    assert function(1).json() == 1
    assert function.stats()["concurrency"] == 0


def test_the_largest_answer_passes_and_a_byte_more_is_an_error(deploy: Deploy) -> None:
    function = deploy("answers_bytes", timeout_s=30)
    assert len(function(ANSWER_MAX).payload) == ANSWER_MAX
    large = function(ANSWER_MAX + 1)
    assert large.payload == (
        b'{"errorType":"Function.ResponseSizeTooLarge",'
        b'"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes)."}'
    )
    assert (large.function_error, large.start) == ("Unhandled", "warm")
    assert function.log(large)[-1].endswith("\tStatus: error\tError Type: Function.ResponseSizeTooLarge")
    assert (function(10).json(), function.results[-1].start) == ("x" * 8, "warm")


def test_an_answer_that_json_cannot_say_is_a_marshal_error(deploy: Deploy) -> None:
    function = deploy("answers_a_set")
    result = function()
    assert result.json() == {
        "errorMessage": "Unable to marshal response: Object of type set is not JSON serializable",
        "errorType": "Runtime.MarshalError",
        "requestId": result.request_id,
        "stackTrace": [],
    }
    assert (function().start, result.function_error) == ("warm", "Unhandled")


@pytest.mark.parametrize("event", [b"", b"{", b"{'a': 1}", b'"\xff"', b"NaN", b"[1] 2"])
def test_an_event_that_is_not_json_is_an_unmarshal_error(deploy: Deploy, event: bytes) -> None:
    function = deploy("echoes")
    result = function(event)
    answer = result.json()
    assert (answer["errorType"], answer["requestId"]) == ("Runtime.UnmarshalError", result.request_id)
    assert answer["errorMessage"].startswith("Unable to unmarshal input: ")
    assert (function(1).json(), function.results[-1].start) == (1, "warm")


def test_deep_json_is_an_error_or_passes_but_never_ends_the_process(deploy: Deploy) -> None:
    echo, deep = deploy("echoes"), deploy("answers_deep")
    shallow = b"[" * 100 + b"]" * 100
    assert echo(shallow).payload == shallow
    assert echo(b"[" * 100_000 + b"]" * 100_000).json()["errorType"] == "Runtime.UnmarshalError"
    assert deep(100_000).json()["errorType"] == "Runtime.MarshalError"
    assert (echo(1).start, deep(1).start) == ("warm", "warm")


def test_numbers_text_and_decimals_are_written_as_lambda_writes_them(deploy: Deploy) -> None:
    echo = deploy("echoes")
    for text in ("", "ünïcödé ☃ 😀", '\x00\x1f"\\', "\ud800"):
        assert json.loads(echo(json.dumps(text).encode()).payload) == text
    assert echo({"é": "☃"}).payload == b'{"\\u00e9": "\\u2603"}'
    assert echo(12345678901234567890123).payload == b"12345678901234567890123"
    assert deploy("answers_nan")().payload == b"[NaN, Infinity]"
    assert deploy("answers_decimal")().payload == b'{"price": 1.10}'


def test_an_event_that_is_not_a_json_value_is_refused_at_once(deploy: Deploy) -> None:
    function = deploy("echoes")
    for event in ({1, 2}, object()):
        with pytest.raises(errors.InvalidParameterValueException, match="not a JSON value"):
            function(event)
    assert function(None).json() == {}
    assert function(b"null").json() is None
