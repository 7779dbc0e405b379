"""What a client says to a real service, and what it hears."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
import zipfile

import msgpack
import psutil
import pytest
from doors import Gate
from serving import PATIENCE_S, Raw, Service

from engine import config
from engine._ext.connection import IN_FLIGHT_MAX

IDLE_CLIENTS = 2_000
IDLE_BYTES = 40_000  # of one idle connection, in the service; with what the kernel keeps for it none of this is copied


def test_ping(client: Raw) -> None:
    assert client.call("ping") == "pong"


def test_an_invocation_has_every_field_of_its_result(client: Raw) -> None:
    result = client.call("invoke", "echo", b'{"a":[1,2.5,"\xc3\xa9"]}', {"log_tail": True})
    assert json.loads(result["payload"]) == {"a": [1, 2.5, "é"]}
    assert (result["status_code"], result["function_error"], result["executed_version"]) == (200, None, "$LATEST")
    assert result["start"] in ("cold", "warm")
    assert result["billed_ms"] >= 1
    assert result["memory_mb"] == 1_769
    assert 0 < result["max_memory_mb"] < 1_769
    assert f"REPORT RequestId: {result['request_id']}" in result["log_tail"]
    assert set(result) == {
        *("payload", "status_code", "function_error", "executed_version", "request_id", "start", "duration_ms"),
        *("init_ms", "queued_ms", "billed_ms", "memory_mb", "max_memory_mb", "log_tail", "outcome"),
    }


def test_a_payload_is_bin_or_str_or_nothing(client: Raw) -> None:
    assert json.loads(client.call("invoke", "echo", '{"text": true}')["payload"]) == {"text": True}
    assert json.loads(client.call("invoke", "echo", None)["payload"]) == {}
    assert json.loads(client.call("invoke", "echo")["payload"]) == {}


def test_a_functions_own_failure_is_a_result(client: Raw) -> None:
    result = client.call("invoke", "fails", b'{"why": "because"}')
    assert result["function_error"] == "Unhandled"
    assert result["outcome"] == "error"
    assert json.loads(result["payload"])["errorMessage"] == "because"


def test_a_function_that_is_not_there_is_an_error_with_lambdas_name(client: Raw) -> None:
    with pytest.raises(LookupError, match="ResourceNotFoundException"):
        client.call("invoke", "nobody", b"{}")
    with pytest.raises(LookupError, match="ResourceNotFoundException"):
        client.call("invoke", "echo", b"{}", {"qualifier": "7"})


@pytest.mark.parametrize(
    "options", [{"qualifer": "1"}, {"log_tail": 1}, {"qualifier": 1}, {"invocation_type": "Later"}, [1], "x"]
)
def test_bad_options_are_refused_with_the_value(client: Raw, options: object) -> None:
    with pytest.raises(LookupError, match="InvalidParameterValueException"):
        client.call("invoke", "echo", b"{}", options)
    assert client.call("ping") == "pong"


def test_a_dry_run_runs_nothing(client: Raw) -> None:
    assert client.call("invoke", "echo", b"{}", {"invocation_type": "DryRun"})["status_code"] == 204


@pytest.mark.parametrize(
    ("method", "params", "why"),
    [
        ("no_such_method", [], "no method 'no_such_method'"),
        ("delete_function", [{"nam": "x"}], "it takes name, qualifier"),
        ("delete_function", ["x"], "one map of named arguments"),
        ("delete_function", [{}, {}], "one map of named arguments"),
        ("create_function", [{"name": "x", "code": "/etc/passwd", "handler": "a.b"}], "code is a zip as bin"),
        ("create_function", [{"name": "x", "code": {"upload_id": 9}, "handler": "a.b"}], "no upload 9"),
        ("create_function", [{"name": "x", "code": b"PK", "handler": "a.b"}], "zip"),
        ("create_function", [{"name": "x y", "code": b"PK", "handler": "a.b"}], "x y"),
        ("upload", ["1", b""], "upload takes"),
        ("ping", [1], "ping takes no parameters"),
        ("authenticate", [], "authenticate takes"),
    ],
)
def test_a_bad_call_is_told_what_is_wrong(client: Raw, method: str, params: list[object], why: str) -> None:
    with pytest.raises(LookupError) as told:
        client.call(method, *params)
    assert why in told.value.args[0]["message"]
    assert client.call("ping") == "pong"


def test_answers_come_as_they_are_ready(client: Raw, gate: Gate) -> None:
    client.say([0, 1, "invoke", ["waits", json.dumps(gate.address)]])
    client.say(*[[0, number, "invoke", ["echo", f"{number}"]] for number in range(2, 600)])
    heard = [client.hear() for _ in range(2, 600)]
    assert sorted(answer[1] for answer in heard) == list(range(2, 600))
    assert all(answer[3]["payload"] == b"%d" % answer[1] for answer in heard)
    gate.wait_entered()
    gate.open()
    assert client.hear()[1] == 1


def test_the_largest_event_and_answer_pass_and_one_byte_more_is_refused(client: Raw) -> None:
    event = json.dumps("x" * (config.EVENT_MAX_BYTES - 2))
    assert len(client.call("invoke", "echo", event)["payload"]) == config.EVENT_MAX_BYTES
    with pytest.raises(LookupError, match="RequestTooLargeException"):
        client.call("invoke", "echo", event[:-1] + 'x"')
    answer = client.call("invoke", "long", json.dumps({"length": config.ANSWER_MAX_BYTES - 2}))
    assert len(answer["payload"]) == config.ANSWER_MAX_BYTES
    assert client.call("ping") == "pong"


def test_code_longer_than_a_message_is_uploaded_in_parts(client: Raw) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", "def handler(event, context):\n    return len(open('ballast', 'rb').read())\n")
        archive.writestr("ballast", os.urandom(9 << 20))
    code, part = packed.getvalue(), 4 << 20
    number = None
    for at in range(0, len(code), part):
        told = client.call("upload", number, code[at : at + part])
        number = told["upload_id"]
    assert told["size"] == len(code)
    client.call("create_function", {"name": "heavy", "code": {"upload_id": number}, "handler": "app.handler"})
    assert client.call("invoke", "heavy")["payload"] == b"%d" % (9 << 20)
    client.call("delete_function", {"name": "heavy"})


def test_notifications_run_and_nobody_is_told(client: Raw, gate: Gate) -> None:
    client.say([2, "invoke", ["waits", json.dumps(gate.address)]])
    client.say([2, "invoke", ["nobody", b"{}"]], [2, "nonsense", []], [2, "invoke", []])
    assert client.call("ping") == "pong"
    gate.wait_entered()
    gate.open()
    assert client.call("ping") == "pong"


def test_a_client_that_breaks_the_protocol_is_alone_with_it(client: Raw, served: Service) -> None:
    for bad in (b"\xc1", b"GET / HTTP/1.1\r\n\r\n", b"\x94\x00\x05\xa4ping\xdd\xff\xff\xff\xff", os.urandom(100_000)):
        other = served.connect()
        try:
            other.socket.sendall(bad)
            while True:
                _, number, error, _ = other.hear()
                assert (number, error["type"]) == (5, "ProtocolError")
        except (EOFError, ConnectionResetError, BrokenPipeError):
            other.close()
        assert client.call("ping") == "pong"


def test_a_client_that_goes_away_in_the_middle_leaves_nothing_undone(client: Raw, served: Service) -> None:
    before = stats_of(client, "echo")["invocations"]
    other = served.connect()
    other.say(*[[0, number, "invoke", ["echo", b"1"]] for number in range(500)])
    other.socket.sendall(b"\x94\x00\x05\xa6inv")
    other.close()
    deadline = time.monotonic() + PATIENCE_S
    while stats_of(client, "echo")["invocations"] < before + 500 or stats_of(client, "echo")["concurrency"]:
        assert time.monotonic() < deadline


def test_a_client_that_says_its_last_word_gets_all_answers(served: Service) -> None:
    client = served.connect()
    client.say(*[[0, number, "invoke", ["echo", b"1"]] for number in range(2_000)])
    client.socket.shutdown(socket.SHUT_WR)
    assert sorted(client.hear()[1] for _ in range(2_000)) == list(range(2_000))
    with pytest.raises(EOFError):
        client.hear()
    client.close()


def test_who_does_not_read_holds_up_only_himself(client: Raw, served: Service) -> None:
    """Each answer has 100 kB; of 4,000 asked for the service takes no more than its bound before it stops reading."""
    slow = served.connect()
    slow.socket.setblocking(False)
    before = stats_of(client, "long")["invocations"]
    sent = 0
    ask = b"".join(msgpack.packb([0, number, "invoke", ["long", '{"length": 100000}']]) for number in range(4_000))
    quiet_since = time.monotonic()
    while sent < len(ask) and time.monotonic() - quiet_since < 2.0:
        try:
            sent += slow.socket.send(ask[sent : sent + 65_536])
            quiet_since = time.monotonic()
        except BlockingIOError:
            assert client.call("invoke", "echo", b"1")["payload"] == b"1"
    taken = stats_of(client, "long")["invocations"] - before
    assert taken <= IN_FLIGHT_MAX + 100  # its bound, and what was answered before the first was not read
    slow.socket.settimeout(PATIENCE_S)
    heard = set()
    while len(heard) < 4_000:
        if sent < len(ask):
            try:
                slow.socket.setblocking(False)
                sent += slow.socket.send(ask[sent : sent + 65_536])
            except BlockingIOError:
                pass
            finally:
                slow.socket.settimeout(PATIENCE_S)
        heard.add(slow.hear()[1])
    assert heard == set(range(4_000))
    slow.close()


def test_two_thousand_idle_clients_cost_nearly_nothing(client: Raw, served: Service) -> None:
    process = psutil.Process(served.pid)
    client.call("ping")
    before = process.memory_info().rss
    clients = [served.connect() for _ in range(IDLE_CLIENTS)]
    for one in clients:
        one.call("ping")
    grown = process.memory_info().rss - before
    assert client.call("invoke", "echo", b"1")["payload"] == b"1"
    assert process.num_fds() > IDLE_CLIENTS
    for one in clients:
        one.close()
    assert grown < IDLE_CLIENTS * IDLE_BYTES
    deadline = time.monotonic() + PATIENCE_S
    while process.num_fds() > IDLE_CLIENTS:
        assert time.monotonic() < deadline
        client.call("ping")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_another_user_is_not_served(served: Service) -> None:
    assert served.path.stat().st_mode & 0o777 == 0o600
    folder = served.path.parent
    mode = served.path.stat().st_mode
    code = (
        "import os, socket, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "os.chdir(int(sys.argv[1]))\n"
        "try: s.connect('service.sock')\n"
        "except PermissionError: sys.exit(13)\n"
        "try: s.sendall(b'\\x94\\x00\\x01\\xa4ping\\x90'); sys.exit(len(s.recv(10)))\n"
        "except ConnectionError: sys.exit(0)"
    )
    fd = os.open(folder, os.O_RDONLY)
    try:

        def tried() -> int:
            return subprocess.run([sys.executable, "-P", "-S", "-c", code, str(fd)], pass_fds=(fd,)).returncode

        was = folder.stat().st_mode
        os.chmod(folder, 0o755)
        assert tried() == 13
        os.chmod(served.path, 0o666)
        assert tried() == 0  # connected, and turned away by who he is
    finally:
        os.chmod(served.path, mode)
        os.chmod(folder, was)
        os.close(fd)


def stats_of(client: Raw, name: str) -> dict[str, int]:
    told: dict[str, int] = client.call("stats", {"name": name})["functions"][name]["versions"]["$LATEST"]
    return told
