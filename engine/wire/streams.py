"""F1: a streamed answer as callers hold it, and as a client takes it in. Where its bytes come from is a source's.

A client grants what it has room for: `WINDOW_BYTES` from the start, more as its caller takes what came. So however slow
the caller, no more than that waits for it here, and the rest in the function.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, Generic, Protocol, TypeVar

from .._ext.result import InvokeResult
from ..errors import ConnectionLostError

WINDOW_BYTES: Final = 1_048_576  # that a client has granted when it asks for a stream
CHUNK_BYTES: Final = 262_144  # of one chunk at most
SLACK: Final = 64  # notifications of no bytes that a client takes beside those


class Source(Protocol):
    """What the streams below have in common: `result` is None until the end was given."""

    @property
    def content_type(self) -> str | None: ...

    @property
    def request_id(self) -> str | None: ...

    @property
    def executed_version(self) -> str | None: ...

    @property
    def result(self) -> InvokeResult | None: ...

    def discard(self) -> None:
        """Nobody reads on. Any number of times."""

    def drop(self) -> None:
        """The same from a finalizer: in any thread, whatever that one is about to do."""


class AsyncSource(Source, Protocol):
    async def next(self) -> bytes:
        """The next bytes; empty at the end. Raises what ended it before that."""


class BlockingSource(Source, Protocol):
    def next(self) -> bytes:
        """As of `AsyncSource`."""


S = TypeVar("S", bound=Source)


class _Stream(Generic[S]):
    """What both kinds of stream are."""

    def __init__(self, source: S) -> None:
        self._source = source
        self._first = b""
        self._over = self._closed = False

    @property
    def content_type(self) -> str | None:
        """What the bytes are; None where the function failed before it gave any."""
        return self._source.content_type

    @property
    def request_id(self) -> str | None:
        """Of the invocation."""
        return self._source.request_id or (None if self.result is None else self.result.request_id)

    @property
    def executed_version(self) -> str | None:
        """The version that runs."""
        return self._source.executed_version or (None if self.result is None else self.result.executed_version)

    @property
    def result(self) -> InvokeResult | None:
        """How the invocation ended, once every chunk was taken: its payload is empty, or tells of the failure."""
        return self._source.result if self._over else None

    def _taken(self, chunk: bytes) -> bytes:
        self._over = not chunk
        return chunk

    def _discard(self) -> None:
        if not self._over and not self._closed:
            self._closed = True
            self._source.discard()
        self._first = b""

    def __del__(self) -> None:
        if not self._over and not self._closed:
            self._source.drop()


class ResponseStream(_Stream[AsyncSource]):
    """The answer of an invocation, chunk by chunk, as the function gives it. For `async for`.

    Chunks are what has come meanwhile, not what the handler yielded one by one. A function's failure ends the iteration
    and stands in `result`. Closing it early lets the function run to its end, and drops what it gives.
    """

    @classmethod
    async def begun(cls, source: AsyncSource) -> ResponseStream:
        """Once its first chunk is there, or its end. Raises what kept the function from running."""
        stream = cls(source)
        stream._first = stream._taken(await source.next())
        return stream

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk, self._first = self._first, b""
        if not chunk and not self._over and not self._closed:
            chunk = self._taken(await self._source.next())
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Take no more of it. Idempotent."""
        self._discard()

    async def __aenter__(self) -> ResponseStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class BlockingResponseStream(_Stream[BlockingSource]):
    """The same for `for`. One thread at a time."""

    @classmethod
    def begun(cls, source: BlockingSource) -> BlockingResponseStream:
        """Once its first chunk is there, or its end. Raises what kept the function from running."""
        stream = cls(source)
        stream._first = stream._taken(source.next())
        return stream

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk, self._first = self._first, b""
        if not chunk and not self._over and not self._closed:
            chunk = self._taken(self._source.next())
        if not chunk:
            raise StopIteration
        return chunk

    def close(self) -> None:
        """Take no more of it. Idempotent."""
        self._discard()

    def __enter__(self) -> BlockingResponseStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Inflow:
    """One stream as a client takes it in: what came and was not read yet, and what was granted for more.

    `notices` are the server's notifications as they came; who reads the connection appends them, whoever has the stream
    takes them.
    """

    def __init__(self, server: str) -> None:
        self.content_type: str | None = None
        self.request_id: str | None = None
        self.executed_version: str | None = None
        self.notices: deque[Any] = deque()
        self._server = server
        self._came = self._used = 0
        self._granted = WINDOW_BYTES

    def came(self, notice: Any) -> None:
        """A notification was appended. Raises ConnectionLostError for what goes beyond what was granted."""
        value = notice[2][1]
        if type(value) is bytes:
            self._came += len(value)
        if self._came > self._granted or len(self.notices) > self._granted - self._used + SLACK:
            raise ConnectionLostError(f"{self._server} sent more of a stream than was granted")

    def take(self) -> bytes:
        """The next chunk of those that came; empty where there is none."""
        while self.notices:
            value = self.notices.popleft()[2][1]
            if type(value) is bytes:
                self._used += len(value)
                if value:
                    return value
            elif type(value) is dict:
                self.content_type = _text(value.get("content_type"))
                self.request_id = _text(value.get("request_id"))
                self.executed_version = _text(value.get("executed_version"))
        return b""

    def owed(self) -> int:
        """Bytes to grant now; 0 while what was granted lasts for a while."""
        left = self._granted - self._used
        if left > WINDOW_BYTES // 2:
            return 0
        self._granted += WINDOW_BYTES - left
        return WINDOW_BYTES - left


def _text(given: object) -> str | None:
    return given if isinstance(given, str) else None
