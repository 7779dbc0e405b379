"""A contender in a process of its own behind a unix socket: started, waited for, spoken to, ended by pid."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from engine.load.cpu import tree_cpu_s

from .. import traffic
from ..contract import Bound, Contender
from ..source_tree import ROOT
from ..traffic import Connection, Dialogue
from ..work import PAYLOAD

CONNECTIONS: Final = 64
READY_S: Final = 20.0
END_S: Final = 10.0
LOOK_EVERY_S: Final = 0.01
LOG_SHOWN_BYTES: Final = 1_000


class Served(Contender):
    """Its `CONNECTIONS` connections are open before anything is measured; the first is the blocking client's."""

    @abstractmethod
    def command(self, folder: Path, address: Path) -> list[str]:
        """What starts the server in the foreground, listening on `address`."""

    @abstractmethod
    def dialogue(self) -> Dialogue:
        """A new connection's dialogue."""

    def prepare(self, folder: Path) -> None:
        """What has to be said before the first call."""

    def open(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="engine-bench-")
        self._process: subprocess.Popen[bytes] | None = None
        self.connections: list[Connection] = []
        try:
            self._start(Path(self._folder.name))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        try:
            for connection in self.connections:
                connection.socket.close()
            if self._process is not None:
                self._end(self._process)
        finally:
            self._folder.cleanup()

    def call(self) -> bytes:
        traffic.call(self.connections[0])
        return PAYLOAD

    def timed(self, bound: Bound, pause_s: float = 0.0) -> list[int]:
        return traffic.one_after_the_other(self.connections[0], bound, pause_s)

    def flood(self, outstanding: int, bound: Bound) -> int:
        return traffic.one_each(self.connections[:outstanding], bound)

    def pipeline(self, outstanding: int, bound: Bound) -> int:
        return traffic.pipelined(self.connections[0], outstanding, bound)

    @property
    def pid(self) -> int:
        """Of the server, once it is open."""
        assert self._process is not None
        return self._process.pid

    def cpu_s(self) -> float:
        return tree_cpu_s(self.pid)

    def connect(self) -> socket.socket:
        """A new connection. Raises OSError where nobody listens."""
        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.connect(str(self.address))
        except BaseException:
            connected.close()
            raise
        return connected

    def _start(self, folder: Path) -> None:
        self.address, self._log = folder / "server.sock", folder / "server.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command(folder, self.address),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env={**os.environ, **search_path()},
            )  # fmt: skip
        self._wait_until_it_listens(self._process)
        self.prepare(folder)
        for _ in range(CONNECTIONS):
            self.connections.append(Connection(self.connect(), self.dialogue()))

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_S
        while process.poll() is None and time.monotonic() < deadline:
            try:
                self.connect().close()
            except OSError:
                time.sleep(LOOK_EVERY_S)
            else:
                return
        state = "does not listen" if process.returncode is None else f"ended with status {process.returncode}"
        said = self._log.read_bytes()[-LOG_SHOWN_BYTES:].decode(errors="replace").strip()
        raise RuntimeError(f"the server {state}; it said: {said}")

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            below = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            process.wait()
            _kill(below)
            raise RuntimeError(f"the server did not end within {END_S:.0f} s of SIGTERM and was killed") from None


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            pass  # its parent's end was its own
    psutil.wait_procs(processes, END_S)


def search_path() -> Mapping[str, str]:
    """Has a child of this interpreter find the engine that is measured here, and this package."""
    import engine

    assert engine.__file__ is not None
    found = (str(Path(engine.__file__).parent.parent), str(ROOT))
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(found)), "PYTHONSAFEPATH": "1"}


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]
