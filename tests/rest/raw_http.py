"""HTTP by hand: requests of any bytes on one connection, and what came back. Waiting for an answer is bounded."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from io import BufferedReader
from typing import Any, cast

PATIENCE_S = 60


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # by lower-case name
    body: bytes


class _Reader:
    """A connection's bytes, for one answer behind another: what is read ahead belongs to the next."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file

    def makefile(self, _mode: str) -> _Reader:
        return self

    def close(self) -> None:
        """It stays open for the next."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class RawHttp:
    """One connection, opened again when it is needed after the server has ended it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._file: BufferedReader | None = None

    def __enter__(self) -> RawHttp:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._file is not None and self._socket is not None:
            self._file.close()
            self._socket.close()
        self._socket = self._file = None

    @property
    def socket(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), PATIENCE_S)
            self._file = self._socket.makefile("rb")
        return self._socket

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_line(self) -> bytes:
        assert self._file is not None
        return self._file.readline()

    def read(self) -> bytes:
        """What comes until the server ends the connection."""
        assert self._file is not None
        return self._file.read()

    def hear(self, method: str = "GET") -> Answer:
        """The next answer, whole. TimeoutError where none comes."""
        assert self._file is not None
        response = HTTPResponse(cast(socket.socket, _Reader(self._file)), method=method)
        try:
            response.begin()
            body = response.read()
            headers = {name.lower(): value for name, value in response.getheaders()}
            if response.will_close:
                self.close()
            return Answer(response.status, headers, body)
        finally:
            response.close()

    def ask(self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        """Send a request and hear its answer. What the target holds is sent as it is."""
        whole = {"Host": f"127.0.0.1:{self._port}", "Content-Length": str(len(body)), **(headers or {})}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in whole.items()), "", ""]
        self.say("\r\n".join(lines).encode("latin-1", "replace") + body)
        return self.hear(method)
