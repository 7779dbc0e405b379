"""Clients that break HTTP, or its patience: each is refused in words and within bounds, and the next one is served."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateways import Gateway, gateway
from raw_http import Answer, RawHttp

SIX_MB = 6 * 1024 * 1024
INVOKE = "/2015-03-31/functions/echoes/invocations"
LIST = "/2015-03-31/functions/"
ECHO = """
def handler(event, context):
    return "x" * event["length"] if isinstance(event, dict) and "length" in event else event
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the service and its gateway write what goes wrong."""
    return tmp_path_factory.mktemp("hostile") / "stderr"


@pytest.fixture(scope="module")
def hostile(told: Path) -> Iterator[Gateway]:
    with told.open("w") as log, gateway(told.parent, stderr=log) as here:
        here.deploy("echoes", ECHO, MemorySize=512)
        yield here


@pytest.fixture
def wire(hostile: Gateway, told: Path) -> Iterator[RawHttp]:
    """A connection to a gateway that still serves when the test is over, and had nothing to complain of itself."""
    with RawHttp(hostile.port) as connection:
        yield connection
    with RawHttp(hostile.port) as other:
        assert other.ask("POST", INVOKE, body=b"1").body == b"1"
    assert told.read_text() == ""


def why(answer: Answer) -> str:
    told = json.loads(answer.body)
    return str(told.get("message") or told["Message"])


def refused(answer: Answer, status: int) -> str:
    """Its code: every refusal has one, and says why."""
    assert answer.status == status, answer
    assert len(why(answer)) > 15
    return answer.headers["x-amzn-errortype"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),  # who speaks TLS to it
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: local\x00host\r\n\r\n",
        b"POST %s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" % INVOKE.encode(),
        b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=range(15),
)
def test_what_is_no_http_is_refused_and_the_connection_ends(wire: RawHttp, garbage: bytes) -> None:
    wire.say(garbage)
    answer = wire.hear()
    assert refused(answer, 400) == "BadRequestException"
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "head",
    [
        b"".join(b"X-%d: y\r\n" % number for number in range(100_000)),
        b"X-Long: " + b"y" * 100_000 + b"\r\n",
        b"X-Endless: " + b"y" * 1_000_000,
    ],
    ids=["many headers", "a long header", "a header without end"],
)
def test_a_head_has_a_bound(wire: RawHttp, head: bytes) -> None:
    wire.say(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
    try:
        wire.say(head + b"\r\n")
    except ConnectionError:
        pass  # it did not even wait for the rest
    assert refused(wire.hear(), 431) == "RequestHeaderFieldsTooLargeException"


def test_a_head_that_comes_in_two_pieces_below_the_bound_has_the_same_bound(wire: RawHttp) -> None:
    for piece in (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"y" * 40_000, b"y" * 40_000 + b"\r\n\r\n"):
        wire.say(piece)
        time.sleep(0.05)  # so that they are read apart; where they are not, the bound is the same
    assert refused(wire.hear(), 431) == "RequestHeaderFieldsTooLargeException"


def test_a_long_target_has_the_same_bound_and_a_large_head_below_it_is_taken(wire: RawHttp) -> None:
    assert refused(wire.ask("GET", "/" + "a" * 70_000), 431) == "RequestHeaderFieldsTooLargeException"
    assert wire.ask("POST", INVOKE, {f"X-{number}": "y" * 600 for number in range(100)}, b"2").body == b"2"


def test_requests_sent_ahead_are_answered_in_their_order(wire: RawHttp) -> None:
    head = f"POST {INVOKE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"
    wire.say(b"".join(head.encode() + b"%2d" % number for number in range(10, 60)))
    assert [json.loads(wire.hear("POST").body) for _ in range(50)] == list(range(10, 60))


def test_garbage_behind_a_request_does_not_take_its_answer(wire: RawHttp) -> None:
    head = f"POST {INVOKE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n"
    wire.say(head.encode() + b"7" + head.encode() + b"8" + b"\x00\x01garbage\r\n\r\n")
    assert [wire.hear("POST").body for _ in range(2)] == [b"7", b"8"]
    assert wire.read() == b""


def test_more_requests_ahead_than_it_queues_end_the_connection_behind_their_answers(wire: RawHttp) -> None:
    wire.say(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1_000)
    heard = wire.read()
    assert 1 <= heard.count(b"HTTP/1.1 200 OK") < 1_000
    assert heard.endswith(b"}")


def test_a_body_in_chunks_and_one_that_asks_first_are_taken(wire: RawHttp) -> None:
    head = f"POST {INVOKE} HTTP/1.1\r\nHost: localhost\r\n"
    wire.say(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\n[1,\r\n2\r\n2]\r\n0\r\nTrailer: x\r\n\r\n")
    assert json.loads(wire.hear("POST").body) == [1, 2]
    wire.say(head.encode() + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert wire.read_line() == b"HTTP/1.1 100 Continue\r\n"
    assert wire.read_line() == b"\r\n"
    wire.say(b"[3]")
    assert wire.hear("POST").body == b"[3]"


def test_who_offers_another_protocol_is_served_in_this_one(wire: RawHttp, hostile: Gateway) -> None:
    """Java's HttpClient and `curl --http2` offer HTTP/2 with every first request."""
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAoAAAAAIAAAAA"}
    answer = wire.ask("POST", INVOKE, offer, b'{"length": 5}')
    assert (answer.status, answer.body) == (200, b'"xxxxx"')
    websocket = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "a" * 16}
    assert wire.ask("GET", LIST, websocket).status == 200
    assert hostile.curl("--http2", "-d", '"by curl"', INVOKE).stdout == '"by curl"'


