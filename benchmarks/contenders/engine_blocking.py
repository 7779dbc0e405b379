"""This engine through its blocking API, with default settings: billing, logs and limits on."""

from __future__ import annotations

from engine.sync import Engine

from ..contract import Contender
from ..work import CODE, PAYLOAD
from .engine_settings import FUNCTION, HANDLER, MEMORY_MB, answer_of


class EngineBlocking(Contender):
    name = "engine"
    title = "engine,\nblocking"

    def open(self) -> None:
        self._engine = Engine().__enter__()
        try:
            self._engine.create_function(FUNCTION, code=CODE, handler=HANDLER, memory_mb=MEMORY_MB)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._engine.__exit__(None, None, None)

    def call(self) -> bytes:
        return answer_of(self._engine.invoke(FUNCTION, PAYLOAD))
