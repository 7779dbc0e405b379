"""The load client's loops, against a server of a few lines over a real socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from benchmarks import traffic
from benchmarks.codecs import Resp
from benchmarks.contract import Bound
from benchmarks.traffic import Connection

REQUEST_BYTES = len(Resp(b"{}").dialogue().requests(1))
ENDLESS_S = 60.0

Answers = Callable[[int], bytes]


@pytest.fixture
def connect() -> Iterator[Callable[[Answers], Connection]]:
    """Connects to a thread that answers N whole requests with `answers(N)`, and hangs up at an empty answer."""
    with ExitStack() as stack:

        def connected(answers: Answers) -> Connection:
            ours, theirs = socket.socketpair()
            thread = threading.Thread(target=_serve, args=(theirs, answers))
            thread.start()
            stack.callback(thread.join)
            stack.callback(ours.close)
            return Connection(ours, Resp(b"{}").dialogue())

        yield connected


def _serve(end: socket.socket, answers: Answers) -> None:
    over = 0
    with end:
        while data := end.recv(65_536):
            count, over = divmod(over + len(data), REQUEST_BYTES)
            answer = answers(count)
            if count and not answer:
                return
            end.sendall(answer)


def right(count: int) -> bytes:
    return b"+OK\r\n" * count


def test_a_blocking_client_stops_at_the_count(connect: Callable[[Answers], Connection]) -> None:
    assert len(traffic.one_after_the_other(connect(right), Bound(ENDLESS_S, 25))) == 25


def test_one_call_each_on_many_connections_stops_at_the_count(connect: Callable[[Answers], Connection]) -> None:
    connections = [connect(right) for _ in range(8)]
    assert 100 <= traffic.one_each(connections, Bound(ENDLESS_S, 100)) <= 108


def test_a_window_on_one_connection_stops_at_the_count(connect: Callable[[Answers], Connection]) -> None:
    assert 500 <= traffic.pipelined(connect(right), 64, Bound(ENDLESS_S, 500)) < 500 + 64


def test_every_shape_ends_when_time_is_over_and_leaves_nothing_in_flight(
    connect: Callable[[Answers], Connection],
) -> None:
    connection, over = connect(right), Bound(0.0)
    assert traffic.one_after_the_other(connection, over) == []
    assert traffic.one_each([connection], over) == 1
    assert traffic.pipelined(connection, 64, over) == 64
    traffic.call(connection)


@pytest.mark.parametrize("shape", ["one after the other", "one each", "pipelined"])
def test_a_server_that_hangs_up_is_an_error(connect: Callable[[Answers], Connection], shape: str) -> None:
    connection, bound = connect(lambda count: b""), Bound(ENDLESS_S, 10)
    with pytest.raises(ConnectionError, match="closed the connection"):
        if shape == "one each":
            traffic.one_each([connection], bound)
        elif shape == "pipelined":
            traffic.pipelined(connection, 4, bound)
        else:
            traffic.one_after_the_other(connection, bound)
