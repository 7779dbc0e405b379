"""Connections that are lost, slow or wrong: what callers are told, and that the client goes on."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from doors import Gate
from faces import FACES, BlockingFace, Face
from servers import Passage, service

import engine.sync
from engine import errors
from engine.settings import default_socket


@pytest.fixture(params=FACES)
def kind(request: pytest.FixtureRequest) -> Any:
    return FACES[request.param]


def held(face: Face, gate: Gate) -> Any:
    """An invocation under way whose function waits at the gate."""
    call = face.start("invoke", "echo", {"wait_at": gate.address})
    gate.wait_entered()
    return call


def test_nobody_there_is_told_with_the_address_and_the_way_out(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(errors.ConnectionLostError) as told:
        kind(f"unix:{tmp_path}/none.sock")
    assert f"unix:{tmp_path}/none.sock: No such file or directory" in str(told.value)
    assert "`engine serve`" in str(told.value)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(errors.ConnectionLostError, match=f"tcp:127.0.0.1:{port}: .*refused|failed"):
        kind(f"tcp:127.0.0.1:{port}")


@pytest.mark.parametrize(
    "address", ["", "unix:", "tcp:host", "tcp::1", "tcp:host:0", "tcp:host:65536", "name", "unix:/" + "x" * 108]
)
def test_what_is_no_address_is_refused_by_value(address: str) -> None:
    with pytest.raises(errors.InvalidParameterValueException):
        engine.sync.connect(address)
    with pytest.raises(errors.InvalidParameterValueException):
        engine.connect(address)


def test_without_an_address_it_is_that_of_the_environment(
    kind: Any, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE_SOCKET", address.removeprefix("unix:"))
    with kind(None) as face:
        assert face.ping() == "pong"
    monkeypatch.delenv("ENGINE_SOCKET")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert default_socket() == "/run/user/7/engine.sock"


def test_a_lost_connection_ends_the_calls_under_way_and_the_next_call_connects_again(
    kind: Any, passage: Passage, gate: Gate
) -> None:
    with kind(passage.address) as face:
        waiting = [held(face, gate) for _ in range(3)]
        passage.cut()
        for call in waiting:
            with pytest.raises(errors.ConnectionLostError, match="was lost"):
                call.result(60)
        assert face.ping() == "pong"
        assert face.statistics().connections == 2


def test_without_reconnecting_a_lost_connection_stays_lost(kind: Any, passage: Passage, gate: Gate) -> None:
    with kind(passage.address, reconnect=False) as face:
        call = held(face, gate)
        passage.cut()
        with pytest.raises(errors.ConnectionLostError):
            call.result(60)
        with pytest.raises(errors.ConnectionLostError, match="reconnect=False"):
            face.ping()


def test_a_server_that_went_is_tried_a_few_times_and_one_that_came_back_is_found(kind: Any, tmp_path: Path) -> None:
    with service(tmp_path) as (address,):
        face = kind(address)
    with face:
        with pytest.raises(errors.ConnectionLostError, match=r"after 5 attempts: No such file"):
            while True:  # the first may only learn that the connection is gone
                try:
                    face.ping()
                except errors.ConnectionLostError as error:
                    if "was lost" not in str(error):
                        raise
        with service(tmp_path):
            assert face.ping() == "pong"


def test_a_wait_that_ends_drops_only_the_wait(kind: Any, address: str, gate: Gate) -> None:
    with kind(address) as face:
        with pytest.raises(errors.WaitTimeoutError, match=r"invoke had no answer within 0.01 s"):
            face.invoke("echo", {"wait_at": gate.address}, timeout_s=0.01)
        gate.wait_entered()
        assert face.invoke("echo", 2, timeout_s=60).json() == 2
        gate.open()
        while face.statistics().passed_over == 0:
            face.ping()
        told = face.statistics()
        assert (told.passed_over, told.outstanding, told.connections) == (1, 0, 1)


def test_a_clients_own_time_limit_is_for_every_call(kind: Any, address: str, gate: Gate) -> None:
    with kind(address, timeout_s=0.05) as face, pytest.raises(errors.WaitTimeoutError):
        face.invoke("echo", {"wait_at": gate.address})
    gate.wait_entered()


def test_answers_come_in_any_order(client: Face, gate: Gate) -> None:
    slow = held(client, gate)
    assert client.ping() == "pong"
    assert not slow.done()
    gate.open()
    assert slow.result(60).json() == {"wait_at": gate.address}


@pytest.mark.parametrize("babble", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xc1", b"\x93\x01\x02\x03"])
def test_bytes_that_are_no_messagepack_rpc_end_the_connection_by_name(
    kind: Any, passage: Passage, gate: Gate, babble: bytes
) -> None:
    with kind(passage.address) as face:
        slow = held(face, gate)
        passage.say(babble)
        with pytest.raises(errors.ConnectionLostError, match=r"MessagePack"):
            slow.result(60)
        assert face.ping() == "pong"


def test_an_argument_the_server_does_not_know_is_refused_by_name(client: Face) -> None:
    with pytest.raises(errors.InvalidParameterValueException, match="colour"):
        client.start("_ask", "stats", lambda told: told, colour="red").result(60)


def test_closing_ends_the_calls_under_way_and_later_ones_are_refused(kind: Any, address: str, gate: Gate) -> None:
    with kind(address) as face:
        slow = held(face, gate)
        face.close()
        with pytest.raises(errors.EngineClosedError):
            slow.result(60)
        with pytest.raises(errors.EngineClosedError):
            face.ping()
        face.close()


def test_a_forked_process_is_refused_and_its_parent_goes_on(address: str) -> None:
    with engine.sync.connect(address) as client:
        pid = os.fork()
        if not pid:
            try:
                client.ping()
            except errors.ForeignProcessError:
                client.close()
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert client.invoke("echo", 1).json() == 1


def test_many_threads_that_come_and_go_lose_no_answer(address: str) -> None:
    wrong: list[object] = []

    def work(k: int) -> None:
        for n in range(50):
            if client.invoke("echo", {"k": k, "n": n}).json() != {"k": k, "n": n}:
                wrong.append((k, n))

    with engine.sync.connect(address) as client:
        threads = [threading.Thread(target=work, args=(k,)) for k in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert (wrong, client.statistics().answers, client.statistics().outstanding) == ([], 1_200, 0)


def test_large_events_and_answers_both_ways_at_once_do_not_lock_up(kind: Any, address: str) -> None:
    with kind(address) as face:
        events = [b'"' + bytes([97 + n]) * 3_000_000 + b'"' for n in range(12)]
        calls = [face.start("invoke", "echo", event) for event in events]
        assert [call.result(120).payload for call in calls] == events


INTERRUPTED = """
import signal, sys, threading, engine.sync
client = engine.sync.connect(sys.argv[1])
wrong, done, stop = [], 0, threading.Event()
def beside():
    n = 0
    while not stop.is_set():
        n += 1
        if client.invoke("echo", n).json() != n:
            wrong.append(n)
