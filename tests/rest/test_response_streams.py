"""InvokeWithResponseStream through boto3, whose own reader of event streams checks every CRC."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import struct
from pathlib import Path
from typing import Any

import psutil
import pytest
from gateways import PATIENCE_S, Gateway

STREAMS = """
import os, socket, time
def handler(event, context):
    if event.get("waits_for"):
        yield b"first"
        with socket.create_connection(("127.0.0.1", event["waits_for"])) as told:
            told.recv(1)
        yield "second"
    elif event.get("fails"):
        yield "before"
        raise ValueError("in the middle")
    elif event.get("sleeps"):
        yield "before"
        time.sleep(60)
    else:
        piece = os.urandom(1 << 20)
        for _ in range(event["megabytes"]):
            yield piece

def plain(event, context):
    print("said plainly")
    return {"plain": event}
"""


@pytest.fixture(scope="module", autouse=True)
def functions(served: Gateway) -> None:
    served.deploy("streams", STREAMS, Timeout=60, MemorySize=512)
    served.deploy("times-out", STREAMS, Timeout=1)
    served.deploy("plain", STREAMS, handler="app.plain")


def told(aws: Any, function: str, event: object, **given: Any) -> tuple[Any, bytes, dict[str, str]]:
    """Response, payload, and how it ended."""
    answer = aws.invoke_with_response_stream(FunctionName=function, Payload=json.dumps(event).encode(), **given)
    payload, ended = b"", {}
    for each in answer["EventStream"]:
        payload += each.get("PayloadChunk", {}).get("Payload", b"")
        ended = each.get("InvokeComplete", ended)
    answer["EventStream"].close()
    return answer, payload, ended


def test_the_first_bytes_come_before_the_handler_ends(aws: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gate:
        gate.settimeout(PATIENCE_S)
        event = json.dumps({"waits_for": gate.getsockname()[1]}).encode()
        answer = aws.invoke_with_response_stream(FunctionName="streams", Payload=event)["EventStream"]
        stream = iter(answer)
        assert next(stream) == {"PayloadChunk": {"Payload": b"first"}}
        inside, _ = gate.accept()  # the handler waits here
        with inside:
            inside.send(b".")
        assert next(stream) == {"PayloadChunk": {"Payload": b"second"}}
        assert list(stream) == [{"InvokeComplete": {}}]
        answer.close()


def test_what_is_not_streamed_comes_in_one_piece_with_its_log(aws: Any) -> None:
    answer, payload, ended = told(aws, "plain", {"a": 1}, LogType="Tail")
    assert json.loads(payload) == {"plain": {"a": 1}}
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    log = base64.b64decode(ended["LogResult"]).decode()
    assert "said plainly" in log
    assert f"REPORT RequestId: {answer['ResponseMetadata']['RequestId']}" in log


@pytest.mark.parametrize(
    ("function", "event", "error"),
    [("streams", {"fails": 1}, "in the middle"), ("times-out", {"sleeps": 1}, "Task timed out after 1.00 seconds")],
)
def test_a_failure_in_the_middle_is_told_at_the_end(aws: Any, function: str, event: object, error: str) -> None:
    _, payload, ended = told(aws, function, event)
    assert payload == b"before"
    assert ended["ErrorCode"] == "Unhandled"
    assert error in json.loads(ended["ErrorDetails"])["errorMessage"]


def test_refusals_are_told_as_of_invoke(aws: Any) -> None:
    with pytest.raises(aws.exceptions.ResourceNotFoundException, match="Function not found"):
        told(aws, "nobody", {})
    with pytest.raises(aws.exceptions.InvalidRequestContentException):
        aws.invoke_with_response_stream(FunctionName="plain", Payload=b"{no")
    dry = aws.invoke_with_response_stream(FunctionName="plain", InvocationType="DryRun")
    dry["EventStream"].close()
    assert dry["StatusCode"] == 204


def test_200_mb_pass_through_in_constant_memory(served: Gateway, aws: Any) -> None:
    gateway = next(each for each in _of_service(served) if "engine.rest.process" in " ".join(each.cmdline()))
    told(aws, "streams", {"megabytes": 2})
    before = _peak_mb(gateway.pid)
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)
    path = "/2021-11-15/functions/streams/response-streaming-invocations"
    connection.request("POST", path, b'{"megabytes": 200}')
    answer, payload_bytes = connection.getresponse(), 0
    while prelude := answer.read(12):  # boto3 takes a minute to read so much
        whole, headers = struct.unpack("!II", prelude[:8])
        message = answer.read(whole - 12)
        payload_bytes += whole - headers - 16 if b"PayloadChunk" in message[:headers] else 0
    connection.close()
    assert b"InvokeComplete" in message
    assert payload_bytes == 200 << 20
    assert _peak_mb(gateway.pid) - before < 32


def _of_service(served: Gateway) -> list[psutil.Process]:
    return [each for each in psutil.process_iter() if served.socket.removeprefix("unix:") in " ".join(_words(each))]


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _peak_mb(pid: int) -> int:
    said = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(said.split()[1]) // 1024
