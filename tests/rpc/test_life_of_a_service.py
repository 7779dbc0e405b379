"""`engine serve` from its ready line to its end: by SIGTERM, by SIGKILL, and by what keeps it from starting."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgpack
import psutil
import pytest
import trustme
from doors import Gate
from serving import COMMAND, PATIENCE_S, Raw, Service

NewService = Callable[[], Service]


def begin_waiting(client: Raw, gate: Gate) -> None:
    """Start an invocation that ends when the gate opens."""
    client.say([0, 1, "invoke", ["waits", json.dumps(gate.address)]])
    gate.wait_entered()


def wait_ended(pids: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while left := [pid for pid in pids if psutil.pid_exists(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.001)


def descendants(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def test_sigterm_ends_what_runs_in_peace(new_service: NewService, gate: Gate) -> None:
    service = new_service().start()
    client = service.connect()
    client.deploy("waits", "waits")
    begin_waiting(client, gate)
    children = descendants(service.pid)
    assert service.process is not None
    service.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_S
    while service.path.exists():
        assert time.monotonic() < deadline
    with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
        service.connect()
    gate.open()
    assert client.hear()[3]["function_error"] is None
    with pytest.raises(EOFError):
        client.hear()
    assert service.process.wait(PATIENCE_S) == 0
    assert service.end(0) == 0
    wait_ended(children)
    client.close()


def test_sigterm_waits_only_so_long(new_service: NewService, gate: Gate) -> None:
    service = new_service().start("--drain", "0.2")
    client = service.connect()
    client.deploy("waits", "waits")
    begin_waiting(client, gate)
    assert service.end() == 1
    with pytest.raises((EOFError, ConnectionResetError)):
        client.hear()
    client.close()


def test_after_sigkill_nothing_runs_on_and_the_next_service_has_everything(new_service: NewService, gate: Gate) -> None:
    service = new_service().start()
    client = service.connect()
    client.deploy("waits", "waits")
    client.deploy("echo", environment={"K": "V"})
    client.call("publish_version", {"name": "echo"})
    client.call("create_alias", {"name": "echo", "alias": "live", "function_version": "1"})
    for _ in range(10):
        client.call("invoke", "echo:live", b"{}")
    billed = client.call("bill", {"by": "version"})
    begin_waiting(client, gate)
    children = descendants(service.pid)
    assert len(children) >= 3
    assert service.end(signal.SIGKILL) == -signal.SIGKILL
    wait_ended(children)
    assert service.path.exists()  # nobody was left to take it away
    client.close()

    service.start()
    client = service.connect()
    assert [each["function_name"] for each in client.call("list_functions")["functions"]] == ["echo", "waits"]
    assert client.call("get_function", {"name": "echo:live"})["environment"] == {"K": "V"}
    assert client.call("bill", {"by": "version"}) == billed
    assert client.call("invoke", "echo:live", b"7")["payload"] == b"7"
    client.close()


def test_a_second_service_on_one_data_folder_is_told_of_the_first(new_service: NewService, tmp_path: Path) -> None:
    service = new_service().start()
    other = [
        *COMMAND,
        "serve",
        "--http",
        "none",
        "--data",
        str(service.folder / "data"),
        "--socket",
        str(tmp_path / "other.sock"),
    ]
    second = subprocess.run(other, capture_output=True, text=True, timeout=PATIENCE_S)
    assert second.returncode == 1
    assert f"{service.pid}" in second.stderr
    assert str(service.path) in second.stderr
    assert not (tmp_path / "other.sock").exists()
    with service.connect() as client:
        assert client.call("ping") == "pong"


def test_a_second_service_on_one_socket_is_told_of_the_first(new_service: NewService, tmp_path: Path) -> None:
    service = new_service().start()
    other = [*COMMAND, "serve", "--http", "none", "--data", str(tmp_path / "data"), "--socket", str(service.path)]
    second = subprocess.run(other, capture_output=True, text=True, timeout=PATIENCE_S)
    assert second.returncode == 1
    assert f"process {service.pid} serves on {service.path} already" in second.stderr
    with service.connect() as client:
        assert client.call("ping") == "pong"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--socket", "/proc/none/engine.sock"], "/proc/none"),
        (["--socket", "/tmp/" + "x" * 120], "107 bytes"),
        (["--tcp", "127.0.0.1:0"], "--token-file"),
        (["--tcp", "nonsense"], "HOST:PORT"),
        (["--account-concurrency", "0"], "account_concurrency=0"),
        (["--ledger-bytes", "5"], "ledger_bytes=5"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_keeps_it_from_starting_is_said(tmp_path: Path, options: list[str], why: str) -> None:
    given = ["--http", "none", "--data", str(tmp_path / "data"), "--socket", str(tmp_path / "s.sock"), *options]
    said = subprocess.run([*COMMAND, "serve", *given], capture_output=True, text=True, timeout=PATIENCE_S)
    assert said.returncode in (1, 2)
    assert why in said.stderr
    assert "Traceback" not in said.stderr


def test_a_strict_sandbox_that_cannot_be_had_is_told_by_what_is_missing(tmp_path: Path) -> None:
    without_cgroups = (
        "from engine.sandbox import choose\nchoose._CANDIDATES = ()\n"
        "from engine.cli import main\nmain(prog_name='engine')"
    )
    given = [
        "--http",
        "none",
        "--data",
        str(tmp_path / "data"),
        "--socket",
        str(tmp_path / "s.sock"),
        "--sandbox",
        "strict",
    ]
    command = [sys.executable, "-P", "-c", without_cgroups, "serve", *given]
    said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert said.returncode == 1
    assert 'sandbox="strict" cannot be had here; not enforced: cpu (' in said.stderr
    assert "Traceback" not in said.stderr
    assert not (tmp_path / "s.sock").exists()


def test_a_path_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    given = ["--http", "none", "--data", str(tmp_path / "data"), "--socket", str(tmp_path / "precious")]
    said = subprocess.run([*COMMAND, "serve", *given], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (said.returncode, "is no socket" in said.stderr) == (1, True)
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_service_manager_is_told(new_service: NewService, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_S)
        service = new_service().start(NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert manager.recv(100) == b"READY=1"
        assert service.end() == 0
        assert manager.recv(100) == b"STOPPING=1"


class TlsRaw(Raw):
    """The same over TLS."""

    def __init__(self, port: int, authority: trustme.CA) -> None:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
        self._unpacker = msgpack.Unpacker(raw=False)
        self._last = 0


def test_tcp_takes_tls_and_the_token_before_anything_else(new_service: NewService, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "token").write_text("open sesame\n")
    tls = ["--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem")]
    service = new_service().start("--tcp", "127.0.0.1:0", *tls, "--token-file", str(tmp_path / "token"))
    port = int(service.said.rsplit(":", 1)[1])

    for method, params in (("ping", []), ("invoke", ["echo", b"{}"]), ("authenticate", ["wrong"])):
        stranger = TlsRaw(port, authority)
        with pytest.raises(LookupError, match="AccessDeniedException"):
            stranger.call(method, *params)
        with pytest.raises(EOFError):
            stranger.hear()
        stranger.close()

    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")  # no TLS
        try:
            assert plain.recv(1_000)[:1] in (b"", b"\x15")  # nothing, or a TLS alert
        except ConnectionResetError:
            pass

    stranger = TlsRaw(port, authority)
    stranger.say([0, 1, "authenticate", ["x" * 5_000]])
    assert stranger.hear()[2]["type"] == "ProtocolError"
    stranger.close()

    friend = TlsRaw(port, authority)
    friend.say([0, 1, "authenticate", ["open sesame"]], [0, 2, "invoke", ["nobody", b"{}"]])
    assert friend.hear() == [1, 1, None, {}]
    assert friend.hear()[2]["type"] == "ResourceNotFoundException"
    friend.deploy("echo")
    friend.say(*[[0, number, "invoke", ["echo", f"{number}"]] for number in range(100, 300)])
    heard = [friend.hear() for _ in range(200)]
    assert sorted(answer[1] for answer in heard) == list(range(100, 300))
    assert all(answer[3]["payload"] == b"%d" % answer[1] for answer in heard)
    friend.close()


def test_a_client_that_shows_no_token_is_not_waited_for(new_service: NewService) -> None:
    """The limit is counted on the event loop; here only that it is set and ends the connection."""
    import asyncio

    from engine import Engine
    from engine.rpc.server import Server, TlsConnection

    class Transport(asyncio.Transport):
        ended = False

        def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
            pass

        def get_extra_info(self, name: str, default: object = None) -> socket.socket:
            return ours

        def close(self) -> None:
            self.ended = True

        def write(self, data: object) -> None:
            pass

    async def main() -> bool:
        async with Engine() as engine:
            server = Server(engine, token="x")
            client = TlsConnection(server)
            transport = Transport()
            client.connection_made(transport)
            assert client._deadline is not None
            client._deadline._run()
            client.connection_lost(None)
            await server.close()
            return transport.ended

    ours, theirs = socket.socketpair()
    try:
        assert asyncio.run(main())
    finally:
        ours.close()
        theirs.close()
