"""F1: a process that keeps events: `event_db` behind a socket. Writes that wait together are committed together.

A process of its own, because a commit and the reading of a backlog hold neither the event loop nor the interpreter lock
of who accepts events, and because it may be killed: whoever speaks to it starts another and repeats what had no answer.

Requests are `[id, method, arguments]`, answers `[id, error or nil, result]`, as MessagePack, in order. It is started as
`event_keeper.py PACKAGE_PARENT FD DATABASE`, and ends when the other end of the socket is closed.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.store.event_store import EventStore

READ_BYTES = 1 << 20
TOGETHER_BYTES = 16 << 20  # what is taken off the socket before the commit
METHODS = ("opening", "next_events", "due_events", "due_parcels", "oldest_ms")


class Keeper:
    """Serves one connection. `failures` are the exceptions that the other end is told of."""

    def __init__(self, connected: socket.socket, store: EventStore, failures: tuple[type[Exception], ...]) -> None:
        import msgpack

        self._failures = failures

        self._socket = connected
        self._store = store
        self._unpacker = msgpack.Unpacker(raw=False, max_buffer_size=0, strict_map_key=False)
        self._packer = msgpack.Packer()

    def serve(self) -> None:
        """Until the other end is closed."""
        for requests in self._gatherings():
            answers: list[bytes] = []
            writes: list[Any] = []
            for request in requests:
                if request[1] == "write":
                    writes.append(request)
                    continue
                self._write(writes, answers)
                writes = []
                answers.append(self._answer(request))
            self._write(writes, answers)
            self._socket.sendall(b"".join(answers))

    def _gatherings(self) -> Iterator[list[Any]]:
        """What has come since the last one: at least one request."""
        while True:
            length = self._receive(0)
            while 0 < length < TOGETHER_BYTES:
                more = self._receive(socket.MSG_DONTWAIT)
                if more == 0:
                    break
                length += more
            if length == 0:
                return
            requests = list(self._unpacker)
            if requests:
                yield requests

    def _receive(self, flags: int) -> int:
        try:
            data = self._socket.recv(READ_BYTES, flags)
        except (BlockingIOError, ConnectionError):
            return 0
        self._unpacker.feed(data)
        return len(data)

    def _write(self, requests: list[Any], answers: list[bytes]) -> None:
        """All in one transaction; where that fails each in one of its own, so that it is told which do."""
        if not requests:
            return
        try:
            self._store.write([step for request in requests for step in request[2]])
            answers += [self._packer.pack([request[0], None, None]) for request in requests]
        except self._failures as error:
            if len(requests) == 1:
                answers.append(self._packer.pack([requests[0][0], str(error), None]))
                return
            for request in requests:
                self._write([request], answers)

    def _answer(self, request: Any) -> bytes:
        number, method, arguments = request
        try:
            if method not in METHODS:
                raise ValueError(f"a keeper has no method {method!r}")
            answer: bytes = self._packer.pack([number, None, getattr(self._store, method)(*arguments)])
        except self._failures as error:
            answer = self._packer.pack([number, str(error), None])
        return answer


def main(arguments: list[str]) -> int:
    """Open, serve, close. Exit status 1 where the file cannot be opened; the first answer says why."""
    parent, fd, path = arguments
    sys.path.append(parent)
    import msgpack

    from engine.errors import EngineError
    from engine.store.event_db import EventDb

    with socket.socket(fileno=int(fd)) as connected:
        try:
            store = EventDb(Path(path))
        except EngineError as error:
            connected.sendall(msgpack.packb([0, str(error), None]))
            return 1
        try:
            Keeper(connected, store, (EngineError, ValueError, TypeError, KeyError)).serve()
        except ConnectionError:  # whoever asked is gone
            return 0
        finally:
            store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
