"""Streamed answers of function URLs: as the function writes them, with their head, their end and their failures."""

from __future__ import annotations

import hashlib
import http.client
import json
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from callers import Url, make
from doors import Gate
from gateways import PATIENCE_S, Gateway

APP = """
import json, os, socket

def waits(address):
    with socket.create_connection(address) as gate:
        gate.recv(1)

def handler(event, context):
    kind = event["rawPath"].strip("/")
    given = json.loads(event.get("queryStringParameters", {}).get("given", "null"))
    yield from globals()[kind](event, given)

def steps(event, gate):
    yield b"first"
    waits(gate)
    yield b"last"

def headed(event, given):
    method = event["requestContext"]["http"]["method"]
    yield {"statusCode": 202, "headers": {"X-Made": method}, "cookies": ["a=1", "b=2"]}
    yield "body of " + event["rawPath"]

def bodiless(event, given):
    yield {"statusCode": 204}
    yield b"held back"

def raises_first(event, given):
    raise ValueError("before anything")
    yield b""

def raises_in_head(event, given):
    yield {"statusCode": "many"}
    yield b"body"

def raises_later(event, gate):
    yield b"first"
    waits(gate)
    raise ValueError("in the middle")

def ends_later(event, gate):
    yield b"first"
    waits(gate)
    os._exit(3)

def nothing(event, given):
    return
    yield b""

def long(event, size):
    piece = bytes(range(256)) * 1024
    for _ in range(size // len(piece)):
        yield piece
"""


@pytest.fixture(scope="module")
def url(served: Gateway) -> Url:
    return make(served, "streams", APP, InvokeMode="RESPONSE_STREAM")


def target(path: str, given: object = None) -> str:
    return path if given is None else f"{path}?given={quote(json.dumps(given))}"


