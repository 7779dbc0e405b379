"""F3: streamed answers of an engine in this process, for whoever reads them: on its loop, or in a thread that waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .._ext.flow import Flow
from .._ext.result import InvokeResult
from ..wire.streams import CHUNK_BYTES


class FlowSource:
    """What both ways of reading have in common."""

    def __init__(self) -> None:
        self.flow = Flow()

    @property
    def content_type(self) -> str | None:
        return self.flow.content_type

    @property
    def request_id(self) -> str | None:
        return self.flow.request_id

    @property
    def executed_version(self) -> str | None:
        return self.flow.executed_version

    @property
    def result(self) -> InvokeResult | None:
        return self.flow.result

    def discard(self) -> None:
        self.flow.discard()

    drop = discard

    def _ended(self) -> bool:
        """Whether all of it was read. Raises what ended it without a result."""
        if self.flow.at_end and self.flow.error is not None:
            raise self.flow.error
        return self.flow.at_end


class LoopSource(FlowSource):
    """On the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._news: asyncio.Future[None] | None = None
        self.flow.listener = self._told

    def _told(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def next(self) -> bytes:
        while not (chunk := self.flow.take(CHUNK_BYTES)) and not self._ended():
            self._news = self._loop.create_future()
            try:
                await self._news
            finally:
                self._news = None
        return chunk


class ThreadSource(FlowSource):
    """In any thread. `wait` returns when there may be more of a flow."""

    def __init__(self) -> None:
        super().__init__()
        self.wait: Callable[[Flow], object] = lambda flow: None

    def next(self) -> bytes:
        while not (chunk := self.flow.take(CHUNK_BYTES)) and not self._ended():
            self.wait(self.flow)
        return chunk
