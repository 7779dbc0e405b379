"""This engine on an asyncio program's own loop (uvloop), with default settings: billing, logs and limits on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from engine import Engine, InvokeResult

from ..on_loop import OnLoop
from ..work import CODE, PAYLOAD
from .engine_settings import FUNCTION, HANDLER, MEMORY_MB, answer_of


class EngineAsync(OnLoop[InvokeResult]):
    name = "engine-async"
    title = "engine,\nasync"

    async def start(self) -> None:
        self._engine = await Engine().__aenter__()
        try:
            await self._engine.create_function(FUNCTION, code=CODE, handler=HANDLER, memory_mb=MEMORY_MB)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        await self._engine.__aexit__(None, None, None)

    def asker(self) -> Callable[[], Awaitable[InvokeResult]]:
        return partial(self._engine.invoke, FUNCTION, PAYLOAD)

    def payload_of(self, result: InvokeResult) -> bytes:
        return answer_of(result)
