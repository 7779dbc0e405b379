"""Codecs of the load client: answers are counted right however the stream is cut, and nothing wrong passes as right."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.codecs import FULLY_EVERY, TABLE, Http, MessagePackRpc, Resp, WrongAnswerError

PAYLOAD = b'{"key":"value"}'
ECHO = json.loads(PAYLOAD)
HTTP_ANSWER = b'HTTP/1.1 200 OK\r\nserver: x\r\nContent-Length: 16\r\n\r\n{"key": "value"}'
# In the order in which the service writes the fields: the payload first, the log's tail last.
RESULT = {
    "payload": b'{"key": "value"}', "request_id": "8f507cfc-5c4e-4c1a-9d5c-6b6f2c9e4d11", "status_code": 200,
    "function_error": None, "executed_version": "$LATEST", "start": "warm", "outcome": "success",
    "duration_ms": 0.031, "queued_ms": 0.002, "init_ms": None, "billed_ms": 1, "memory_mb": 1769,
    "max_memory_mb": 31, "log_tail": None,
}  # fmt: skip
ERROR = {"type": "TooManyRequestsException", "message": "Rate Exceeded."}
OTHER = b'{"key": "valve"}'


def rpc_answer(number: int, error: object = None, **changes: object) -> bytes:
    result = None if error else {**RESULT, **changes}
    return bytes(msgpack.packb([1, MessagePackRpc.FIRST_ID + number, error, result]))


def rpc() -> Any:
    return MessagePackRpc("echo", PAYLOAD, ECHO).dialogue()


def resp() -> Any:
    return Resp(PAYLOAD).dialogue()


def http() -> Any:
    return Http(PAYLOAD, ECHO).dialogue()


STREAMS = {
    "Redis": (resp, [b"+OK\r\n"] * 3),
    "MessagePack-RPC": (rpc, [rpc_answer(2), rpc_answer(0, start="cold", init_ms=3.25), rpc_answer(1)]),
    "HTTP": (http, [HTTP_ANSWER] * 3),
}
KINDS = pytest.mark.parametrize("kind", STREAMS)


@KINDS
def test_every_cut_of_the_stream_in_two_gives_the_same_count(kind: str) -> None:
    make, answers = STREAMS[kind]
    stream, ends = b"".join(answers), [len(b"".join(answers[:n])) for n in range(1, 4)]
    for cut in range(1, len(stream)):
        dialogue = make()
        dialogue.requests(3)
        first = dialogue.completed(stream[:cut])
        assert first == sum(end <= cut for end in ends)
        assert first + dialogue.completed(stream[cut:]) == 3


@KINDS
def test_a_stream_that_comes_byte_by_byte_gives_the_same_count(kind: str) -> None:
    make, answers = STREAMS[kind]
    dialogue = make()
    dialogue.requests(3)
    stream = b"".join(answers)
    assert sum(dialogue.completed(stream[n : n + 1]) for n in range(len(stream))) == 3


@given(
    cuts=st.lists(st.integers(1, 2_000), max_size=12),
    order=st.permutations(range(5)),
    billed=st.lists(st.sampled_from([1, 200, 70_000]), min_size=5, max_size=5),
)
def test_answers_of_any_size_in_any_order_and_pieces_are_counted(
    cuts: list[int], order: list[int], billed: list[int]
) -> None:
    dialogue = rpc()
    dialogue.requests(6)
    assert dialogue.completed(rpc_answer(5)) == 1
    stream = b"".join(rpc_answer(number, billed_ms=ms) for number, ms in zip(order, billed, strict=True))
    edges = [0, *sorted({cut for cut in cuts if cut < len(stream)}), len(stream)]
    assert sum(dialogue.completed(stream[a:b]) for a, b in pairwise(edges)) == 5


@KINDS
def test_more_rounds_than_the_table_has_requests_go_on(kind: str) -> None:
    make, answers = STREAMS[kind]
    dialogue, batch = make(), 3 * [0]
    sent = 0
    while sent < TABLE + 3:
        asked = dialogue.requests(len(batch))
        assert asked
        numbers = [(sent + n) % TABLE for n in range(len(batch))]
        stream = b"".join(rpc_answer(n) for n in numbers) if kind == "MessagePack-RPC" else b"".join(answers)
        assert dialogue.completed(stream) == len(batch)
        sent += len(batch)


@KINDS
def test_an_answer_without_a_request_is_refused(kind: str) -> None:
    make, answers = STREAMS[kind]
    with pytest.raises(WrongAnswerError):
        make().completed(answers[0])


@KINDS
def test_more_calls_in_flight_than_there_are_ids_are_refused(kind: str) -> None:
    dialogue = STREAMS[kind][0]()
    dialogue.requests(TABLE)
    with pytest.raises(ValueError, match=f"at most {TABLE}"):
        dialogue.requests(1)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (rpc_answer(0, ERROR), "not a success"),
        (rpc_answer(1), "not the id of a call in flight"),
        (rpc_answer(TABLE), "not the id of a call in flight"),
        (rpc_answer(-1), "not the id of a call in flight"),
        (rpc_answer(0, function_error="Unhandled"), "not a success"),
        (rpc_answer(0, payload=b'{"key": "other"}'), "not the echo"),
        (rpc_answer(0, payload=None), "not the echo"),
        (rpc_answer(0, payload=b"{'key'}"), "not the echo"),
        (msgpack.packb([0, MessagePackRpc.FIRST_ID, None, RESULT]), "not a success"),
        (msgpack.packb([1, MessagePackRpc.FIRST_ID, None, None]), "not a success"),
        (msgpack.packb("pong"), "not a success"),
        (b"\xc1", "not MessagePack"),
    ],
)
def test_a_wrong_answer_of_the_engine_is_told(answer: bytes, why: str) -> None:
    dialogue = rpc()
    dialogue.requests(1)
    with pytest.raises(WrongAnswerError, match=why):
        dialogue.completed(answer)


WRONG = {
    "an error": (rpc_answer(2, ERROR), "not a success"),
    "a function's error": (rpc_answer(2, function_error="Unhandled"), "not a success"),
    "another payload": (rpc_answer(2, payload=OTHER), "not the echo"),
    "a longer payload": (rpc_answer(2, payload=b'{"key": "value"}}'), "not the echo"),
    "an error of no call": (msgpack.packb([1, 0, ERROR, None]), "not a success"),
}


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("wrong", WRONG)
def test_one_wrong_answer_among_right_ones_is_told_at_once_though_its_read_is_none_to_decode(
    wrong: str, place: int
) -> None:
    dialogue = rpc()
    dialogue.requests(4)
    assert dialogue.completed(rpc_answer(3)) == 1
    answer, why = WRONG[wrong]
    answers = [rpc_answer(0), rpc_answer(1)]
    answers.insert(place, answer)
    with pytest.raises(WrongAnswerError, match=why):
        dialogue.completed(b"".join(answers))


def test_an_answer_cut_where_the_lengths_of_others_make_up_for_it_is_waited_for() -> None:
    dialogue = rpc()
    dialogue.requests(6)
    assert dialogue.completed(rpc_answer(0)) == 1
    longer = b"".join(rpc_answer(number, billed_ms=200) for number in range(1, 5))
    last = rpc_answer(5)
    assert len(longer + last[:-4]) == 5 * len(last)
    assert dialogue.completed(longer + last[:-4]) == 4
    assert dialogue.completed(last[-4:]) == 1


@pytest.mark.parametrize("strange", [b"\xc1", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_bytes_that_are_no_answer_are_told_behind_right_answers(strange: bytes) -> None:
    dialogue = rpc()
    dialogue.requests(3)
    assert dialogue.completed(rpc_answer(0)) == 1
    with pytest.raises(WrongAnswerError, match="not"):
        dialogue.completed(rpc_answer(1) + strange)


def test_more_answers_than_calls_are_told_though_their_read_is_none_to_decode() -> None:
    dialogue = rpc()
    dialogue.requests(2)
    assert dialogue.completed(rpc_answer(0)) == 1
    with pytest.raises(WrongAnswerError, match="nobody asked for"):
        dialogue.completed(rpc_answer(1) * 2)


def test_an_id_out_of_the_table_is_told_in_the_next_read_that_is_decoded() -> None:
    dialogue = rpc()
    dialogue.requests(FULLY_EVERY)
    assert dialogue.completed(rpc_answer(0)) == 1
    for _ in range(FULLY_EVERY - 2):
        assert dialogue.completed(rpc_answer(TABLE)) == 1
    with pytest.raises(WrongAnswerError, match="not the id of a call in flight"):
        dialogue.completed(rpc_answer(TABLE))


def test_a_server_may_write_lengths_as_it_likes() -> None:
    dialogue = rpc()
    dialogue.requests(3)
    short, long = b"\xc4\x10{", b"\xc6\x00\x00\x00\x10{"
    assert sum(dialogue.completed(rpc_answer(number).replace(short, long)) for number in range(2)) == 2
    longer = rpc_answer(2, payload=b'{"key": "value"}}').replace(b"\xc4\x11{", b"\xc6\x00\x00\x00\x11{")
    with pytest.raises(WrongAnswerError, match="not the echo"):
        dialogue.completed(longer)


def test_a_call_that_thousands_pass_may_be_answered_together_with_the_later_one_of_its_id() -> None:
    dialogue = rpc()
    dialogue.requests(1)
    for number in range(1, TABLE):
        dialogue.requests(1)
        assert dialogue.completed(rpc_answer(number)) == 1
    dialogue.requests(1)
    assert dialogue.completed(rpc_answer(0, start="cold", init_ms=3.25) + rpc_answer(0)) == 2


def test_an_answer_given_twice_is_told() -> None:
    dialogue = rpc()
    dialogue.requests(2)
    with pytest.raises(WrongAnswerError, match="not the id of a call in flight"):
        dialogue.completed(rpc_answer(0) * 2)


@pytest.mark.parametrize("answer", [b"-ERR unknown command\r\n", b"+KO\r\n", b":1\r\n"])
def test_a_wrong_answer_of_redis_is_told(answer: bytes) -> None:
    dialogue = resp()
    dialogue.requests(1)
    with pytest.raises(WrongAnswerError, match=r"not \+OK"):
        dialogue.completed(answer)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (HTTP_ANSWER.replace(b"200 OK", b"500 Internal Server Error"), "not 200"),
        (HTTP_ANSWER.replace(b"Content-Length: 16", b"Transfer-Encoding: chunked"), "not 200 with a content length"),
        (HTTP_ANSWER.replace(b"value", b"valve"), "not the echo"),
        (HTTP_ANSWER.replace(b'{"key"', b"{'key'"), "not the echo"),
    ],
)
def test_a_wrong_answer_over_http_is_told(answer: bytes, why: str) -> None:
    dialogue = http()
    dialogue.requests(1)
    with pytest.raises(WrongAnswerError, match=why):
        dialogue.completed(answer)


def test_requests_are_what_the_protocols_say() -> None:
    assert resp().requests(1) == b'*3\r\n$3\r\nSET\r\n$8\r\nkey:0000\r\n$15\r\n{"key":"value"}\r\n'
    unpacker = msgpack.Unpacker()
    unpacker.feed(rpc().requests(2))
    first = MessagePackRpc.FIRST_ID
    assert list(unpacker) == [[0, first + n, "invoke", ["echo", PAYLOAD]] for n in range(2)]
    assert http().requests(1).endswith(b"Content-Length: 15\r\n\r\n" + PAYLOAD)
