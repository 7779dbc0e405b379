"""F2: `invoke_stream` of both clients: a stream's bytes are those that its connection brought for it."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from .. import errors
from .._ext.result import InvokeResult
from ..wire.messages import stream_params
from ..wire.streams import BlockingResponseStream, ResponseStream
from ..wire.values import error_from_map
from . import answers
from .link import Link
from .shared import SharedLink

TOO_SLOW = "nothing came of the stream within {:g} s; the function goes on, and what it gives is dropped"


class LinkSource:
    """A stream of the asyncio client."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wait_s: float | None) -> None:
        self.result: InvokeResult | None = None
        self._loop = loop
        self._wait_s = wait_s
        self._news = asyncio.Event()
        self._link: Link | None = None

    async def open(self, link: Link, params: list[object]) -> None:
        """Ask for it."""
        async with asyncio.timeout(self._wait_s):
            self._number, self._answer, self._inflow = await link.open_stream(params, self._news.set)
        self._link = link

    @property
    def content_type(self) -> str | None:
        return self._inflow.content_type

    @property
    def request_id(self) -> str | None:
        return self._inflow.request_id

    @property
    def executed_version(self) -> str | None:
        return self._inflow.executed_version

    async def next(self) -> bytes:
        try:
            async with asyncio.timeout(self._wait_s):
                while not (chunk := self._inflow.take()) and not self._answer.done():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as ended:
            self.discard()
            raise errors.WaitTimeoutError(TOO_SLOW.format(self._wait_s)) from ended
        if not chunk:
            self._end()
        elif self._link is not None and (more := self._inflow.owed()):
            self._link.notify("more", [self._number, more])
        return chunk

    def _end(self) -> None:
        if self._link is not None:
            self._link.forget(self._number)
            self._link = None
        if self._answer.cancelled():
            raise errors.ConnectionLostError("this stream was closed")
        self.result = answers.read(answers.result, self._answer.result())

    def discard(self) -> None:
        link, self._link = self._link, None
        if link is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._let_go, link)

    def _let_go(self, link: Link) -> None:
        if self._number in link.streams:
            link.forget(self._number)
            link.notify("discard", [self._number])

    drop = discard


class SharedSource:
    """A stream of the blocking client."""

    def __init__(self, link: SharedLink, params: list[object], wait_s: float | None) -> None:
        self.result: InvokeResult | None = None
        self._wait_s = wait_s
        self._link = link
        self._stream = link.open_stream(params, self._deadline())

    @property
    def content_type(self) -> str | None:
        return self._stream.inflow.content_type

    @property
    def request_id(self) -> str | None:
        return self._stream.inflow.request_id

    @property
    def executed_version(self) -> str | None:
        return self._stream.inflow.executed_version

    def _deadline(self) -> float | None:
        return None if self._wait_s is None else time.monotonic() + self._wait_s

    def next(self) -> bytes:
        try:
            chunk = self._next()
        except BaseException:
            self.discard()
            raise
        if not chunk:
            self._end()
        elif more := self._stream.inflow.owed():
            self._link.notify("more", self._stream.number, more)
        return chunk

    def _next(self) -> bytes:
        stream, deadline = self._stream, self._deadline()
        while True:
            answered = stream.answer is not None  # looked at first: what came before the answer is there then
            chunk = stream.inflow.take()
            if chunk or answered:
                return chunk
            try:
                self._link.wait_for(stream, deadline)
            except errors.WaitTimeoutError as ended:
                raise errors.WaitTimeoutError(TOO_SLOW.format(self._wait_s)) from ended

    def _end(self) -> None:
        self._link.streams.pop(self._stream.number, None)
        _, error, told = self._stream.answer or (0, None, None)
        if error is not None:
            raise error_from_map(error)
        self.result = answers.read(answers.result, told)

    def discard(self) -> None:
        if self._link.streams.pop(self._stream.number, None) is not None:
            self._link.notify("discard", self._stream.number)

    def drop(self) -> None:
        """No lock can be taken here: the other end is told with the next call."""
        if self._link.streams.pop(self._stream.number, None) is not None:
            self._link.dropped.append(self._stream.number)


class AsynchronousStreams(ABC):
    """`invoke_stream` of the asyncio client."""

    _loop: asyncio.AbstractEventLoop
    _timeout_s: float | None
    _own_trace: Callable[[], str | None]

    @abstractmethod
    async def _usable_link(self) -> Link: ...

    async def invoke_stream(
        self,
        name: str,
        payload: object = None,
        *,
        qualifier: str | None = None,
        client_context: Mapping[str, object] | str | None = None,
        log_tail: bool = False,
        trace_header: str | None = None,
        tenant_id: str | None = None,
        timeout_s: float | None = None,
    ) -> ResponseStream:
        """Run a function and take its answer as it gives it; see `engine.Engine.invoke_stream`.

        timeout_s: how long to wait for each chunk.
        """
        trace = trace_header or self._own_trace()
        params = stream_params(name, payload, qualifier, client_context, log_tail, trace, tenant_id)
        source = LinkSource(self._loop, self._timeout_s if timeout_s is None else timeout_s)
        await source.open(await self._usable_link(), params)
        return await ResponseStream.begun(source)


class BlockingStreams(ABC):
    """`invoke_stream` of the blocking client."""

    _timeout_s: float | None
    _own_trace: Callable[[], str | None]

    @abstractmethod
    def _live(self) -> SharedLink: ...

    def invoke_stream(
        self,
        name: str,
        payload: object = None,
        *,
        qualifier: str | None = None,
        client_context: Mapping[str, object] | str | None = None,
        log_tail: bool = False,
        trace_header: str | None = None,
        tenant_id: str | None = None,
        timeout_s: float | None = None,
    ) -> BlockingResponseStream:
        """Run a function and take its answer as it gives it; see `engine.sync.Engine.invoke_stream`.

        timeout_s: how long to wait for each chunk. For one thread at a time.
        """
        trace = trace_header or self._own_trace()
        params = stream_params(name, payload, qualifier, client_context, log_tail, trace, tenant_id)
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        return BlockingResponseStream.begun(SharedSource(self._live(), params, wait_s))
