"""`--socket`: a real service under load, by a unix socket and by TCP; whose CPU time is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
import trustme
from planned import ECHO, ONE_VCPU_MB, Benched, command
from servers import service

from engine.load import cpu
from engine.sync import connect

Bench = Callable[..., Benched]


class Running(NamedTuple):
    """A service with the function `echo`: its two addresses, its process, and what TCP asks for."""

    unix: str
    tcp: str
    pid: int
    options: list[str]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder, authority = tmp_path_factory.mktemp("bench"), trustme.CA()
    own = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    own.private_key_pem.write_to_path(str(folder / "key.pem"))
    for number, part in enumerate(own.cert_chain_pems):
        part.write_to_path(str(folder / "chain.pem"), append=number > 0)
    (folder / "token").write_text("secret\n")
    tls = ["--tls-cert", str(folder / "chain.pem"), "--tls-key", str(folder / "key.pem")]
    token = ["--token-file", str(folder / "token")]
    with service(folder, "--tcp", "127.0.0.1:0", *tls, *token) as (unix, tcp):
        with connect(unix) as client:
            client.create_function("echo", code=ECHO, handler="app.handler", memory_mb=int(ONE_VCPU_MB))
        path = unix.removeprefix("unix:")
        (pid,) = (child.pid for child in psutil.Process().children() if path in child.cmdline())
        yield Running(unix, tcp.replace("127.0.0.1", "localhost"), pid, [*token, "--tls-ca", str(folder / "ca.pem")])


def test_a_service_is_loaded_and_its_cpu_time_told(bench: Bench, running: Running) -> None:
    done = bench("--socket", running.unix, "echo", "--count", "5000", "--concurrency", "16")
    assert (done.status, done.document["calls"]["ok"]) == (0, 5_000)
    assert done.document["billing"]["billed_ms"] >= 5_000
    assert f"process {running.pid}" in done.document["cpu"]["of"]
    assert done.document["cpu"]["us_per_invocation"] > 0


def test_a_bare_path_is_an_address(bench: Bench, running: Running) -> None:
    done = bench("--socket", running.unix.removeprefix("unix:"), "echo", "--count", "10")
    assert (done.status, done.document["target"]) == (0, f"engine at {running.unix}")


def test_an_open_loop_reaches_a_service_over_tls(bench: Bench, running: Running) -> None:
    shape = ("--rate", "500", "--arrivals", "poisson", "--count", "200")
    done = bench("--socket", running.tcp, *running.options, "echo", *shape)
    assert (done.status, done.document["calls"]["ok"]) == (0, 200)
    assert done.document["cpu"]["us_per_invocation"] is None


def test_tcp_without_the_token_is_told_so(running: Running) -> None:
    done = command("--socket", running.tcp, *running.options[2:], "echo", "--count", "1")
    assert done.exit_code == 1
    assert "AccessDeniedException" in done.output + done.stderr


def test_refusals_over_the_socket_keep_their_names(bench: Bench, running: Running) -> None:
    done = bench("--socket", running.unix, "unknown", "--count", "3")
    assert done.status == 1
    assert done.document["errors"] == [{"kind": "refusal", "type": "ResourceNotFoundException", "count": 3}]


def test_a_socket_where_nobody_listens_is_named(tmp_path: Path) -> None:
    done = command("--socket", f"unix:{tmp_path}/nobody.sock", "echo")
    assert done.exit_code == 1
    assert f"{tmp_path}/nobody.sock: No such file" in done.stderr


def test_the_process_behind_a_unix_socket_is_found(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        assert cpu.peer_pid(str(tmp_path / "s")) == os.getpid()
    assert cpu.peer_pid(str(tmp_path / "none")) is None


def test_cpu_time_counts_children_that_are_gone_and_never_falls() -> None:
    before_s = cpu.tree_cpu_s(os.getpid())
    with psutil.Popen(["sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]) as child:
        child.wait()
    assert cpu.tree_cpu_s(os.getpid()) > before_s
    with pytest.raises(psutil.NoSuchProcess):
        cpu.tree_cpu_s(child.pid)
