"""The shim's HTTP: whatever comes over a connection is answered or refused, in bounds, and never for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served_api import BASE, NEXT, Api, served

from engine._ext.hot_request import hot_request
from engine.worker.runtime_api.connection import HEAD_MAX_BYTES, PIPELINED_MAX, READ_BYTES

ANSWER_MAX = 6_291_556
ID = "00000000-0000-4000-8000-00000000abcd"


@pytest.fixture
def api() -> Iterator[Api]:
    with served() as made:
        yield made


@pytest.fixture
def channel() -> Iterator[Api]:
    with served(is_channel=True) as made:
        yield made


def test_an_offer_of_another_protocol_is_passed_over_with_the_body_that_came_along(api: Api) -> None:
    client = api.client()
    api.give(b"1")
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
    assert client.ask(NEXT.replace(b"\r\n\r\n", b"\r\n" + offer + b"\r\n")).body == b"1"
    assert client.ask(api.post(b"response", b'"h2c"', offer)).status == 202
    assert api.place.ended == [(b'"h2c"', None)]
    api.give(b"2")
    assert client.ask(NEXT).body == b"2"


def test_a_tunnel_is_refused_and_the_connection_lives(api: Api) -> None:
    client = api.client()
    assert client.ask(b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere\r\n\r\n").status == 404
    api.give(b"1")
    assert client.ask(NEXT).body == b"1"


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01\x00", b"nonsense\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
)
def test_what_is_no_http_is_told_so_and_cut_off(api: Api, garbage: bytes) -> None:
    client = api.client()
    answer = client.ask(garbage)
    assert (answer.status, answer.error_type, answer.heads["connection"]) == (400, "BadRequest", "close")
    assert client.is_closed
    client.close()
    assert api.connections == []


def test_garbage_behind_a_request_does_not_take_its_answer_away(api: Api) -> None:
    client = api.client()
    client.say(NEXT + b"\x00\x01garbage\r\n\r\n")
    assert client.answers() == []
    api.give(b"1")
    first, second = client.answers()
    assert (first.body, second.status) == (b"1", 400)
    assert client.is_closed


def test_a_head_may_be_long_but_not_endless(api: Api) -> None:
    client = api.client()
    api.give(b"1")
    client.ask(NEXT)
    cause = b"Lambda-Runtime-Function-XRay-Error-Cause: %b\r\n" % (b"x" * (1 << 20))
    assert client.ask(api.post(b"error", b"{}", cause)).status == 202
    client.say(b"GET / HTTP/1.1\r\nCookie: " + b"x" * (HEAD_MAX_BYTES + 3 * READ_BYTES))
    (answer,) = client.answers()
    assert (answer.status, client.is_closed) == (431, True)


@pytest.mark.parametrize("piece", [b"X-Trailer: abcdefgh\r\n", b"x" * 64])
def test_neither_trailers_nor_the_extension_of_a_chunk_are_endless(api: Api, piece: bytes) -> None:
    client = api.client()
    api.give(b"1")
    client.ask(NEXT)
    client.say(api.chunked() + (b"0\r\n" if piece.endswith(b"\n") else b"1;"))
    client.say(piece * ((HEAD_MAX_BYTES + 3 * READ_BYTES) // len(piece)))
    (answer,) = client.answers()
    assert (answer.status, client.is_closed) == (431, True)


def test_answers_that_nobody_reads_hold_up_whoever_asks_for_more(api: Api) -> None:
    client = api.client()
    request = b"GET /nothing HTTP/1.1\r\nHost: api\r\n\r\n"
    said = 0
    for _ in range(100_000):
        try:
            said += client.socket.send(request * 100)
        except BlockingIOError:
            break
        api.settle()
    assert 0 < len(client.served._unsent) < 10 * READ_BYTES  # the answers of one read
    client._hear()
    api.settle()
    client._hear()
    assert len(client.answers()) <= said // len(request)
    assert not client.served._unsent


def test_no_more_is_read_than_may_wait_for_answers_and_all_are_answered_in_the_end(api: Api) -> None:
    client = api.client()
    client.say(NEXT)
    for _ in range(PIPELINED_MAX * 2):
        client.say(b"GET /nothing HTTP/1.1\r\nHost: api\r\n\r\n")
    assert client.answers() == []
    assert len(client.served._waiting) == PIPELINED_MAX
    api.give(b"1")
    first, *others = client.answers()
    assert first.body == b"1"
    assert [answer.status for answer in others] == [404] * (PIPELINED_MAX * 2)


def test_who_is_gone_while_nothing_is_read_of_it_is_noticed_once(api: Api) -> None:
    client = api.client()
    for _ in range(PIPELINED_MAX + 1):
        client.say(NEXT if not client.served._waiting else b"GET /nothing HTTP/1.1\r\n\r\n")
    client.close()
    assert api.connections == []
    assert not api.api.waits


def test_a_body_of_single_bytes_takes_no_more_room_than_one_of_one_piece(api: Api) -> None:
    client = api.client()
    api.give(b"1")
    client.ask(NEXT)
    client.say(b"POST %binvocation/%b/error HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" % (BASE, api.request_id))
    client.say(b"1\r\nx\r\n" * 10_000)
    assert client.served._request is not None
    assert client.served._request.gathered == b"x" * 10_000
    client.say(b"0\r\n\r\n")
    assert [answer.status for answer in client.answers()] == [202]
    api.api.tell_failure()
    assert api.place.ended == [(b"x" * 10_000, "Runtime.Unknown")]


def test_of_a_body_that_is_too_large_no_more_is_kept_than_tells_so(api: Api) -> None:
    client = api.client()
    api.give(b"1")
    client.ask(NEXT)
    answer = client.ask(api.post(b"response", b"x" * (ANSWER_MAX + 3_000_000)))
    assert (answer.status, answer.error_type) == (413, "RequestEntityTooLarge")
    ((body, error_type),) = api.place.ended
    assert (len(body), error_type) == (ANSWER_MAX + 1, None)  # the place makes Lambda's error of it


def test_a_target_may_have_a_query_or_a_host(api: Api) -> None:
    client = api.client()
    api.give(b"1")
    assert client.ask(NEXT.replace(b"next", b"next?a=b")).body == b"1"
    assert client.ask(api.post(b"response", b"2").replace(b"POST ", b"POST http://127.0.0.1:9001")).status == 202


def test_a_request_for_the_head_alone_has_no_body_in_its_answer(api: Api) -> None:
    client = api.client()
    client.say(b"HEAD /nothing HTTP/1.1\r\n\r\n")
    assert client._heard.endswith(b"\r\n\r\n")
    assert client._heard.startswith(b"HTTP/1.1 404 ")


def test_on_the_channel_an_answer_is_accepted_together_with_the_next_event(channel: Api) -> None:
    client = channel.client()
    channel.give(b"1")
    client.ask(NEXT)
    client.say(channel.post(b"response", b"2") + NEXT)
    assert client.answers() == []
    assert channel.place.ended == [(b"2", None)]
    channel.give(b"3")
    assert [(answer.status, answer.body) for answer in client.answers()][1] == (200, b"3")


@pytest.mark.parametrize("cut", [1, 40, 80, 120, 140])
def test_requests_may_be_cut_anywhere(api: Api, cut: int) -> None:
    client = api.client()
    api.give(b"1")
    client.say(NEXT[:cut])
    assert client.ask(NEXT[cut:]).body == b"1"
    whole = api.post(b"response", b'"abc"')
    client.say(whole[:cut])
    assert client.ask(whole[cut:]).status == 202


def test_an_event_of_six_megabytes_goes_to_who_reads_slowly(api: Api) -> None:
    client = api.client()
    event = json.dumps("e" * 6_000_000).encode()
    client.say(NEXT)
    api.give(event)
    (answer,) = client.answers()
    assert answer.body == event


class Parsed:
    """The same request, by the parser that knows all of HTTP."""

    def __init__(self) -> None:
        self.method = self.path = self.body = b""
        self.is_whole = self.keeps = False
        self.parser = httptools.HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        self.path += url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.method, self.keeps, self.is_whole = self.parser.get_method(), self.parser.should_keep_alive(), True


HEADS = (
    *("Host", "content-length", "Content-Length", "CONNECTION", "Transfer-Encoding", "Expect", "Upgrade", "User-Agent"),
    *("Lambda-Runtime-Function-Response-Mode", "Accept", "x-y", "Proxy-Connection", "", "a b", "Content_Length"),
)
NAMES = st.sampled_from(HEADS)
VALUES = st.sampled_from(["keep-alive", "Keep-Alive", "close", "0", "5", "05", " 5\t", "+5", "5,5", "chunked", "", "é"])
LINES = st.lists(st.tuples(NAMES, VALUES, st.sampled_from([": ", ":", " : "])), max_size=5)
POST = f"POST /2018-06-01/runtime/invocation/{ID}"
GET = "GET /2018-06-01/runtime/invocation/next"
FIRST = st.sampled_from([f"{POST}/response HTTP/1.1", f"{GET} HTTP/1.1", f"{POST}/error HTTP/1.1", f"{GET} HTTP/1.0"])


@settings(max_examples=1_000, deadline=None)
@given(first=FIRST, lines=LINES, end=st.sampled_from(["\r\n", "\n"]), body=st.sampled_from([b"", b"12345", b"123456"]))
def test_what_is_read_in_one_go_is_what_a_whole_parser_reads(
    first: str, lines: list[tuple[str, str, str]], end: str, body: bytes
) -> None:
    head = end.join([first, *(name + colon + value for name, value, colon in lines), "", ""])
    data = head.encode() + body
    found = hot_request(b"??" + data, 2)
    if found is None:
        return
    method, path, start, stop = (found[0], found[1], found[2] - 2, found[3] - 2)
    parsed = Parsed()
    parsed.parser.feed_data(data[:stop])
    assert parsed.is_whole is (stop <= len(data))
    assert parsed.path == path
    assert parsed.body == data[start:stop]
    if parsed.is_whole:
        assert (parsed.method, parsed.keeps) == (method, True)
    names = {name.lower() for name, _, _ in lines}
    assert not names & {"transfer-encoding", "expect", "upgrade", "lambda-runtime-function-response-mode"}


def test_the_two_hot_requests_of_common_clients_are_read_in_one_go() -> None:
    heads = b"Host: 127.0.0.1:9001\r\nUser-Agent: AWS_Lambda_Cpp/0.2.6\r\nAccept: */*\r\n"
    asked = b"GET %binvocation/next HTTP/1.1\r\n%b\r\n" % (BASE, heads)
    assert hot_request(asked, 0) == (b"GET", BASE + b"invocation/next", len(asked), len(asked))
    head = b"POST %binvocation/%b/response HTTP/1.1\r\n%bConnection: keep-alive\r\nContent-Length: 2\r\n\r\n"
    posted = head % (BASE, ID.encode(), heads)
    path = b"%binvocation/%b/response" % (BASE, ID.encode())
    assert hot_request(posted, 0) == (b"POST", path, len(posted), len(posted) + 2)
    assert hot_request(posted[:-1], 0) is None
