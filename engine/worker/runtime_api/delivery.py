"""Records on their way to one subscriber: gathered, sent in batches, sent again where that failed. Nothing here waits.

What a subscriber is behind with is bounded: past `UNSENT_BATCHES` times its own limit of bytes, what is new is dropped
and counted, and it is told how much that was.
"""

from __future__ import annotations

import errno
import socket
from collections import deque

import httptools

from .loop import READ, WRITE, Loop, Timer
from .subscription import Subscription

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

UNSENT_BATCHES = 4
RETRY_FIRST_S, RETRY_MOST_S = 0.05, 2.0
READ_BYTES = 65_536
ADDRESS = "127.0.0.1"


class Delivery:
    """`on_dropped(records, bytes)`: called before the batch that follows what was dropped is made."""

    def __init__(self, loop: Loop, subscription: Subscription, on_dropped: Callable[[int, int], object]) -> None:
        self._loop, self._subscription, self._on_dropped = loop, subscription, on_dropped
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._timer: Timer | None = None
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._dropped_records = self._dropped_bytes = 0
        self._line = _Line(loop, subscription, self._sent)

    def add(self, record: bytes) -> None:
        """One JSON object."""
        if self._unsent_bytes > UNSENT_BATCHES * self._subscription.max_bytes:
            self._dropped_records += 1
            self._dropped_bytes += len(record)
            return
        if self._dropped_records:
            records, lost, self._dropped_records, self._dropped_bytes = self._dropped_records, self._dropped_bytes, 0, 0
            self._on_dropped(records, lost)
        self._gathered.append(record)
        self._gathered_bytes += len(record)
        if (
            len(self._gathered) >= self._subscription.max_items
            or self._gathered_bytes >= self._subscription.max_bytes
        ):  # fmt: skip
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.after(self._subscription.timeout_ms / 1_000, self.flush)

    def flush(self) -> None:
        """Send what is gathered, without waiting for more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._gathered:
            return
        if self._subscription.uri_path is None:
            batch = b"\n".join([*self._gathered, b""])
        else:
            batch = b"[%b]" % b",".join(self._gathered)
        self._gathered, self._gathered_bytes = [], 0
        self._unsent.append(batch)
        self._unsent_bytes += len(batch)
        if len(self._unsent) == 1:
            self._line.send(batch)

    @property
    def is_done(self) -> bool:
        """Whether everything has been taken."""
        return not self._gathered and not self._unsent

    def _sent(self) -> None:
        self._unsent_bytes -= len(self._unsent.popleft())
        if self._unsent:
            self._line.send(self._unsent[0])


class _Line:
    """A connection, made when there is something to send, kept, and made anew where it broke. One batch at a time."""

    def __init__(self, loop: Loop, subscription: Subscription, on_sent: Callable[[], object]) -> None:
        self._loop, self._subscription, self._on_sent = loop, subscription, on_sent
        self._socket: socket.socket | None = None
        self._batch = self._left = b""
        self._is_waiting = False  # for the answer
        self._retry_s = RETRY_FIRST_S
        self._parser = httptools.HttpResponseParser(self)
        self._is_answered = False

    def send(self, batch: bytes) -> None:
        self._batch = batch
        self._begin()

    def _begin(self) -> None:
        self._left = self._message()
        if self._socket is None:
            self._connect()
        else:
            self._write()

    def _message(self) -> bytes:
        asked = self._subscription
        if asked.uri_path is None:
            return self._batch
        head = (
            f"{asked.method} {asked.uri_path} HTTP/1.1\r\nHost: {asked.host}:{asked.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(self._batch)}\r\n\r\n"
        )
        return head.encode() + self._batch

    def _connect(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        failed = sock.connect_ex((ADDRESS, self._subscription.port))
        if failed not in (0, errno.EINPROGRESS):
            sock.close()
            self._again()
            return
        self._socket = sock
        self._loop.watch(sock.fileno(), self._on_event, READ | WRITE)

    def _on_event(self, events: int) -> None:
        if self._socket is None:
            return
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._break()
            return
        if events & ~WRITE:
            self._read()
        if self._socket is not None and events & WRITE:
            self._write()

    def _write(self) -> None:
        if self._socket is None:
            return
        try:
            while self._left:
                self._left = self._left[self._socket.send(self._left) :]
        except BlockingIOError:
            self._loop.change(self._socket.fileno(), READ | WRITE)
            return
        except OSError:
            self._break()
            return
        self._loop.change(self._socket.fileno(), READ)
        if not self._batch:
            return
        if self._subscription.uri_path is None:
            self._taken()
        else:
            self._is_waiting = True

    def _read(self) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(READ_BYTES)
            if data and self._subscription.uri_path is not None:
                self._parser.feed_data(data)
        except BlockingIOError:
            return
        except (OSError, httptools.HttpParserError):
            data = b""
        if not data:
            self._break()
        elif self._is_answered:
            self._answered()

    def on_message_complete(self) -> None:
        self._is_answered = True

    def _answered(self) -> None:
        """The subscriber has said what it made of the batch."""
        self._is_answered = False
        status, keeps = self._parser.get_status_code(), self._parser.should_keep_alive()
        if not keeps or not self._is_waiting:
            self._close()
        if not self._is_waiting:
            return
        if status >= 400:  # it is to be sent again
            self._close()
            self._again()
        else:
            self._taken()

    def _taken(self) -> None:
        self._is_waiting, self._batch, self._retry_s = False, b"", RETRY_FIRST_S
        self._on_sent()

    def _break(self) -> None:
        """The connection is gone; a batch that was not taken is sent again. Of lines, those that had not gone out."""
        if self._subscription.uri_path is None and self._batch:
            gone = len(self._batch) - len(self._left)
            self._batch = self._batch[self._batch.rfind(b"\n", 0, gone) + 1 :]
        self._close()
        if self._batch:
            self._again()

    def _close(self) -> None:
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._parser = httptools.HttpResponseParser(self)

    def _again(self) -> None:
        self._is_waiting = False
        self._loop.after(self._retry_s, self._begin)
        self._retry_s = min(self._retry_s * 2, RETRY_MOST_S)
