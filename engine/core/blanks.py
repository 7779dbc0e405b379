"""F3: one process pair that a zygote forked: an environment's init and the environment, first a blank. And its stock.

The engine talks to it on a socket of its own. What it says there is believed only for itself: it is the engine's own
code until the word "G", and only its init has the socket after that, which the function cannot reach.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from .._ext.environment import Environment
from ..sandbox.contract import Cell
from ..sandbox.scratch import Scratch
from .pools import Pool
from .zygotes import receive

STOCK_LEAST: Final = 2  # blanks kept ready on an engine that has nothing to do
STOCK_MOST: Final = 32
DEMAND_WINDOW_NS: Final = 50_000_000  # starts so near each other are one burst
DEMAND_MEMORY_NS: Final = 60_000_000_000  # how long a burst is remembered
WORD_BYTES: Final = 4_096
GO: Final = b"G"


class Word(NamedTuple):
    """What a blank or its init said: "B" blank, "N" here is the network namespace, "F" failed, "S" its wait status."""

    kind: str
    pid: int  # of who said it
    text: bytes
    fds: list[int]


class Blank:
    """`pid` and `pidfd` are the init's, with which all ends; `own_pid` is the environment's, −1 until it has spoken."""

    def __init__(self, key: int, cell: Cell) -> None:
        self.key = key
        self.cell = cell
        self.pid = self.pidfd = self.own_pid = -1
        self.status: int | None = None
        self.failure = ""
        self.pool: Pool | None = None
        self.environment: Environment | None = None
        self.scratch: Scratch | None = None
        self.on_ended: Callable[[int, str], None] | None = None  # of a template: (wait status, failure)
        self.killed = False
        self.uid = self.log_fd = -1  # of a primed one: its user, and its log until it has a function
        self.socket, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def give(self, order: bytes, fds: list[int]) -> None:
        """Hand it its function. It waits for `go` before it runs any of that. Raises OSError."""
        socket.send_fds(self.socket, [order], fds)

    def go(self) -> None:
        """Its limits are set. Raises OSError when it is gone."""
        self.socket.send(GO)

    def hear(self) -> Word | None:
        """The next thing that it said; None when there is nothing, or nobody to speak any more."""
        try:
            said = receive(self.socket, WORD_BYTES)
        except (BlockingIOError, ConnectionError):
            return None
        return (
            Word(said.message[:1].decode("latin-1"), said.sender, said.message[1:], said.fds) if said.message else None
        )

    def is_forked(self) -> bool:
        """Whether the zygote has said so."""
        return self.pidfd >= 0

    def close(self) -> None:
        """Give its descriptors back. The cell is its holder's."""
        self.socket.close()
        self.theirs.close()
        for fd in (self.pidfd, self.log_fd):
            if fd >= 0:
                os.close(fd)
        self.pidfd = self.log_fd = -1


class Demand:
    """How many should be in stock: as many as the largest burst of starts of the last minute."""

    def __init__(self, least: int = STOCK_LEAST) -> None:
        self._least = least
        self._bursts: deque[tuple[int, int]] = deque()  # (began, starts), fewer later ones than earlier ones kept
        self._began_ns = self._starts = 0

    def started(self, now_ns: int) -> None:
        """An environment was asked for."""
        if now_ns - self._began_ns > DEMAND_WINDOW_NS:
            self._began_ns, self._starts = now_ns, 0
        self._starts += 1
        while self._bursts and self._bursts[-1][1] <= self._starts:
            self._bursts.pop()
        self._bursts.append((now_ns, self._starts))

    def wanted(self, now_ns: int) -> int:
        """How many to keep in stock."""
        while self._bursts and now_ns - self._bursts[0][0] > DEMAND_MEMORY_NS:
            self._bursts.popleft()
        largest = self._bursts[0][1] if self._bursts else 0
        return min(STOCK_MOST, max(self._least, largest))
