"""The one load client for every server: three shapes of traffic over plain sockets. What is said, `codecs.py` knows.

The same loops run against each peer, so that a ratio compares servers and not clients: requests are bytes prepared
before, and an answer costs the client one `recv` and one look by the codec.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Final, Protocol

from .contract import Bound

RECEIVE_BYTES: Final = 65_536


class Dialogue(Protocol):
    """One connection's requests and answers."""

    def requests(self, count: int) -> bytes:
        """The next `count` requests; they count as sent."""

    def completed(self, data: bytes) -> int:
        """How many answers `data` brings to an end. Raises WrongAnswerError for one that was not asked for."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A connected, blocking socket without a time limit, and what is said over it."""

    socket: socket.socket
    dialogue: Dialogue


def one_after_the_other(connection: Connection, bound: Bound, pause_s: float = 0.0) -> list[int]:
    """Nanoseconds of each call of one blocking client, `pause_s` of quiet before each (not counted)."""
    samples = list[int]()
    deadline_ns = perf_counter_ns() + int(bound.seconds * 1e9)
    while len(samples) < bound.count and perf_counter_ns() < deadline_ns:
        if pause_s:
            time.sleep(pause_s)
        start_ns = perf_counter_ns()
        call(connection)
        samples.append(perf_counter_ns() - start_ns)
    return samples


def call(connection: Connection) -> None:
    """One call, waited for."""
    receive, completed = connection.socket.recv, connection.dialogue.completed
    connection.socket.sendall(connection.dialogue.requests(1))
    while not completed(some(receive(RECEIVE_BYTES))):
        pass


def one_each(connections: Sequence[Connection], bound: Bound) -> int:
    """One call in flight on each connection until `bound`, then the rest; how many were answered."""
    poll = select.epoll()
    ends = {each.socket.fileno(): (each.socket, each.dialogue) for each in connections}
    try:
        for fd, (sock, dialogue) in ends.items():
            poll.register(fd, select.EPOLLIN)
            sock.sendall(dialogue.requests(1))
        return _turn_over(poll, ends, bound)
    finally:
        poll.close()


def _turn_over(poll: select.epoll, ends: dict[int, tuple[socket.socket, Dialogue]], bound: Bound) -> int:
    answered, in_flight = 0, len(ends)
    deadline_ns = perf_counter_ns() + int(bound.seconds * 1e9)
    while in_flight:
        goes_on = answered + in_flight < bound.count and perf_counter_ns() < deadline_ns
        for fd, _ in poll.poll():
            sock, dialogue = ends[fd]
            if dialogue.completed(some(sock.recv(RECEIVE_BYTES))):
                answered += 1
                if goes_on:
                    sock.sendall(dialogue.requests(1))
                else:
                    in_flight -= 1
    return answered


def pipelined(connection: Connection, window: int, bound: Bound) -> int:
    """`window` calls in flight on one connection until `bound`, then the rest; how many were answered.

    A `window` of requests must fit the socket's buffers: the client does not read while it writes.
    """
    sock, dialogue = connection.socket, connection.dialogue
    deadline_ns = perf_counter_ns() + int(bound.seconds * 1e9)
    sock.sendall(dialogue.requests(window))
    answered, in_flight = 0, window
    while in_flight:
        count = dialogue.completed(some(sock.recv(RECEIVE_BYTES)))
        answered += count
        in_flight -= count
        if count and answered + in_flight < bound.count and perf_counter_ns() < deadline_ns:
            sock.sendall(dialogue.requests(count))
            in_flight += count
    return answered


def some(data: bytes) -> bytes:
    """What was received. Raises ConnectionError where that is nothing: the other end has closed."""
    if not data:
        raise ConnectionError("the server closed the connection in the middle of a call")
    return data
