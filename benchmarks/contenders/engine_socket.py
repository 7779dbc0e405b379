"""This engine as a service, `engine serve`, over its unix socket, by default settings: billing, logs and limits on."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any, Final

import msgpack

from ..codecs import MessagePackRpc
from ..traffic import RECEIVE_BYTES, Dialogue
from ..work import CODE, PAYLOAD
from .engine_settings import FUNCTION, HANDLER, MEMORY_MB
from .served import Served, python

ANSWER_S: Final = 20.0


class EngineSocket(Served):
    name = "engine-socket"
    title = "engine, socket"

    def command(self, folder: Path, address: Path) -> list[str]:
        where = ["--socket", str(address), "--data", str(folder / "data"), "--http", "none"]
        return python("-m", "engine", "serve", *where)

    def dialogue(self) -> Dialogue:
        return MessagePackRpc(FUNCTION, PAYLOAD, json.loads(PAYLOAD)).dialogue()

    def prepare(self, folder: Path) -> None:
        code = zipped(CODE)
        deployed = {"name": FUNCTION, "code": code, "handler": HANDLER, "memory_mb": MEMORY_MB}
        with self.connect() as connection:
            connection.settimeout(ANSWER_S)
            connection.sendall(msgpack.packb([0, 1, "create_function", [deployed]]))
            answer = msgpack.Unpacker()
            while not (received := list(answer)):
                data = connection.recv(RECEIVE_BYTES)
                if not data:
                    raise ConnectionError("the engine closed the connection on create_function")
                answer.feed(data)
        self._check(received[0])

    def _check(self, answer: Any) -> None:
        if not isinstance(answer, list) or answer[:3] != [1, 1, None]:
            raise RuntimeError(f"create_function was answered with {answer!r}")


def zipped(file: Path) -> bytes:
    """One file, at the top of a zip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(file, file.name)
    return packed.getvalue()
