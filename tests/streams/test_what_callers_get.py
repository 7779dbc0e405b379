"""Streams as callers see them, by every way to an engine."""

from __future__ import annotations

import gc
import time
from typing import Any

import pytest
from doors import PATIENCE_S, Gate
from ways import Way

from engine import config, errors
from engine._ext import flow
from engine._ext.port import STREAM_TOO_LARGE

HTTP_RESPONSE = "application/vnd.awslambda.http-integration-response"
RING = flow.RING_BYTES


def bulk(length: int, piece: int) -> bytes:
    return b"".join(at.to_bytes(8, "big").ljust(piece, b".")[: length - at] for at in range(0, length, piece))


def wait_logged(way: Way, name: str, count: int = 1) -> list[str]:
    """The function's log, once so many of its invocations are in it."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        lines = [event.message for event in way.logs(name)]
        if sum(line.startswith("REPORT") for line in lines) >= count:
            return lines
        assert time.monotonic() < deadline, lines


def test_the_first_chunk_is_there_before_the_handler_ends(way: Way, gate: Gate) -> None:
    stream = way.stream(way.deploy("waits"), gate.address)
    assert (stream.next(), stream.stream.result) == (b"first", None)
    gate.wait_entered()
    gate.open()
    assert stream.rest() == b"last"
    assert (stream.result.payload, stream.result.function_error, stream.result.outcome) == (b"", None, "ok")


def test_what_a_handler_yields_is_what_comes(way: Way) -> None:
    stream = way.stream(way.deploy("kinds"))
    assert stream.content_type == "application/octet-stream"
    assert stream.rest() == "Grüße, ".encode() + b"\x00\xff array view"
    assert stream.next() == b""
    assert stream.result.start in ("cold", "warm") and stream.result.billed_ms >= 1


def test_any_iterator_streams(way: Way) -> None:
    assert way.stream(way.deploy("file")).rest() == b"one\ntwo\n"


def test_a_handler_that_yields_nothing_gives_an_empty_stream(way: Way) -> None:
    stream = way.stream(way.deploy("nothing"))
    assert (stream.rest(), stream.content_type, stream.result.outcome) == (b"", "application/octet-stream", "ok")


def test_a_dict_that_comes_first_is_the_http_prelude(way: Way) -> None:
    name = way.deploy("prelude")
    stream = way.stream(name)
    assert stream.content_type == HTTP_RESPONSE
    whole = b'{"statusCode": 201, "headers": {"x-a": "\\u00e4"}, "cookies": ["c=1"]}' + bytes(8) + b"body"
    assert stream.rest() == whole
    assert way.invoke(name).payload == whole


def test_what_a_handler_returns_is_one_chunk_of_json(way: Way) -> None:
    stream = way.stream(way.deploy("plain"), {"a": [1]})
    assert (stream.content_type, list(stream)) == ("application/json", [b'{"a": [1]}'])
    assert (stream.result.payload, stream.result.outcome) == (b"", "ok")


def test_a_whole_answer_of_the_largest_size_comes_in_pieces(way: Way) -> None:
    event = b'"' + b"x" * (config.EVENT_MAX_BYTES - 2) + b'"'
    assert way.stream(way.deploy("plain"), event).rest() == event


@pytest.mark.parametrize("piece", [1_000, RING - 40, RING, 3 * RING + 1])
def test_every_byte_comes_once_and_in_order(way: Way, piece: int) -> None:
    length = 5 * RING + 12_345
    stream = way.stream(way.deploy("bulk"), {"length": length, "piece": piece})
    assert stream.rest() == bulk(length, piece)
    assert stream.result.outcome == "ok"


def test_a_caller_who_wants_it_whole_gets_the_bytes_joined(way: Way) -> None:
    assert way.invoke(way.deploy("kinds")).payload == "Grüße, ".encode() + b"\x00\xff array view"
    assert way.invoke(way.deploy("nothing")).payload == b""
    failed = way.invoke(way.deploy("fails"))
    assert (failed.function_error, failed.json()["errorMessage"]) == ("Unhandled", "in the middle")


def test_what_is_joined_is_held_to_the_size_of_an_answer(way: Way) -> None:
    name = way.deploy("bulk")
    most = config.ANSWER_MAX_BYTES
    assert len(way.invoke(name, {"length": most, "piece": 10_000}).payload) == most
    over = way.invoke(name, {"length": most + 1, "piece": 10_000})
    assert (over.function_error, over.json()["errorType"]) == ("Unhandled", "Function.ResponseSizeTooLarge")
    endless = way.deploy("closes")
    assert way.invoke(endless).json()["errorType"] == "Function.ResponseSizeTooLarge"
    log = wait_logged(way, endless)
    assert log.index("closed") < next(at for at, line in enumerate(log) if line.startswith("END"))


def test_an_error_in_the_middle_comes_after_what_was_given(way: Way) -> None:
    stream = way.stream(way.deploy("fails"))
    assert stream.rest() == b"before"
    told = stream.result.json()
    assert (stream.result.function_error, stream.result.outcome) == ("Unhandled", "error")
    assert (told["errorType"], told["errorMessage"]) == ("ValueError", "in the middle")
    assert told["requestId"] == stream.result.request_id
    assert len(told["stackTrace"]) == 1 and "in fails" in told["stackTrace"][0]


def test_an_error_before_anything_is_given_leaves_no_content_type(way: Way) -> None:
    stream = way.stream(way.deploy("fails_first"))
    assert (stream.rest(), stream.content_type) == (b"", None)
    assert stream.result.json()["errorMessage"] == "at once"


def test_a_chunk_is_bytes_or_text(way: Way) -> None:
    stream = way.stream(way.deploy("number"))
    assert stream.rest() == b"so far"
    assert stream.result.json()["errorType"] == "Runtime.MarshalError"
    assert stream.result.json()["errorMessage"].endswith("a chunk is bytes or str, not int")


def test_a_time_out_in_the_middle_ends_the_stream(way: Way) -> None:
    stream = way.stream(way.deploy("hangs", timeout_s=1))
    assert stream.rest() == b"first"
    assert (stream.result.outcome, stream.result.duration_ms) == ("timeout", 1_000.0)
    assert stream.result.json()["errorType"] == "Sandbox.Timedout"


def test_a_process_that_ends_in_the_middle_ends_the_stream(way: Way) -> None:
    stream = way.stream(way.deploy("exits"))
    assert stream.rest() == b"first"
    assert (stream.result.outcome, stream.result.json()["errorType"]) == ("exit", "Runtime.ExitError")


def test_memory_that_runs_out_in_the_middle_ends_the_stream(way: Way) -> None:
    stream = way.stream(way.deploy("grows", memory_mb=128))
    assert stream.rest() == b"first"
    assert stream.result.outcome == "oom"


def test_time_runs_on_while_nobody_reads(way: Way) -> None:
    """Two windows and more stay unread: the function waits for its reader until its time is over."""
    length = 8 << 20
    stream = way.stream(way.deploy("bulk", timeout_s=1), {"length": length, "piece": 10_000})
    began = stream.next()
    wait_logged(way, way.deployed[-1])
    got = began + stream.rest()
    assert got == bulk(length, 10_000)[: len(got)] and len(got) < length
    assert stream.result.outcome == "timeout"


def test_a_stream_has_its_bound_and_what_is_within_it_was_given(way: Way) -> None:
    name = way.deploy("bulk")
    assert config.STREAM_MAX_BYTES == flow.STREAM_MAX_BYTES and b"209715200" in STREAM_TOO_LARGE
    stream = way.stream(name, {"length": config.STREAM_MAX_BYTES, "piece": 1 << 20})
    assert (sum(map(len, stream)), stream.result.outcome) == (config.STREAM_MAX_BYTES, "ok")
    over = way.stream(name, {"length": config.STREAM_MAX_BYTES + 1, "piece": 1 << 20})
    assert sum(map(len, over)) == config.STREAM_MAX_BYTES
    assert (over.result.function_error, over.result.payload) == ("Unhandled", STREAM_TOO_LARGE)


@pytest.mark.parametrize("ending", ["closed", "dropped"])
def test_a_reader_that_goes_away_leaves_the_function_running_to_its_end(way: Way, gate: Gate, ending: str) -> None:
    name = way.deploy("bulk")
    length = 16 << 20
    stream = way.stream(name, {"length": length, "piece": 10_000, "gate": gate.address})
    assert stream.next().startswith(bytes(8))
    if ending == "closed":
        stream.close()
        assert stream.next() == b""
        stream.close()
    del stream
    gc.collect()
    way.invoke(way.deploy("plain"), 1)  # with which the blocking client tells of what was dropped
    gate.wait_entered()
    gate.open()
    assert any(line.startswith("REPORT") for line in wait_logged(way, name))
    assert way.stream(name, {"length": 20_001, "piece": 10_000}).rest() == bulk(20_001, 10_000)


@pytest.mark.parametrize("first", ["hangs", "fails", "exits"])
def test_nothing_of_a_stream_that_was_ended_reaches_the_next(way: Way, first: str) -> None:
    name = way.deploy(first, timeout_s=1)
    other = way.deploy("pieces")
    for number in range(3):
        unread = way.stream(name)
        assert way.stream(other, [f"stream {number}", "!"]).rest() == f"stream {number}!".encode()
        assert unread.rest() in (b"first", b"before")


def test_refusals_are_raised_before_there_is_a_stream(way: Way) -> None:
    with pytest.raises(errors.ResourceNotFoundException, match="nobody"):
        way.stream("nobody")
    name = way.deploy("plain")
    with pytest.raises(errors.RequestTooLargeException):
        way.stream(name, b'"' + b"x" * config.EVENT_MAX_BYTES + b'"')
    way.put_function_concurrency(name, 0)
    with pytest.raises(errors.TooManyRequestsException) as refused:
        way.stream(name)
    assert refused.value.reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
    way.delete_function_concurrency(name)
    with pytest.raises(errors.InvalidParameterValueException):
        way.stream(name, client_context="not base64!")


def test_options_reach_the_function_and_the_log_comes_back(way: Way) -> None:
    stream = way.stream(way.deploy("closes", timeout_s=60), log_tail=True, qualifier="$LATEST")
    assert sum(map(len, stream)) == config.STREAM_MAX_BYTES
    assert stream.result.log_tail is not None and "closed" in stream.result.log_tail


def test_streams_and_calls_go_on_beside_each_other(way: Way, gate: Gate) -> None:
    name, waits, plain = way.deploy("bulk"), way.deploy("waits"), way.deploy("plain")
    length = 3 << 20
    waiting = way.stream(waits, gate.address)
    streams = [way.stream(name, {"length": length, "piece": piece}) for piece in (1_000, 300_000)]
    got: list[bytes] = [b"", b""]
    turns: list[Any] = [0, 1] * 4
    for turn in turns:
        got[turn] += streams[turn].next()
        assert way.invoke(plain, turn).json() == turn
    got = [before + stream.rest() for before, stream in zip(got, streams, strict=True)]
    assert got == [bulk(length, 1_000), bulk(length, 300_000)]
    gate.wait_entered()
    gate.open()
    assert waiting.rest() == b"firstlast"
