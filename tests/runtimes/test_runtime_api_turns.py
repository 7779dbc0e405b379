"""In which order a runtime may ask and answer, and what it is told otherwise: AWS's codes and words."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from served_api import ARN, BASE, NEXT, Api, Client, served

from engine.worker.runtime_api.invocation import STREAM_MAX_BYTES

ANSWER_MAX = 6_291_556
NOT_ALLOWED = "State transition from {} to {} failed for runtime. Error: State transition is not allowed"


@pytest.fixture
def api() -> Iterator[Api]:
    with served() as made:
        yield made


@pytest.fixture
def client(api: Api) -> Client:
    return api.client()


def init_error(body: bytes = b"{}", heads: bytes = b"") -> bytes:
    return b"POST %binit/error HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (BASE, heads, len(body), body)


def refused(client: Client, request: bytes, was: str, to: str) -> None:
    answer = client.ask(request)
    assert answer.status == 403
    assert json.loads(answer.body) == {
        "errorType": "InvalidStateTransition",
        "errorMessage": NOT_ALLOWED.format(was, to),
    }


def test_an_invocation_comes_with_its_heads(api: Api, client: Client) -> None:
    api.give(b'{"a": 1}')
    answer = client.ask(NEXT)
    assert (answer.status, answer.body, api.is_ready) == (200, b'{"a": 1}', True)
    assert answer.heads == {
        "content-type": "application/json",
        "content-length": "8",
        "lambda-runtime-aws-request-id": api.request_id.decode(),
        "lambda-runtime-deadline-ms": "1000",
        "lambda-runtime-invoked-function-arn": ARN,
        "lambda-runtime-trace-id": "Root=1-0-0;Parent=0;Sampled=0",
    }


def test_what_a_caller_sends_cannot_begin_a_header_of_its_own(api: Api, client: Client) -> None:
    injected = "a\r\nLambda-Runtime-Deadline-Ms: 9\n\u2028\x00é\ud800"
    api.give(b"1", client_context=injected, identity=injected, tenant_id=injected, trace_id=injected)
    heads = client.ask(NEXT).heads
    assert heads["lambda-runtime-deadline-ms"] == "1000"
    for name in ("client-context", "cognito-identity", "aws-tenant-id", "trace-id"):
        said = heads[f"lambda-runtime-{name}"].encode("latin-1").decode()
        assert said == "a  Lambda-Runtime-Deadline-Ms: 9   é "


def test_the_longest_client_context_fits(api: Api, client: Client) -> None:
    api.give(b"1", client_context=json.dumps({"custom": "c" * 3_560}))
    assert len(client.ask(NEXT).heads["lambda-runtime-client-context"]) > 3_560


def test_another_id_is_no_invocation(api: Api, client: Client) -> None:
    answer = client.ask(b"POST %binvocation/none/response HTTP/1.1\r\nContent-Length: 0\r\n\r\n" % BASE)
    assert (answer.status, answer.error_type) == (400, "InvalidRequestID")
    api.give(b"1")
    client.ask(NEXT)
    for wrong in (b"", b"x", api.request_id + b"x", api.request_id[:-1], api.request_id.replace(b"-", b"+")):
        path = b"POST %binvocation/%b/response HTTP/1.1\r\nContent-Length: 1\r\n\r\n1" % (BASE, wrong)
        assert json.loads(client.ask(path).body) == {
            "errorType": "InvalidRequestID",
            "errorMessage": "Invalid request ID",
        }
    assert api.place.ended == []
    assert client.ask(api.post(b"response", b"2")).status == 202


@pytest.mark.parametrize("kind", [b"response", b"error"])
@pytest.mark.parametrize("again", [b"response", b"error"])
def test_an_invocation_is_answered_once(api: Api, client: Client, kind: bytes, again: bytes) -> None:
    api.give(b"1")
    client.ask(NEXT)
    assert client.ask(api.post(kind, b"{}")).body == b'{"status":"OK"}\n'
    to = "InvocationResponse" if again == b"response" else "InvocationErrorResponse"
    refused(client, api.post(again, b"{}"), "RuntimeResponseSentState", to)
    assert client.ask(api.chunked() + b"0\r\n\r\n").status == 403
    client.say(NEXT)
    assert len(api.place.ended) == 1


def test_init_ends_once_and_fails_once(api: Api, client: Client) -> None:
    assert client.ask(init_error(b'{"errorType": "No"}')).status == 202
    assert api.init_errors == [(b'{"errorType": "No"}', "No")]
    refused(client, init_error(), "InitError", "InitError")
    refused(client, NEXT, "InitError", "Ready")
    assert (len(api.init_errors), api.is_ready) == (1, False)


def test_init_cannot_fail_when_it_is_over(api: Api, client: Client) -> None:
    api.give(b"1")
    client.ask(NEXT)
    refused(client, init_error(), "Ready", "InitError")
    client.ask(api.post(b"response", b"1"))
    refused(client, init_error(), "RuntimeResponseSentState", "InitError")
    assert api.init_errors == []


def test_who_asks_again_while_it_has_an_invocation_is_given_the_same(api: Api, client: Client) -> None:
    api.give(b'"same"')
    api.give(b'"other"')
    first = client.ask(NEXT)
    assert client.ask(NEXT) == first
    assert client.ask(api.post(b"response", b"1")).status == 202
    assert client.ask(NEXT).body == b'"other"'


def test_an_invocation_outlives_the_connection_that_it_was_given_to(api: Api) -> None:
    lost = api.client()
    api.give(b'"kept"')
    lost.ask(NEXT)
    lost.close()
    client = api.client()
    assert client.ask(NEXT).body == b'"kept"'
    assert client.ask(api.post(b"response", b"1")).status == 202


def test_nothing_is_given_to_who_is_gone(api: Api) -> None:
    lost = api.client()
    lost.say(NEXT)
    lost.close()
    api.give(b"1")
    assert api.place.number == 0
    assert api.client().ask(NEXT).body == b"1"


@pytest.mark.parametrize("is_same", [True, False])
def test_of_two_who_wait_the_later_is_served(api: Api, client: Client, is_same: bool) -> None:
    client.say(NEXT)
    later = client if is_same else api.client()
    later.say(NEXT)
    (answer,) = client.answers()
    assert (answer.status, answer.error_type) == (403, "InvalidStateTransition")
    api.give(b"1")
    assert [answer.body for answer in later.answers()] == [b"1"]


@pytest.mark.parametrize(
    ("body", "error_type"),
    [
        (b'{"errorType": "Mine"}', "Mine"),
        (b'{"errorType": "two\\r\\nlines"}', "two lines"),
        (b'{"errorType": 5}', "Runtime.Unknown"),
        (b'["errorType"]', "Runtime.Unknown"),
        (b"\xff\xfe no JSON", "Runtime.Unknown"),
        (b"", "Runtime.Unknown"),
        (b"[" * 100_000, "Runtime.Unknown"),
        (b"9" * 10_000, "Runtime.Unknown"),
    ],
)
def test_whatever_an_error_says_is_handed_on(api: Api, client: Client, body: bytes, error_type: str) -> None:
    api.give(b"1")
    client.ask(NEXT)
    assert client.ask(api.post(b"error", body)).status == 202
    assert api.place.ended == []
    client.say(NEXT)  # until then a client may write of it to the log
    assert api.place.ended == [(body, error_type)]


def test_a_mode_that_is_none_ends_the_invocation(api: Api, client: Client) -> None:
    api.give(b"1")
    client.ask(NEXT)
    answer = client.ask(api.post(b"response", b"1", b"Lambda-Runtime-Function-Response-Mode: dripping\r\n"))
    assert (answer.status, answer.error_type) == (400, "InvalidFunctionResponseMode")
    ((body, error_type),) = api.place.ended
    assert error_type == json.loads(body)["errorType"] == "Runtime.InvalidResponseModeHeader"


def test_the_assignment_is_for_the_channel_alone(api: Api, client: Client) -> None:
    api.api.assignment = b"{}"
    assert client.ask(b"GET /engine/assignment HTTP/1.1\r\n\r\n").status == 404
    with served(is_channel=True) as other:
        other.api.assignment = b'{"handler": "a.b"}'
        assert other.client().ask(b"GET /engine/assignment HTTP/1.1\r\n\r\n").body == b'{"handler": "a.b"}'


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def streaming(api: Api, client: Client) -> Client:
    """A runtime that has begun a streamed answer, for a caller who reads it as it comes."""
    api.place.streams = True
    api.give(b"1")
    client.ask(NEXT)
    client.say(api.chunked(b"Content-Type: text/plain\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n"))
    assert api.place.content_type == b"text/plain"
    return client


def test_chunks_are_handed_on_as_they_come(api: Api, streaming: Client) -> None:
    streaming.say(b"3\r\nabc\r\n")
    assert api.place.poured == b"abc"
    streaming.say(b"2\r\nde\r\n0\r\n\r\n")
    assert api.place.poured == b"abcde"
    assert [answer.status for answer in streaming.answers()] == [202]
    assert api.place.ended == [(b"", None)]


def test_a_runtime_that_is_ahead_of_who_reads_is_read_no_further(api: Api, streaming: Client) -> None:
    api.place.room = 10
    streaming.say(b"5\r\nabcde\r\n" * 20)
    assert api.place.poured == b"abcde" * 2
    read = streaming.served
    streaming.socket.send(b"5\r\nfghij\r\n")
    assert not api.loop.run_once(wait=False)
    assert api.api.stream is not None
    api.place.room = 1_000
    api.api.stream.go_on()
    api.settle()
    assert api.place.poured == b"abcde" * 20 + b"fghij"
    assert read.is_open


def test_who_pipelines_waits_until_its_stream_is_handed_on(api: Api, streaming: Client) -> None:
    api.place.room = 1
    streaming.say(b"5\r\nabcde\r\n0\r\n\r\n" + NEXT)
    assert streaming.answers() == []
    api.give(b'"next"')
    assert api.place.number == 1
    assert api.api.stream is not None
    api.place.room = 100
    api.api.stream.go_on()
    assert api.place.poured == b"abcde"
    assert [answer.body for answer in streaming.answers()] == [b'{"status":"OK"}\n', b'"next"']


def test_nothing_else_answers_while_a_stream_does(api: Api, streaming: Client) -> None:
    other = api.client()
    refused(other, api.post(b"response", b"1"), "InvocationResponse", "InvocationResponse")
    refused(other, api.post(b"error", b"{}"), "InvocationResponse", "InvocationErrorResponse")
    refused(other, NEXT, "InvocationResponse", "Ready")
    assert other.ask(api.chunked() + b"1\r\nx\r\n0\r\n\r\n").status == 403
    streaming.say(b"0\r\n\r\n")
    assert api.place.ended == [(b"", None)]


def test_a_stream_that_breaks_off_is_told_once_its_process_is_known_to_live(api: Api, streaming: Client) -> None:
    streaming.say(b"3\r\nabc\r\n9\r\nde")
    streaming.close()
    assert api.place.ended == []
    (later,) = api.later
    later()
    ((body, error_type),) = api.place.ended
    assert error_type == json.loads(body)["errorType"] == "Runtime.TruncatedResponse"
    api.give(b'"next"')
    assert api.client().ask(NEXT).body == b'"next"'


def test_a_stream_of_garbage_is_broken_too(api: Api, streaming: Client) -> None:
    streaming.say(b"nonsense\r\n")
    assert [answer.status for answer in streaming.answers()] == [400]
    (later,) = api.later
    later()
    assert [error_type for _, error_type in api.place.ended] == ["Runtime.TruncatedResponse"]


def test_who_is_gone_with_its_stream_unread_is_noticed_once_and_read_to_its_end(api: Api, streaming: Client) -> None:
    api.place.room = 0
    streaming.say(b"5\r\nabcde\r\n")
    streaming.socket.send(b"0\r\n\r\n")
    streaming.close()
    assert api.api.stream is not None
    assert not api.loop.run_once(wait=False)
    api.place.room = 100
    api.api.stream.go_on()
    api.settle()
    assert (api.place.poured, api.place.ended, api.later) == (b"abcde", [(b"", None)], [])
    assert api.connections == []


def test_an_error_in_the_middle_comes_with_the_trailers(api: Api, streaming: Client) -> None:
    error = base64.b64encode(b'{"errorMessage": "no more"}')
    heads = b"Lambda-Runtime-Function-Error-Type: Mine\r\nLambda-Runtime-Function-Error-Body: %b\r\n" % error
    streaming.say(b"3\r\nabc\r\n0\r\n%b\r\n" % heads)
    assert api.place.ended == [(b'{"errorMessage": "no more"}', "Mine")]


def test_trailers_that_are_no_base64_are_taken_as_they_are(api: Api, streaming: Client) -> None:
    streaming.say(b"0\r\nLambda-Runtime-Function-Error-Body: !!\r\n\r\n")
    assert api.place.ended == [(b"!!", "Runtime.Unknown")]


def test_a_caller_who_wants_it_whole_gets_it_whole(api: Api, client: Client) -> None:
    api.give(b"1")
    client.ask(NEXT)
    client.say(api.chunked() + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n")
    assert [answer.status for answer in client.answers()] == [202]
    assert api.place.ended == [(b"x" * 50_000, None)]


def test_for_a_caller_who_wants_it_whole_no_more_is_kept_than_tells_that_it_is_too_large(
    api: Api, client: Client
) -> None:
    api.give(b"1")
    client.ask(NEXT)
    client.say(api.chunked())
    for _ in range(8):
        client.say(b"100000\r\n%b\r\n" % bytes(1 << 20))
    client.say(b"0\r\n\r\n")
    assert [answer.status for answer in client.answers()] == [413]
    ((body, error_type),) = api.place.ended
    assert (len(body), error_type) == (ANSWER_MAX + 1, None)


def test_a_stream_ends_where_lambdas_do(api: Api, streaming: Client) -> None:
    stream = api.api.stream
    assert stream is not None
    stream._total = STREAM_MAX_BYTES - 2
    streaming.say(b"5\r\nabcde\r\n0\r\n\r\n")
    assert api.place.poured == b"ab"
    assert [answer.status for answer in streaming.answers()] == [413]
    assert [error_type for _, error_type in api.place.ended] == ["Function.ResponseSizeTooLarge"]