class Reader:
    """One request whose answer is read in pieces."""

    def __init__(self, url: Url, path: str, method: str = "GET", **headers: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", url.port, timeout=PATIENCE_S)
        self.connection.request(method, path, headers={"Host": url.host, **headers})
        self.answer = self.connection.getresponse()

    def __enter__(self) -> http.client.HTTPResponse:
        return self.answer

    def __exit__(self, *_: object) -> None:
        self.answer.close()
        self.connection.close()


def test_the_first_bytes_arrive_before_the_handler_ends(url: Url, gate: Gate) -> None:
    with Reader(url, target("/steps", gate.address)) as answer:
        assert (answer.status, answer.getheader("content-type")) == (200, "application/octet-stream")
        assert answer.getheader("transfer-encoding") == "chunked"
        assert answer.read(5) == b"first"
        gate.wait_entered()
        gate.open()
        assert answer.read() == b"last"


def test_curl_shows_the_first_bytes_before_the_handler_ends(url: Url, gate: Gate) -> None:
    command = ["curl", "-sSN", "--max-time", str(PATIENCE_S), url.url + target("/steps", gate.address)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as curl:
        assert curl.stdout is not None
        assert curl.stdout.read(5) == b"first"
        gate.wait_entered()
        gate.open()
        assert curl.stdout.read() == b"last"
        assert curl.wait() == 0


def test_a_prelude_is_the_head_and_not_part_of_the_body(url: Url) -> None:
    for method, body in (("GET", b"body of /headed"), ("POST", b"body of /headed"), ("HEAD", b"")):
        answer, got = url.ask("/headed", method=method)
        assert (answer.status, got, answer.getheader("x-made")) == (202, body, method)
        assert answer.headers.get_all("set-cookie") == ["a=1", "b=2"]
        assert answer.getheader("content-type") == "application/octet-stream"
    answer, got = url.ask("/bodiless")
    assert (answer.status, got) == (204, b"")


def test_a_stream_of_nothing_is_an_empty_answer(url: Url) -> None:
    answer, body = url.ask("/nothing")
    assert (answer.status, body) == (200, b"")


def test_a_value_that_was_returned_arrives_as_its_json(served: Gateway) -> None:
    code = "def handler(event, context): return {'statusCode': 201, 'body': 'as it is'}"
    answer, body = make(served, "returns", code, InvokeMode="RESPONSE_STREAM").ask("/")
    assert (answer.status, answer.getheader("content-type")) == (200, "application/json")
    assert json.loads(body) == {"statusCode": 201, "body": "as it is"}


@pytest.mark.parametrize("path", ["/raises_first", "/raises_in_head"])
def test_a_failure_before_the_head_is_a_502(url: Url, path: str) -> None:
    answer, body = url.ask(path)
    assert (answer.status, body) == (502, b"Internal Server Error")


@pytest.mark.parametrize("path", ["/raises_later", "/ends_later"])
def test_a_failure_in_the_body_breaks_the_answer_off(url: Url, gate: Gate, path: str) -> None:
    with Reader(url, target(path, gate.address)) as answer:
        assert (answer.status, answer.read(5)) == (200, b"first")
        gate.wait_entered()
        gate.open()
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
    answer, body = url.ask("/headed")
    assert (answer.status, body) == (202, b"body of /headed")


def test_who_leaves_in_the_middle_disturbs_nobody(url: Url, gate: Gate) -> None:
    with Reader(url, target("/steps", gate.address)) as answer:
        assert answer.read(5) == b"first"
        gate.wait_entered()
    gate.open()
    assert url.ask("/headed")[0].status == 202


def test_cors_and_iam_hold_for_streams(served: Gateway) -> None:
    cors = {"AllowOrigins": ["*"]}
    url = make(served, "guarded-stream", APP, InvokeMode="RESPONSE_STREAM", AuthType="AWS_IAM", Cors=cors)
    answer, _ = url.ask("/headed", headers={"Origin": "https://a.example"})
    assert (answer.status, answer.getheader("access-control-allow-origin")) == (403, "https://a.example")
    signed = "AWS4-HMAC-SHA256 Credential=KEY/scope, SignedHeaders=host, Signature=00"
    answer, _ = url.ask("/headed", headers={"Origin": "https://a.example", "Authorization": signed})
    assert (answer.status, answer.getheader("access-control-allow-origin")) == (202, "https://a.example")


def test_a_url_may_change_its_mode(served: Gateway, url: Url, aws: Any) -> None:
    changing = make(served, "changing", "def handler(event, context): return {'statusCode': 201, 'body': 'b'}")
    assert changing.ask("/")[0].status == 201
    told = aws.update_function_url_config(FunctionName="changing", InvokeMode="RESPONSE_STREAM")
    assert told["InvokeMode"] == "RESPONSE_STREAM"
    assert changing.ask("/")[0].status == 200
    assert aws.get_function_url_config(FunctionName="changing")["InvokeMode"] == "RESPONSE_STREAM"
    aws.update_function_url_config(FunctionName="changing", InvokeMode="BUFFERED")
    assert changing.ask("/")[0].status == 201


def test_a_long_stream_and_a_slow_reader_cost_the_gateway_no_memory(url: Url) -> None:
    size, most = 67_108_864, 25_165_824
    url.ask(target("/long", size // 64))
    before = {process.pid: peak_bytes(process) for process in gateways()}
    digest, got = hashlib.sha256(), 0
    with Reader(url, target("/long", size)) as answer:
        for _ in range(50):  # meanwhile the function has all the time to run ahead
            assert url.ask("/headed")[0].status == 202
        for chunk in iter(lambda: answer.read(16_384), b""):
            got += len(chunk)
            digest.update(chunk)
    assert got == size
    assert digest.hexdigest() == hashlib.sha256(bytes(range(256)) * (size // 256)).hexdigest()
    assert before
    for process in gateways():
        assert peak_bytes(process) - before[process.pid] < most


def gateways() -> Iterator[psutil.Process]:
    """The gateways that this process' services have started."""
    for process in psutil.Process().children(recursive=True):
        if "engine.rest.process" in process.cmdline():
            yield process


def peak_bytes(process: psutil.Process) -> int:
    """The most memory that it has ever held."""
    with open(f"/proc/{process.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
