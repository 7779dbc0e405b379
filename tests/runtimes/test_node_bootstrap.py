"""Node's bootstrap by itself, opposite a socket of the test's: processes started ahead, sockets that are awkward."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from doors import PATIENCE_S
from javascript import written

from engine.runtimes.catalog import BOOTSTRAPS

NEXT = "GET /2018-06-01/runtime/invocation/next"
PLACE = "GET /engine/place"
VARIABLES = {"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs20.x", "PATH": os.defpath}


class Bootstrap:
    """One process, and our end of its channel."""

    def __init__(self, process: subprocess.Popen[bytes], sock: socket.socket) -> None:
        self.process, self.socket = process, sock
        self.stream = sock.makefile("rb")
        self.has_asked = False  # for a place of its own

    def request(self) -> tuple[str, bytes]:
        """Method and path, then the body."""
        line = self.stream.readline().decode().rpartition(" ")[0]
        headers = {}
        while text := self.stream.readline().decode().strip():
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        return line, self.stream.read(int(headers.get("content-length", 0)))

    def reply(self, body: bytes, *headers: str, status: int = 200, piece: int = 1 << 20) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
        message = "\r\n".join(lines).encode() + body
        for at in range(0, len(message), piece):
            self.socket.sendall(message[at : at + piece])

    def assign(self, code: Path, **variables: str) -> None:
        assert self.request()[0] == "GET /engine/assignment"
        order = {"variables": {**VARIABLES, **variables}, "handler": "index.handler", "task_root": str(code)}
        self.reply(json.dumps(order).encode())

    def invoke(self, event: object, piece: int = 1 << 20) -> Any:
        """The answer; the request for the next event was read too. After the first it asks for a place, in vain."""
        self.reply(json.dumps(event).encode(), "Lambda-Runtime-Aws-Request-Id: 1-2", piece=piece)
        line, body = self.request()
        assert line == "POST /2018-06-01/runtime/invocation/1-2/response"
        if self.has_asked:
            assert self.request()[0] == NEXT
        self.reply(b'{"status":"OK"}\n', status=202, piece=piece)
        if not self.has_asked:
            self.has_asked = True
            assert self.request()[0] == PLACE
            self.reply(b"{}", status=403)
            assert self.request()[0] == NEXT
        return json.loads(body)


@contextmanager
def started(environment: dict[str, str], *, blocks: bool = True) -> Iterator[Bootstrap]:
    """A process with this environment, which ends when its channel does."""
    ours, its = socket.socketpair()
    ours.settimeout(PATIENCE_S)
    its.setblocking(blocks)
    command = ["bash", "-c", f'exec 3<&{its.fileno()}; exec node "$0"', str(BOOTSTRAPS / "node" / "main.cjs")]
    process = subprocess.Popen(command, env={"PATH": os.environ["PATH"], **environment}, pass_fds=[its.fileno()])
    its.close()
    bootstrap = Bootstrap(process, ours)
    try:
        yield bootstrap
    finally:
        bootstrap.stream.close()
        ours.close()
        assert process.wait(PATIENCE_S) is not None


@pytest.mark.parametrize("known", [{}, VARIABLES], ids=["started ahead", "started for its function"])
def test_a_process_becomes_what_its_assignment_says(tmp_path: Path, known: dict[str, str]) -> None:
    package = {"lib/shape/index.js": "module.exports = 'round'"}
    main = "const shape = require('shape'); "
    main += "exports.handler = async () => [shape, process.env, process.cwd(), `${new Date(0)}`]"
    code = written(tmp_path, {"index.js": main, **package})
    with started({"LEFTOVER": "1", "TZ": "UTC", **known}) as bootstrap:
        bootstrap.assign(code, NODE_PATH=str(code / "lib"), COLOUR="blue", TZ="Asia/Tokyo")
        assert bootstrap.request()[0] == NEXT
        shape, environment, folder, date = bootstrap.invoke({})
    assert (shape, folder) == ("round", str(code))
    assert (environment["COLOUR"], environment["AWS_LAMBDA_FUNCTION_NAME"]) == ("blue", "f")
    assert "LEFTOVER" not in environment
    assert "GMT+0900" in date


@pytest.mark.parametrize("piece", [1, 7, 4_096])
def test_answers_may_come_in_any_pieces(tmp_path: Path, piece: int) -> None:
    with started(VARIABLES) as bootstrap:
        bootstrap.assign(written(tmp_path, "exports.handler = async (event) => event"))
        assert bootstrap.request()[0] == NEXT
        for event in ({"text": "é" * 100}, [], {"n": list(range(300))}):
            assert bootstrap.invoke(event, piece) == event


def test_large_events_and_small_ones_take_turns(tmp_path: Path) -> None:
    with started(VARIABLES) as bootstrap:
        bootstrap.assign(written(tmp_path, "exports.handler = async (event) => event"))
        assert bootstrap.request()[0] == NEXT
        for event in ({"text": "é" * 3_000_000}, 1, {"text": "x" * 70_000}, {"text": "é" * 40_000}, None):
            assert bootstrap.invoke(event) == event


def test_a_socket_that_does_not_block_is_waited_for(tmp_path: Path) -> None:
    with started(VARIABLES, blocks=False) as bootstrap:
        bootstrap.assign(written(tmp_path, "exports.handler = async (event) => event"))
        assert bootstrap.request()[0] == NEXT
        for event in ({"text": "é" * 3_000_000}, 1):
            assert bootstrap.invoke(event, 65_536) == event


def test_a_process_whose_engine_is_gone_ends(tmp_path: Path) -> None:
    with started(VARIABLES) as bootstrap:
        bootstrap.assign(written(tmp_path, "exports.handler = async () => 1"))
        assert bootstrap.request()[0] == NEXT
        bootstrap.socket.shutdown(socket.SHUT_RDWR)
        assert bootstrap.process.wait(PATIENCE_S) == 1