def test_other_methods_and_forms_of_targets_are_served_or_refused_by_name(wire: RawHttp, hostile: Gateway) -> None:
    head = wire.ask("HEAD", LIST)
    assert (head.status, head.body, head.headers["x-amzn-errortype"]) == (405, b"", "UnknownOperationException")
    absolute = f"http://127.0.0.1:{hostile.port}{LIST}"
    assert "Functions" in json.loads(wire.ask("GET", absolute).body)
    assert refused(wire.ask("PATCH", LIST), 405) == "UnknownOperationException"
    assert refused(wire.ask("GET", "/2015-03-31/nothing"), 404) == "UnknownOperationException"
    assert refused(wire.ask("GET", "//"), 404) == "UnknownOperationException"
    assert wire.ask("OPTIONS", LIST).status == 405


def test_a_connection_serves_on_after_refusals(wire: RawHttp) -> None:
    first = wire.socket
    assert refused(wire.ask("POST", INVOKE, body=b"{no json"), 400) == "InvalidRequestContentException"
    for _ in range(20):
        assert wire.ask("GET", "/2015-03-31/functions/no-such").status == 404
    assert refused(wire.ask("POST", INVOKE, body=b'"' + b"x" * SIX_MB + b'"'), 413) == "RequestTooLargeException"
    assert wire.ask("POST", INVOKE, body=b"9").body == b"9"
    assert wire.socket is first


def test_six_megabytes_go_in_and_six_come_out(wire: RawHttp) -> None:
    event = b'"' + b"e" * (SIX_MB - 2) + b'"'
    answer = wire.ask("POST", INVOKE, body=event)
    assert (answer.status, answer.body == event) == (200, True)
    assert len(wire.ask("POST", INVOKE, body=b'{"length": %d}' % (SIX_MB - 2)).body) == SIX_MB


def test_one_byte_more_is_refused_in_lambdas_words(wire: RawHttp) -> None:
    answer = wire.ask("POST", INVOKE, body=b'"' + b"e" * (SIX_MB - 1) + b'"')
    assert refused(answer, 413) == "RequestTooLargeException"
    assert why(answer) == f"Request must be smaller than {SIX_MB} bytes for the InvokeFunction operation"
    over = wire.ask("POST", INVOKE, body=b'{"length": %d}' % (SIX_MB + 99))
    assert (over.status, over.headers["x-amz-function-error"]) == (200, "Unhandled")
    assert json.loads(over.body)["errorType"] == "Function.ResponseSizeTooLarge"


def test_seventy_megabytes_are_refused_while_they_come(wire: RawHttp) -> None:
    answer = wire.ask("POST", "/2015-03-31/functions", body=b" " * 71_000_000)
    assert refused(answer, 413) == "RequestTooLargeException"
    assert "70167211" in why(answer)
    assert refused(wire.ask("POST", INVOKE, body=b" " * 71_000_000), 413) == "RequestTooLargeException"


def test_a_client_that_leaves_amid_its_request_leaves_nothing(wire: RawHttp, hostile: Gateway) -> None:
    for partial in (
        b"PO",
        f"POST {INVOKE} HTTP/1.1\r\n".encode(),
        f"POST {INVOKE} HTTP/1.1\r\nContent-Length: 9\r\n\r\n1".encode(),
    ):
        with RawHttp(hostile.port) as leaving:
            leaving.say(partial)
    assert wire.ask("POST", INVOKE, body=b"3").body == b"3"
