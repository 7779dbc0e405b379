"""Who sends events and remembers which were accepted, and who is told of each run of one, from inside its sandbox."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Set
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
from serving import PATIENCE_S

LOST = (ConnectionResetError, BrokenPipeError)
READ_BYTES = 1 << 20
LONG_EVERY, LONG_BYTES = 256, 50_000  # now and then an event that fills buffers


class Progress:
    """Counts what was accepted and what was run for the first time, so that a kill can come after so much."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.count = 0
        self.wrong: list[object] = []  # what nobody expected, which ends the wait

    def add(self, more: int) -> None:
        with self.changed:
            self.count += more
            self.changed.notify_all()

    def fail(self, what: object) -> None:
        with self.changed:
            self.wrong.append(what)
            self.changed.notify_all()

    def wait_for(self, count: int) -> None:
        """Until there is so much. Something must happen within PATIENCE_S."""
        with self.changed:
            while self.count < count:
                before = self.count
                self.changed.wait_for(lambda: self.wrong or self.count > before, PATIENCE_S)  # noqa: B023
                assert self.wrong == []
                assert self.count > before, f"{before} of {count}, and nothing happens"


class Run(NamedTuple):
    """An event was run, in that life of the service, and somebody else was told of it then."""

    number: int
    request_id: str
    life: int
    monotonic_ns: int


class Collector:
    """Is told of every run before it ends, over TCP, which sandboxed functions have; tells lives of a service apart."""

    def __init__(self, progress: Progress) -> None:
        self.runs: list[Run] = []
        self.life = 0
        self._seen: set[int] = set()
        self._progress = progress
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address = "{}:{}".format(*self._listener.getsockname())
        self._end, self._ended = socket.socketpair()
        self._epoll = select.epoll()
        self._connections: dict[int, socket.socket] = {}
        self._halves: dict[int, bytes] = {}
        self._came: set[Any] = set()  # addresses that connections came from
        self._held: list[socket.socket] | None = None  # that wait for a word
        self._changed = threading.Condition()
        for source in (self._listener, self._ended):
            self._epoll.register(source, select.EPOLLIN)
        self._thread = threading.Thread(target=self._collect, name="collector")
        self._thread.start()

    def next_life(self) -> None:
        """All environments of this life are dead: take what they had said, and count from now on for the next.

        Connections come in order, so once one of our own has come so have all of theirs.
        """
        with socket.create_connection(self._listener.getsockname()) as own:
            came = own.getsockname()
        with self._changed:
            over = self._changed.wait_for(lambda: came in self._came and not self._connections, PATIENCE_S)
            assert over, f"{len(self._connections)} environments are still connected"
            self.life += 1

    def hold(self) -> None:
        """Have every run from now on wait for `release`."""
        with self._changed:
            self._held = []

    def release(self) -> None:
        with self._changed:
            held, self._held = self._held or [], None
            for connection in held:
                _let_go(connection, 1)

    def wait_for_runs_of(self, numbers: Set[int]) -> None:
        """Until every one of these has run."""
        while True:
            before = self._progress.count
            missing = numbers - self._seen
            if not missing:
                return
            self._progress.wait_for(before + len(missing))  # others may run meanwhile: then there is more to wait for

    def close(self) -> None:
        self._end.close()
        self._thread.join(PATIENCE_S)
        self._epoll.close()
        for source in (self._listener, self._ended, *self._connections.values()):
            source.close()

    def _collect(self) -> None:
        while True:
            for fd, _ in self._epoll.poll():
                if fd == self._ended.fileno():
                    return
                if fd == self._listener.fileno():
                    self._accept()
                else:
                    self._hear(fd)

    def _accept(self) -> None:
        connection, address = self._listener.accept()
        with self._changed:
            self._came.add(address)
            self._connections[connection.fileno()] = connection
            self._halves[connection.fileno()] = b""
            self._changed.notify_all()
        self._epoll.register(connection, select.EPOLLIN)

    def _hear(self, fd: int) -> None:
        connection = self._connections[fd]
        try:
            data = connection.recv(READ_BYTES)
        except LOST:
            data = b""
        if not data:
            self._epoll.unregister(fd)
            with self._changed:
                self._connections.pop(fd).close()
                self._changed.notify_all()
            return
        *lines, self._halves[fd] = (self._halves[fd] + data).split(b"\n")
        before = len(self._seen)
        now_ns = time.monotonic_ns()
        for line in lines:
            number, request_id = line.decode().split()
            self.runs.append(Run(int(number), request_id, self.life, now_ns))
            self._seen.add(int(number))
        with self._changed:
            if self._held is None:
                _let_go(connection, len(lines))
            else:
                self._held += [connection] * len(lines)
        self._progress.add(len(self._seen) - before)


def _let_go(connection: socket.socket, runs: int) -> None:
    try:
        connection.sendall(b"." * runs)
    except OSError:
        pass  # killed meanwhile: it was told of this run all the same


class Book:
    """What was sent over all lives of a service, under ever new numbers, and the request ids of what was accepted."""

    def __init__(self, progress: Progress) -> None:
        self.sent = 0
        self.accepted: dict[int, str] = {}
        self.lives: list[tuple[int, int]] = []  # from which number on, and in which life
        self.progress = progress


class EventSender(threading.Thread):
    """One connection with `window` events on their way, until so many as are wanted are accepted or the service is
    gone. What was not answered then is not sent again, others are: so each number is sent once."""

    def __init__(self, path: Path, function: str, book: Book, life: int, until: int, window: int) -> None:
        super().__init__(name="sender")
        self._function, self._book, self._until, self._window = function, book, until, window
        self._under_way = 0
        self._packer = msgpack.Packer()
        self._unpacker = msgpack.Unpacker(raw=False)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect(str(path))
        book.lives.append((book.sent, life))

    def run(self) -> None:
        try:
            while (wanted := self._until - len(self._book.accepted)) > 0:
                self._send(min(self._window, wanted) - self._under_way)
                data = self._socket.recv(READ_BYTES)
                if not data:
                    return
                self._note(data)
        except LOST:
            pass
        except OSError as error:
            self._book.progress.fail(repr(error))
        finally:
            self._socket.close()

    def _send(self, many: int) -> None:
        first = self._book.sent
        self._book.sent += many
        self._under_way += many
        self._socket.sendall(b"".join(self._packer.pack(self._request(first + more)) for more in range(many)))

    def _request(self, number: int) -> list[Any]:
        padding = b"x" * (LONG_BYTES if number % LONG_EVERY == 0 else 0)
        payload = b'{"number":%d,"padding":"%s"}' % (number, padding)
        return [0, number, "invoke", [self._function, payload, {"invocation_type": "Event"}]]

    def _note(self, data: bytes) -> None:
        self._unpacker.feed(data)
        accepted = 0
        for _, number, error, result in self._unpacker:
            self._under_way -= 1
            if error is None and result["status_code"] == 202:
                self._book.accepted[number] = result["request_id"]
                accepted += 1
            else:
                self._book.progress.fail((number, error, result))
        self._book.progress.add(accepted)
