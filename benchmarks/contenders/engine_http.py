"""This engine behind its gateway: Lambda's Invoke over HTTP, as AWS's own clients send it, without their signatures."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path

from ..codecs import Http
from ..contract import Bound, NotMeasured
from ..traffic import Dialogue
from ..work import PAYLOAD
from .engine_settings import FUNCTION
from .engine_socket import EngineSocket
from .served import LOOK_EVERY_S, READY_S, python


class EngineHttp(EngineSocket):
    name = "engine-http"
    title = "engine, REST Invoke"

    def command(self, folder: Path, address: Path) -> list[str]:
        where = ["--socket", str(address), "--data", str(folder / "data"), "--http", "127.0.0.1:0"]
        return python("-m", "engine", "serve", *where)

    def dialogue(self) -> Dialogue:
        return Http(PAYLOAD, json.loads(PAYLOAD), f"/2015-03-31/functions/{FUNCTION}/invocations").dialogue()

    def open(self) -> None:
        self._port: int | None = None
        super().open()

    def prepare(self, folder: Path) -> None:
        super().prepare(folder)
        self._port = self._said_port()

    def connect(self) -> socket.socket:
        """By the protocol until the function is there."""
        if self._port is None:
            return super().connect()
        connected = socket.create_connection(("127.0.0.1", self._port))
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected

    def _said_port(self) -> int:
        """Which the system chose: the service says it once its gateway serves."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if said := re.search(rb"http://127\.0\.0\.1:(\d+)", self._log.read_bytes()):
                return int(said[1])
            time.sleep(LOOK_EVERY_S)
        raise RuntimeError(f"the service does not say where it serves HTTP within {READY_S:.0f} s")

    def pipeline(self, outstanding: int, bound: Bound) -> int:
        raise NotMeasured("HTTP clients keep one call in flight per connection")