threads = [threading.Thread(target=beside) for _ in range(2)]
[thread.start() for thread in threads]
signal.signal(signal.SIGALRM, signal.default_int_handler)
hits = 0
while hits < 150:
    signal.setitimer(signal.ITIMER_REAL, 0.0005 + hits % 7 * 0.0001)
    try:
        while True:
            done += 1
            if client.invoke("echo", [done]).json() != [done]:
                wrong.append(done)
    except KeyboardInterrupt:
        hits += 1
signal.setitimer(signal.ITIMER_REAL, 0)
assert client.invoke("echo", "last").json() == "last"
stop.set()
[thread.join(60) for thread in threads]
print(wrong, client.statistics().connections, any(thread.is_alive() for thread in threads))
client.close()
"""


def test_a_signals_exception_ends_one_call_and_leaves_the_connection_to_the_rest(address: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", INTERRUPTED, address], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.split("\n")[0] == "[] 1 False", done.stderr


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of CA certificates; beside it a certificate for localhost, its key, and a token."""
    folder, made = tmp_path_factory.mktemp("tls"), trustme.CA()
    issued = made.issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "chain.pem"))
    made.cert_pem.write_to_path(str(folder / "ca.pem"))
    (folder / "token").write_text("secret\n")
    return folder / "ca.pem"


@pytest.fixture(scope="module")
def remote(authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on TCP, with TLS and a token."""
    named = {"--tls-cert": "chain.pem", "--tls-key": "key.pem", "--token-file": "token"}
    options = [text for option, file in named.items() for text in (option, str(authority.with_name(file)))]
    with service(tmp_path_factory.mktemp("remote"), "--tcp", "127.0.0.1:0", *options) as (_, tcp):
        yield tcp.replace("127.0.0.1", "localhost")


def test_tcp_takes_tls_and_a_token(kind: Any, remote: str, authority: Path, source: Path) -> None:
    with kind(remote, token="secret", tls=authority) as face:
        assert face.ping() == "pong"
        try:
            face.create_function("secure", code=source, handler="app.handler", memory_mb=1769)
            event = b'"' + b"x" * 5_000_000 + b'"'
            calls = [face.start("invoke", "secure", event if n == 3 else {"n": n}) for n in range(16)]
            assert [call.result(60).payload for call in calls][3] == event
        finally:
            face.delete_function("secure")


def test_a_wrong_token_or_a_strange_certificate_is_refused(kind: Any, remote: str, authority: Path) -> None:
    with pytest.raises(errors.AccessDeniedException, match="token"):
        kind(remote, token="guess", tls=authority)
    with pytest.raises(errors.ConnectionLostError, match=r"(?i)certificate"):
        kind(remote, token="secret", tls=ssl.create_default_context())
    with pytest.raises(errors.InvalidParameterValueException, match="not a file of CA certificates"):
        kind(remote, token="secret", tls="/nowhere.pem")


def test_a_unix_socket_takes_neither(address: str) -> None:
    with pytest.raises(errors.InvalidParameterValueException, match="neither token nor tls"):
        BlockingFace(address, token="secret")
