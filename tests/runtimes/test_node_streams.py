"""Streamed responses of Node.js functions: pieces, preludes, errors before and in the middle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from doors import Door
from javascript import ANY_VERSION, CLASSIC, MODERN, written
from verdicts import answer, failure

pytestmark = pytest.mark.filterwarnings(ANY_VERSION)
RUNTIMES = pytest.mark.parametrize("runtime", [CLASSIC, MODERN])


def streaming(body: str, asynchronous: str = "async ") -> str:
    return f"exports.handler = awslambda.streamifyResponse({asynchronous}(event, stream, context) => {{ {body} }})"


@RUNTIMES
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("stream.write('a'); stream.write(Buffer.from('b')); stream.end('c')", b"abc"),
        ("stream.write({a: 1}); stream.end()", b'{"a":1}'),
        ("stream.end()", b""),
        ("await require('util').promisify(require('stream').pipeline)(['x', 'y'], stream)", b"xy"),
        ("stream.cork(); stream.write('a'); stream.write('b'); stream.end(() => {})", b"ab"),
        ("for (let i = 0; i < 1000; i++) stream.write('0123456789'); stream.end()", b"0123456789" * 1_000),
        ("stream.end('x'.repeat(7_000_000))", b"x" * 7_000_000),
        ("setTimeout(() => stream.end('late'), 5)", b"late"),
    ],
)
def test_what_is_written_is_what_comes(
    deploy: Any, door: Door, tmp_path: Path, runtime: str, body: str, expected: bytes
) -> None:
    function = deploy(written(tmp_path, streaming(body)), "index.handler", runtime)
    for _ in range(2):
        given = door.invoke_stream(function.name, {})
        assert b"".join(given) == expected
        assert given.result.function_error is None
        assert given.content_type == "application/octet-stream"


def test_who_asks_for_no_stream_gets_it_whole(deploy: Any, tmp_path: Path) -> None:
    function = deploy(written(tmp_path, streaming("stream.write('[1,'); stream.end('2]')")), "index.handler", CLASSIC)
    assert answer(function) == [1, 2]


@RUNTIMES
@pytest.mark.parametrize("ending", ["stream.write('hello'); stream.end()", "stream.end('hello')"])
def test_status_and_headers_come_before_the_body(
    deploy: Any, door: Door, tmp_path: Path, runtime: str, ending: str
) -> None:
    prelude = {"statusCode": 201, "headers": {"x-from": "node"}, "cookies": ["a=1"]}
    body = f"stream = awslambda.HttpResponseStream.from(stream, {json.dumps(prelude)}); {ending}"
    function = deploy(written(tmp_path, streaming(body)), "index.handler", runtime)
    given = door.invoke_stream(function.name, {})
    told, _, rest = b"".join(given).partition(bytes(8))
    assert given.content_type == "application/vnd.awslambda.http-integration-response"
    assert (json.loads(told), rest) == (prelude, b"hello")


@RUNTIMES
def test_a_content_type_can_be_set_until_the_first_piece(deploy: Any, door: Door, tmp_path: Path, runtime: str) -> None:
    body = "stream.setContentType('text/plain'); stream.write('a'); stream.setContentType('text/html')"
    function = deploy(written(tmp_path, streaming(body)), "index.handler", runtime)
    given = door.invoke_stream(function.name, {})
    assert b"".join(given) == b"a"
    assert given.content_type == "text/plain"
    told = json.loads(given.result.payload)
    assert told["errorType"] == "Runtime.InvalidStreamingOperation"
    assert told["errorMessage"] == "Cannot set content-type, too late."


@RUNTIMES
@pytest.mark.parametrize(
    ("body", "before", "message"),
    [
        ("throw new RangeError('early')", b"", "early"),
        ("stream.write('a'); throw new RangeError('in the middle')", b"a", "in the middle"),
        ("stream.write('a')", b"a", "Response stream is not finished."),
        ("stream.write('a'); stream.destroy()", b"a", "Response stream is not finished."),
        ("stream.write('a'); setTimeout(() => stream.destroy(new RangeError('broken')), 1)", b"a", "broken"),
    ],
)
def test_an_error_follows_what_was_sent(
    deploy: Any, door: Door, tmp_path: Path, runtime: str, body: str, before: bytes, message: str
) -> None:
    function = deploy(written(tmp_path, streaming(body)), "index.handler", runtime)
    for _ in range(2):
        given = door.invoke_stream(function.name, {})
        assert b"".join(given) == before
        assert given.result.function_error == "Unhandled"
        assert json.loads(given.result.payload)["errorMessage"] == message
    assert any("\tERROR\tInvoke Error \t" in line for line in function.whole_log())


def test_an_error_that_nobody_catches_breaks_the_stream(deploy: Any, door: Door, tmp_path: Path) -> None:
    body = "stream.write('a'); setTimeout(() => { throw new RangeError('later') }, 1); await new Promise(() => {})"
    function = deploy(written(tmp_path, streaming(body)), "index.handler", CLASSIC)
    given = door.invoke_stream(function.name, {})
    assert b"".join(given) == b"a"
    assert json.loads(given.result.payload)["errorMessage"] == "later"


def test_a_streaming_handler_is_asynchronous(deploy: Any, tmp_path: Path) -> None:
    function = deploy(written(tmp_path, streaming("", asynchronous="")), "index.handler", CLASSIC)
    assert failure(function)["errorMessage"] == "Streaming does not support non-async handlers."


def test_what_a_streaming_handler_returns_is_ignored_aloud(deploy: Any, tmp_path: Path) -> None:
    function = deploy(written(tmp_path, streaming("stream.end('1'); return 2")), "index.handler", CLASSIC)
    assert answer(function) == 1
    assert any("\tWARN\tStreaming handlers ignore return values." in line for line in function.whole_log())


def test_what_follows_the_end_belongs_to_the_invocation_still(deploy: Any, door: Door, tmp_path: Path) -> None:
    body = "stream.end('1'); await new Promise((resolve) => setTimeout(resolve, 100)); console.log('afterwards')"
    function = deploy(written(tmp_path, streaming(body)), "index.handler", CLASSIC)
    result = function({})
    assert (result.payload, result.duration_ms >= 99) == (b"1", True)
    assert any(line.endswith("afterwards") for line in function.log(result))
