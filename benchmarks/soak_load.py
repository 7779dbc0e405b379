"""The load of a soak, in a process of its own: one call in flight on every connection, each one timed.

Reading the service's processes takes a millisecond; done in here, it would be seen in the latencies.
"""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from time import perf_counter_ns
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.load.distribution import Counts

from .codecs import MessagePackRpc
from .contenders.engine_settings import FUNCTION
from .traffic import RECEIVE_BYTES, Dialogue, some
from .work import PAYLOAD

BATCH: Final = 1_024  # latencies counted at once
SECOND_NS: Final = 1_000_000_000


class Second(NamedTuple):
    """What one second brought: the buckets of `Counts` that are not empty, and how many calls are in each."""

    seconds: float
    buckets: NDArray[np.int64]
    counts: NDArray[np.int64]


class _Tally:
    """Latencies of the second that runs."""

    def __init__(self) -> None:
        self._counts, self._batch = Counts(), list[int]()

    def add(self, latency_ns: int) -> None:
        self._batch.append(latency_ns)
        if len(self._batch) == BATCH:
            self._count()

    def take(self, seconds: float) -> Second:
        self._count()
        buckets = np.flatnonzero(self._counts.of)
        second = Second(seconds, buckets, self._counts.of[buckets])
        self._counts.clear()
        return second

    def _count(self) -> None:
        self._counts.add(np.array(self._batch, np.int64))
        self._batch.clear()


def run(address: Path, connections: int, seconds: float, pipe: Pipe) -> None:
    """Call for that long; each `Second` goes into `pipe` at its end, and what went wrong as an Exception."""
    sockets = [socket.socket(socket.AF_UNIX) for _ in range(connections)]
    rpc = MessagePackRpc(FUNCTION, PAYLOAD, json.loads(PAYLOAD))
    try:
        for each in sockets:
            each.connect(str(address))
        _keep_calling([(each, rpc.dialogue()) for each in sockets], seconds, pipe.send)
    except Exception as failure:  # noqa: BLE001 - it is told to the process that asked, which fails with it
        pipe.send(RuntimeError(f"{type(failure).__name__}: {failure}"))
    finally:
        for each in sockets:
            each.close()
        pipe.close()


def _keep_calling(ends: list[tuple[socket.socket, Dialogue]], seconds: float, tell: Callable[[Second], None]) -> None:
    tally, poll, by_fd, began = _Tally(), select.epoll(), dict[int, tuple[socket.socket, Dialogue]](), dict[int, int]()
    second_ns = perf_counter_ns()
    end_ns = second_ns + int(seconds * SECOND_NS)
    with poll:
        for sock, dialogue in ends:
            by_fd[sock.fileno()] = sock, dialogue
            poll.register(sock, select.EPOLLIN)
            began[sock.fileno()] = perf_counter_ns()
            sock.sendall(dialogue.requests(1))
        while began:
            for fd, _ in poll.poll():
                sock, dialogue = by_fd[fd]
                if not dialogue.completed(some(sock.recv(RECEIVE_BYTES))):
                    continue
                now_ns = perf_counter_ns()
                tally.add(now_ns - began.pop(fd))
                if now_ns - second_ns >= SECOND_NS:
                    tell(tally.take((now_ns - second_ns) / SECOND_NS))
                    second_ns = now_ns
                if now_ns < end_ns:
                    began[fd] = perf_counter_ns()
                    sock.sendall(dialogue.requests(1))
        tell(tally.take((perf_counter_ns() - second_ns) / SECOND_NS))
