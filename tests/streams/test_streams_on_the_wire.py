"""Streams as a foreign client speaks of them: a socket and MessagePack."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doors import Gate
from serving import Raw, Service
from ways import CODE, NUMBERS

import engine.sync
from engine.rpc.streams import PIECE_BYTES, STREAMS_MAX
from engine.wire.streams import WINDOW_BYTES

MIB = 1 << 20


@pytest.fixture(scope="session")
def served(address: str) -> dict[str, str]:
    """Functions by their handlers."""
    names: dict[str, str] = {}
    with engine.sync.connect(address) as client:
        for handler in ("bulk", "plain", "waits", "fails", "fails_first", "hangs"):
            names[handler] = f"wire-{handler}-{next(NUMBERS)}".replace("_", "-")
            client.create_function(
                names[handler], code=CODE, handler=f"givers.{handler}", memory_mb=1_769, timeout_s=60
            )
    return names


@pytest.fixture
def raw(address: str) -> Iterator[Raw]:
    with Raw(address.removeprefix("unix:")) as client:
        yield client


def begin(raw: Raw, number: int, function: str, event: object = None, **options: Any) -> None:
    raw.say([0, number, "invoke_stream", [function, json.dumps(event).encode(), *([options] if options else [])]])


def bulk(raw: Raw, number: int, served: dict[str, str], length: int) -> None:
    begin(raw, number, served["bulk"], {"length": length, "piece": 10_000})


def begun(message: list[Any], number: int) -> str:
    """What the bytes of a stream are, as its first notification says, with the invocation that gives them."""
    assert message[:2] == [2, "stream"] and message[2][0] == number, message
    about = message[2][1]
    assert (about["executed_version"], len(about["request_id"])) == ("$LATEST", 36)
    return str(about["content_type"])


def until_quiet(raw: Raw, number: int) -> int:
    """Take what was granted of a stream from the start: how many bytes that is."""
    got = 0
    while True:
        message = raw.hear()
        if message[:2] == [2, "chunk"] and message[2][0] == number:
            assert len(message[2][1]) <= PIECE_BYTES
            got += len(message[2][1])
            if got == WINDOW_BYTES:
                return got
        else:
            assert begun(message, number) == "application/octet-stream"


def test_a_stream_says_its_type_then_its_chunks_then_its_end(raw: Raw, served: dict[str, str]) -> None:
    begin(raw, 7, served["fails"])
    assert begun(raw.hear(), 7) == "application/octet-stream"
    assert raw.hear() == [2, "chunk", [7, b"before"]]
    kind, number, error, result = raw.hear()
    assert (kind, number, error, result["function_error"]) == (1, 7, None, "Unhandled")
    assert json.loads(result["payload"])["errorType"] == "ValueError"


def test_a_function_that_fails_at_once_has_no_type(raw: Raw, served: dict[str, str]) -> None:
    begin(raw, 1, served["fails_first"])
    assert raw.hear()[:3] == [1, 1, None]


def test_a_stream_without_credit_waits_and_nothing_else_does(raw: Raw, served: dict[str, str]) -> None:
    length = 3 * MIB
    bulk(raw, 1, served, length)
    assert until_quiet(raw, 1) == WINDOW_BYTES
    for number in range(2, 5):  # a stream and calls beside it
        raw.say([0, number, "invoke", [served["plain"], json.dumps(number).encode()]])
        assert raw.hear()[3]["payload"] == str(number).encode()
    begin(raw, 9, served["plain"], "beside")
    assert begun(raw.hear(), 9) == "application/json"
    assert raw.hear() == [2, "chunk", [9, b'"beside"']]
    assert raw.hear()[:2] == [1, 9]
    raw.say([2, "more", [1, 10]], [2, "more", [77, 10]])
    assert raw.hear() == [2, "chunk", [1, raw_bytes(WINDOW_BYTES, 10)]]
    raw.say([2, "more", [1, length]])
    got = WINDOW_BYTES + 10
    while (message := raw.hear())[0] == 2:
        got += len(message[2][1])
    assert (got, message[3]["outcome"]) == (length, "ok")


def raw_bytes(at: int, length: int) -> bytes:
    """What `bulk` gives from there, in pieces of 10,000."""
    whole = b"".join(n.to_bytes(8, "big").ljust(10_000, b".") for n in range(at - at % 10_000, at + length, 10_000))
    return whole[at % 10_000 :][:length]


def test_who_has_said_the_last_word_has_granted_everything(raw: Raw, served: dict[str, str]) -> None:
    bulk(raw, 1, served, 5 * MIB)
    raw.socket.shutdown(socket.SHUT_WR)
    got = 0
    while (message := raw.hear())[0] == 2:
        got += len(message[2][1]) if message[1] == "chunk" else 0
    assert (got, message[3]["outcome"]) == (5 * MIB, "ok")
    with pytest.raises(EOFError):
        raw.hear()


def test_what_is_discarded_ends_with_its_function(raw: Raw, served: dict[str, str]) -> None:
    bulk(raw, 1, served, 20 * MIB)
    assert until_quiet(raw, 1) == WINDOW_BYTES
    raw.say([2, "discard", [1]])
    assert raw.hear()[:3] == [1, 1, None]


def test_a_client_that_goes_away_leaves_its_function_running(
    raw: Raw, address: str, served: dict[str, str], gate: Gate
) -> None:
    begin(raw, 1, served["bulk"], {"length": 20 * MIB, "piece": 10_000, "gate": gate.address})
    until_quiet(raw, 1)
    raw.close()
    gate.wait_entered()  # 20 MiB later
    gate.open()
    with Raw(address.removeprefix("unix:")) as other:
        assert other.call("invoke", served["plain"], b"1")["payload"] == b"1"


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ([], "takes [function, payload, options?]"),
        ([1], "takes [function, payload, options?]"),
        (["plain", 1], "takes [function, payload, options?]"),
        (["plain", None, {}, 1], "takes [function, payload, options?]"),
        (["plain", None, {"invocation_type": "Event"}], "an answer is streamed as it is given"),
        (["plain", None, {"other": 1}], "options are a map"),
        (["plain", None, [1]], "options are a map"),
        (["nobody"], "Function not found"),
    ],
)
def test_what_cannot_be_streamed_is_refused(raw: Raw, served: dict[str, str], params: list[Any], said: str) -> None:
    raw.say([0, 1, "invoke_stream", [served.get(each, each) if isinstance(each, str) else each for each in params]])
    kind, number, error, result = raw.hear()
    assert (kind, number, result) == (1, 1, None) and said in error["message"]


@pytest.mark.parametrize(
    "notice", [["more", [1]], ["more", [1, -1]], ["more", [1, 1.5]], ["discard", []], ["discard", ["x"]], ["more", 3]]
)
def test_nonsense_about_streams_is_refused_and_the_connection_goes_on(raw: Raw, notice: list[Any]) -> None:
    raw.say([2, *notice], [0, 5, *notice])
    assert raw.hear()[2]["type"] == "InvalidParameterValueException"
    raw.say([2, "invoke_stream", ["plain"]])
    assert raw.call("ping") == "pong"


def test_the_streams_of_a_connection_are_bounded(raw: Raw, address: str, served: dict[str, str], gate: Gate) -> None:
    with engine.sync.connect(address) as client:
        client.put_function_concurrency(served["waits"], STREAMS_MAX + 44)
    for number in range(STREAMS_MAX + 1):
        begin(raw, number, served["waits"], gate.address)
    seen: list[Any] = []
    while not seen or seen[-1][0] != 1:
        seen.append(raw.hear())
    assert seen[-1][:2] == [1, STREAMS_MAX] and seen[-1][2]["type"] == "TooManyRequestsException"
    raw.close()  # those that wait for an environment are never begun by the gate, but ended with the function
    with engine.sync.connect(address) as client:
        client.delete_function(served["waits"])


def test_a_service_that_ends_lets_its_streams_end_first(tmp_path: Path, gate: Gate) -> None:
    service = Service(tmp_path).start()
    try:
        with engine.sync.connect(service.path) as client:
            for handler in ("bulk", "plain"):
                client.create_function(handler, code=CODE, handler=f"givers.{handler}", memory_mb=1_769, timeout_s=60)
        with service.connect() as raw:
            begin(raw, 1, "bulk", {"length": 3 * MIB, "piece": 10_000, "gate": gate.address})
            assert until_quiet(raw, 1) == WINDOW_BYTES
            assert service.process is not None
            service.process.send_signal(signal.SIGTERM)
            while Path(service.path).exists():
                pass
            raw.say([0, 2, "invoke", ["plain", b"1"]], [2, "more", [1, 3 * MIB]])
            refused: list[Any] = []
            got = WINDOW_BYTES
            while got < 3 * MIB:
                message = raw.hear()
                if message[0] == 1:
                    refused.append(message)
                else:
                    got += len(message[2][1])
            gate.wait_entered()
            gate.open()
            while (message := raw.hear())[1] != 1:
                refused.append(message)
            assert message[3]["outcome"] == "ok"
            assert [(each[1], each[2]["type"]) for each in refused] == [(2, "EngineClosedError")]
        process, service.process = service.process, None
        assert process.wait(60) == 0
        assert process.stdout is not None
        process.stdout.close()
    finally:
        service.end_if_running()
