"""F2: bytes to and from one blocking socket, plain or TLS, such that a signal handler's exception loses none.

Python runs signal handlers between bytecodes, so an exception such as KeyboardInterrupt may strike between a system
call and the line that keeps what it gave. Therefore a read and what keeps it (`feed`, `extend`) run inside one C call:
`next(map(feed, map(recv, ...)))`. What was sent is kept the same way, and a request that an interrupted sender left
half sent goes out first with the next.

One thread sends at a time and one receives (their locks are `blocking`'s); both at once is what a socket is made for.
A TLS session is not: its two directions share `_session`, which is never held over a system call.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat

from ..errors import ConnectionLostError
from ..wire.messages import READ_BYTES

WAIT_MAX_MS = 3_600_000
DONT_WAIT = (socket.MSG_DONTWAIT,)


class _Batch:
    """Bytes on their way out; `counts` is how many of them the kernel has taken, call by call."""

    __slots__ = ("counts", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.counts: deque[int] = deque()

    def rest(self) -> memoryview:
        return memoryview(self.data)[sum(self.counts) :]


class Channel:
    """A connected stream socket. `feed` takes in what arrives."""

    def __init__(self, connected: socket.socket, feed: Callable[[bytes], object]) -> None:
        connected.settimeout(None)
        self._socket = connected
        self._send = connected.send
        self._left: _Batch | None = None
        self._pulls: Iterator[object] = map(feed, map(connected.recv, repeat(READ_BYTES)))

    def send(self, data: bytes) -> bool:
        """Put `data` on its way. False where the kernel does not take all of it now: see `flush`. Raises OSError."""
        left = self._left
        batch = self._left = _Batch(data if left is None else bytes(left.rest()) + data)
        return self._sent(batch, batch.data)

    def flush(self) -> bool:
        """Try again with what the kernel has not taken; whether that was all. Raises OSError."""
        batch = self._left
        return batch is None or self._sent(batch, batch.rest())

    def _sent(self, batch: _Batch, rest: bytes | memoryview) -> bool:
        try:
            batch.counts.extend(map(self._send, (rest,), DONT_WAIT))
        except BlockingIOError:
            return False
        if batch.counts[-1] < len(rest):
            return False
        self._left = None
        return True

    def pull(self) -> None:
        """Wait for bytes and feed what came. At the end of the stream it feeds nothing. Raises OSError."""
        next(self._pulls)

    def settle(self) -> None:
        """Feed what was received and not fed yet: nothing, where it is fed as it is received."""

    def at_end(self) -> bool:
        """Whether the other end has closed; asked when a pull brought no whole message."""
        try:
            return self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False

    def wait(self, deadline: float | None, *, to_read: bool, to_write: bool = False) -> bool:
        """Until it can be read (or written), or time.monotonic() passes `deadline`: then False."""
        poller = select.poll()
        poller.register(self._socket, (select.POLLIN if to_read else 0) | (select.POLLOUT if to_write else 0))
        left_ms = WAIT_MAX_MS if deadline is None else max(0.0, (deadline - time.monotonic()) * 1e3)
        return bool(poller.poll(left_ms)) or deadline is None

    def readable(self) -> bool:
        """Whether bytes are there now."""
        return self.wait(0.0, to_read=True)

    def shut(self) -> None:
        """End both directions: whoever waits in `pull` or `wait` wakes up."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other end was faster

    def close(self) -> None:
        self._socket.close()


class TlsChannel(Channel):
    """The same through a TLS session that was never given the socket: records go in and out through memory."""

    def __init__(
        self, connected: socket.socket, feed: Callable[[bytes], object], context: ssl.SSLContext, server_name: str
    ) -> None:
        self._session = threading.Lock()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._feed = feed
        self._shake_hands(connected)
        super().__init__(connected, self._incoming.write)

    def _shake_hands(self, connected: socket.socket) -> None:
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                connected.sendall(self._outgoing.read())
                data = connected.recv(READ_BYTES)
                if not data:
                    raise ConnectionLostError("the other end closed during the TLS handshake") from None
                self._incoming.write(data)
        connected.sendall(self._outgoing.read())

    def send(self, data: bytes) -> bool:
        try:
            with self._session:
                self._tls.write(data)
                records = self._outgoing.read()
            return super().send(records)
        except BaseException:
            self.shut()  # a record may be lost between session and socket, and no later one can be read without it
            raise

    def settle(self) -> None:
        with self._session:
            plain: Iterator[bytes] = iter(partial(self._tls.read, READ_BYTES), b"")  # empty when the session has ended
            try:
                for _ in map(self._feed, plain):
                    pass
            except ssl.SSLWantReadError:
                pass  # that was all

    def at_end(self) -> bool:
        return self._incoming.pending == 0 and super().at_end()
