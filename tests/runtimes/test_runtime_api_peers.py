"""Whose a connection to the Runtime API is, as the kernel tells it: by a question, and by its tables."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest
from doors import PATIENCE_S

from engine.worker.runtime_api.peers import open_question, owners_of

NOBODY = 65_534
CONNECTS = "import socket, sys; made = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); sys.stdin.read()"


@pytest.fixture(params=["asked", "read"])
def question(request: pytest.FixtureRequest) -> Iterator[socket.socket | None]:
    if request.param == "read":
        yield None
        return
    with socket.socket(fileno=open_question()) as opened:
        yield opened


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::ffff:127.0.0.1")])
def test_ones_own_connection_is_ones_own(
    listening: socket.socket, question: socket.socket | None, family: int, host: str
) -> None:
    with socket.socket(family) as client:
        client.connect((host, listening.getsockname()[1]))
        accepted, peer = listening.accept()
        with accepted:
            assert owners_of(peer, accepted.getsockname(), question) == [os.geteuid()]


def test_anothers_connection_is_anothers(listening: socket.socket, question: socket.socket | None) -> None:
    assert os.geteuid() == 0, "who starts a process of another user is root"
    argv = ["/usr/bin/python3", "-c", CONNECTS, str(listening.getsockname()[1])]
    other = subprocess.Popen(argv, user=NOBODY, stdin=subprocess.PIPE, cwd="/")
    try:
        accepted, peer = listening.accept()
        with accepted:
            assert owners_of(peer, accepted.getsockname(), question) == [NOBODY]
    finally:
        other.communicate(timeout=PATIENCE_S)


def test_nobodys_connection_is_nobodys(listening: socket.socket, question: socket.socket | None) -> None:
    assert owners_of(("127.0.0.1", 1), listening.getsockname(), question) == []


def test_a_question_that_the_kernel_cannot_answer_is_looked_up(listening: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf, socket.socket() as client:
        client.connect(listening.getsockname())
        accepted, peer = listening.accept()
        with accepted:
            assert owners_of(peer, accepted.getsockname(), deaf) == [os.geteuid()]
