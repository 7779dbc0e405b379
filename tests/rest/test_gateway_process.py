"""The gateway as processes of a service: one that dies is replaced, all end with the service, however it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from doors import Gate, watched
from gateways import Gateway
from raw_http import RawHttp
from serving import COMMAND, PATIENCE_S

INVOKE = "/2015-03-31/functions/{}/invocations"
CODE = """
import socket

def echo(event, context):
    return event

def waits(event, context):
    with socket.create_connection(event) as gate:
        gate.recv(1)
    return "waited"
"""


class Served:
    """`engine serve` with a gateway, as a process that a test may end in any way."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [*COMMAND, "serve", "--data", str(folder / "data"), "--socket", str(folder / "service.sock")]
        command += ["--http", "127.0.0.1:0", *options]
        self.log = folder / "stderr"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert " ready, pid " in said, self.log.read_text()
        self.gateway = Gateway(said.partition(": ")[2].split())

    def gateways(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "engine.rest.process" in child.cmdline()]

    def family(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        assert self.process.stdout is not None
        status = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        return status


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    made: list[Served] = []

    def begin(*options: str) -> Served:
        made.append(Served(tmp_path, *options))
        made[-1].gateway.deploy("echoes", CODE, "app.echo")
        made[-1].gateway.deploy("waits", CODE, "app.waits")
        return made[-1]

    yield begin
    for each in made:
        if each.process.poll() is None:
            assert each.end() == 0


def invoked(served: Served, function: str, event: object) -> tuple[int, object]:
    with RawHttp(served.gateway.port) as wire:
        answer = wire.ask("POST", INVOKE.format(function), body=json.dumps(event).encode())
        return answer.status, json.loads(answer.body)


def test_a_gateway_that_is_killed_is_replaced_and_requests_go_on(serve: Serve) -> None:
    served = serve()
    (first,) = served.gateways()
    with RawHttp(served.gateway.port) as wire, watched(first.pid) as wait_gone:
        assert wire.ask("GET", "/health").status == 200
        first.kill()
        wait_gone()
        with pytest.raises(ConnectionError):
            wire.ask("GET", "/health")
    assert invoked(served, "echoes", [1]) == (200, [1])  # it waits at the port until there is a gateway again
    (second,) = served.gateways()
    assert second.pid != first.pid
    assert "another one takes its place" in served.log.read_text()


def test_an_invocation_under_way_survives_its_gateway(serve: Serve, gate: Gate) -> None:
    """The function goes on: only its caller hears nothing more."""
    served = serve()
    (gateway,) = served.gateways()
    with RawHttp(served.gateway.port) as wire:
        event = json.dumps(gate.address)
        wire.say(f"POST {INVOKE.format('waits')} HTTP/1.1\r\nHost: localhost\r\n".encode())
        wire.say(f"Content-Length: {len(event)}\r\n\r\n{event}".encode())
        gate.wait_entered()
        gateway.kill()
        with pytest.raises(ConnectionError):
            wire.hear("POST")
    assert invoked(served, "echoes", "next") == (200, "next")
    gate.open()


def test_sigterm_waits_for_requests_under_way(serve: Serve, gate: Gate) -> None:
    served = serve()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(invoked, served, "waits", gate.address)
        gate.wait_entered()
        served.process.send_signal(signal.SIGTERM)
        while _takes_connections(served.gateway.port):
            os.sched_yield()
        gate.open()
        assert waiting.result(PATIENCE_S) == (200, "waited")
    assert served.wait() == 0


def _takes_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE_S).close()
    except ConnectionError:
        return False
    return True


def test_each_of_two_gateways_serves(serve: Serve) -> None:
    served = serve("--http-workers", "2")
    one, other = served.gateways()
    for stopped in (one, other):
        stopped.suspend()
        try:
            assert [invoked(served, "echoes", number) for number in range(5)] == [(200, number) for number in range(5)]
        finally:
            stopped.resume()


def test_a_port_in_use_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [*COMMAND, "serve", "--data", str(tmp_path / "data"), "--socket", str(tmp_path / "service.sock")]
        done = subprocess.run(
            [*command, "--http", f"127.0.0.1:{port}"], capture_output=True, text=True, timeout=PATIENCE_S
        )
    assert done.returncode == 1
    assert f"cannot serve HTTP on 127.0.0.1:{port}: Address already in use; choose another address" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_service_that_is_killed_takes_its_gateways_with_it(serve: Serve, tmp_path: Path) -> None:
    served = serve("--http-workers", "2")
    assert invoked(served, "echoes", 1) == (200, 1)
    assert len(served.gateways()) == 2
    with watched(*served.family()) as wait_gone:
        assert served.end(signal.SIGKILL) == -signal.SIGKILL
        wait_gone()
    assert not _takes_connections(served.gateway.port)
    again = Served(tmp_path)  # removes what the other could not, and has its functions
    assert invoked(again, "echoes", 2) == (200, 2)
    assert again.end() == 0
