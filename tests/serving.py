"""A service in a process of its own, and the barest client there is: a socket and MessagePack."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import msgpack

PATIENCE_S = 60.0
COMMAND = [sys.executable, "-P", "-m", "engine"]

CODE = """
import socket

def echo(event, context):
    return event

def waits(event, context):
    with socket.create_connection(event) as gate:
        gate.recv(1)

def long(event, context):
    return "x" * event["length"]

def fails(event, context):
    raise ValueError(event["why"])
"""


class Raw:
    """One connection: messages out, messages in, nothing hidden."""

    def __init__(self, path: Path | str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self._unpacker = msgpack.Unpacker(raw=False, max_buffer_size=1 << 30)
        self._last = 0

    def say(self, *messages: Any) -> None:
        self.socket.sendall(b"".join(map(msgpack.packb, messages)))

    def hear(self) -> Any:
        """The next message. EOFError at the connection's end."""
        while True:
            for message in self._unpacker:
                return message
            data = self.socket.recv(1 << 20)
            if not data:
                raise EOFError
            self._unpacker.feed(data)

    def call(self, method: str, *params: Any) -> Any:
        """A result; an error map is raised as LookupError."""
        self._last += 1
        self.say([0, self._last, method, list(params)])
        kind, number, error, result = self.hear()
        assert (kind, number) == (1, self._last)
        if error is not None:
            raise LookupError(error)
        return result

    def deploy(self, name: str, handler: str = "echo", **settings: Any) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("app.py", CODE)
        given = {"memory_mb": 1_769, "timeout_s": 60, **settings}
        self.call("create_function", {"name": name, "code": packed.getvalue(), "handler": f"app.{handler}", **given})

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Service:
    """`engine serve`, started and ended as often as a test likes, on one data folder and one socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "service.sock"
        self.process: subprocess.Popen[str] | None = None
        self.said = ""

    def begin(self, *options: str, **environment: str) -> subprocess.Popen[str]:
        """Start it, and do not wait until it serves."""
        command = [
            *COMMAND,
            "serve",
            "--data",
            str(self.folder / "data"),
            "--socket",
            str(self.path),
            "--http",
            "none",
            *options,
        ]
        env = {**os.environ, **environment}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        return self.process

    def start(self, *options: str, **environment: str) -> Service:
        process = self.begin(*options, **environment)
        assert process.stdout is not None
        self.said = process.stdout.readline()
        assert " ready, pid " in self.said
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def connect(self) -> Raw:
        return Raw(self.path)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit status."""
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        self.process = None
        return status

    def end_if_running(self) -> None:
        if self.process is not None:
            self.end()
