"""A stream of any of the engine's ways, behind one blocking face."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from engine import InvokeResult


class Reader:
    """A stream, as it comes from `invoke_stream`. `run` has a coroutine run where the stream belongs."""

    def __init__(self, stream: Any, run: Callable[[Any], Any] | None) -> None:
        self.stream = stream
        self._run = run

    def next(self) -> bytes:
        """One chunk; empty at the end."""
        if self._run is None:
            return next(self.stream, b"")
        chunk: bytes = self._run(anext_or_end(self.stream))
        return chunk

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.next, b"")

    def rest(self) -> bytes:
        return b"".join(self)

    def exactly(self, length: int) -> bytes:
        """So many bytes, which must end where a chunk does."""
        got = b""
        while len(got) < length:
            chunk = self.next()
            assert chunk, got
            got += chunk
        assert len(got) == length
        return got

    def close(self) -> None:
        if self._run is None:
            self.stream.close()
        else:
            self._run(self.stream.aclose())

    @property
    def content_type(self) -> str | None:
        told: str | None = self.stream.content_type
        return told

    @property
    def result(self) -> InvokeResult:
        told = self.stream.result
        assert isinstance(told, InvokeResult)
        return told


async def anext_or_end(stream: Any) -> bytes:
    chunk: bytes = await anext(stream, b"")
    return chunk


def runner(loop: asyncio.AbstractEventLoop) -> Callable[[Any], Any]:
    return lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(120)
