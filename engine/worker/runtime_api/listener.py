"""Where the Runtime API is reached: a loopback address of the environment's own, and the channel of our bootstraps.

In a network namespace of its own, nobody but the environment can connect. Where it shares the host's network, whoever
connects must be its own user: the kernel's table of sockets says whose the other end is.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from .connection import Connection
from .loop import Loop
from .peers import owners_of
from .request import Request, Sink

ADDRESS = "127.0.0.1"
PORT = 9001  # where Lambda has it; on the host's network any that is free
CONNECTIONS_MAX = 64
BACKLOG = 128
SHORT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
RETRY_S = 0.1  # where there is nothing to accept with


class Listener:
    """`serve`, `open_sink` and `serve_hot`: see Connection."""

    def __init__(
        self,
        loop: Loop,
        serve: Callable[[Request], object],
        open_sink: Callable[[Request], Sink | None],
        serve_hot: Callable[[bytes, bytes, Connection], bytes | None],
    ) -> None:
        self._loop, self._serve, self._open_sink, self._serve_hot = loop, serve, open_sink, serve_hot
        self._connections: set[Connection] = set()
        self._socket: socket.socket | None = None
        self._uid: int | None = None
        self._question: socket.socket | None = None

    def listen(self, *, shared_network_uid: int | None, question_fd: int = -1) -> str:
        """The address, host:port. With a uid, the network is the host's, and only that user may connect.

        question_fd: of `peers.open_question`, where there is one.
        """
        self._uid = shared_network_uid
        if question_fd >= 0:
            self._question = socket.socket(fileno=question_fd)
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        if shared_network_uid is None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # and so of all that it accepts
        listening.bind((ADDRESS, PORT if shared_network_uid is None else 0))
        listening.listen(BACKLOG)
        self._socket = listening
        self._watch()
        return f"{ADDRESS}:{listening.getsockname()[1]}"

    def adopt_channel(self, fd: int) -> None:
        """Serve a connection that a primed runtime has the other end of."""
        ours = socket.socket(fileno=fd)
        ours.setblocking(False)
        self._add(ours, is_channel=True)

    def open_channel(self) -> socket.socket:
        """A connection that is there already: the other end."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        self._add(ours, is_channel=True)
        return theirs

    def _watch(self) -> None:
        if self._socket is not None:
            self._loop.watch(self._socket.fileno(), lambda _: self._accept())

    def _accept(self) -> None:
        """All who wait: after a while in which this environment was frozen they may be many."""
        for _ in range(BACKLOG):
            if self._socket is None:
                return
            try:
                accepted, peer = self._socket.accept()
            except OSError as error:
                if error.errno in SHORT_OF:  # it stays to be accepted, and the kernel would tell so for ever
                    self._loop.forget(self._socket.fileno())
                    self._loop.after(RETRY_S, self._watch)
                if error.errno != errno.ECONNABORTED:
                    return
            else:
                self._admit(accepted, peer)

    def _admit(self, accepted: socket.socket, peer: tuple[str, int]) -> None:
        if self._may_connect(peer, accepted.getsockname()) and self._make_room():
            accepted.setblocking(False)
            self._add(accepted)
        else:
            accepted.close()

    def _make_room(self) -> bool:
        """Where there are enough, the one goes that has said nothing for the longest time and is owed nothing."""
        if len(self._connections) < CONNECTIONS_MAX:
            return True
        others = [each for each in self._connections if not each.is_channel and not each.is_busy]
        if others:
            min(others, key=lambda each: each.heard_at).close()
        return bool(others)

    def _add(self, sock: socket.socket, *, is_channel: bool = False) -> None:
        made = Connection(
            sock,
            self._loop,
            self._serve,
            self._open_sink,
            self._connections.discard,
            self._serve_hot,
            is_channel=is_channel,
        )
        self._connections.add(made)

    def _may_connect(self, peer: tuple[str, int], own: tuple[str, int]) -> bool:
        return self._uid is None or self._uid in owners_of(peer, own, self._question)
