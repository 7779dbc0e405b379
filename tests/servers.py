"""The service in a process of its own, and a way to it that can be cut, for tests of what talks to it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

COMMAND = [sys.executable, "-P", "-m", "engine"]


@contextmanager
def service(
    folder: Path, *options: str, socket_path: Path | None = None, stderr: IO[str] | None = None
) -> Iterator[list[str]]:
    """The addresses at which `engine serve` serves; it ends with the block, by SIGTERM, and must end well."""
    path = socket_path or folder / "service.sock"
    command = [*COMMAND, "serve", "--data", str(folder / "data"), "--socket", str(path), "--http", "none", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            assert " ready, pid " in said, said
            yield said.partition(": ")[2].split()
        finally:
            process.terminate()
            status = process.wait(60)
    assert status == 0


class Passage:
    """Passes a client's bytes on to a server and back, until it is cut. Each connection has two threads."""

    def __init__(self, path: Path, to: str) -> None:
        self.address = f"unix:{path}"
        self._to = to.removeprefix("unix:")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def __enter__(self) -> Passage:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join(30)
        for end in [self._listener, *self._ends]:
            end.close()

    def cut(self) -> None:
        """End every connection there is."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def say(self, data: bytes) -> None:
        """Bytes to the newest client, as if they were the server's."""
        self._ends[-2].sendall(data)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._to)
                self._ends += [near, far]
                self._start(self._pump, near, far)
                self._start(self._pump, far, near)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
