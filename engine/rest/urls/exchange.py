"""F5: one answer of a function URL on its way out, whole or in pieces, in ASGI's terms."""

from __future__ import annotations

from typing import Final

from ..asgi import Send
from .answer import Headers, UrlAnswer

BODILESS: Final = frozenset({204, 304})


class Exchange:
    """Headers that any answer of its URL has are `added`. A body is held back where HTTP allows none."""

    def __init__(self, send: Send, request_id: str, trace_id: str) -> None:
        self.request_id = request_id
        self.trace_id = trace_id
        self.added: Headers = ()
        self._send = send
        self._bodiless = False

    async def answer(self, answer: UrlAnswer) -> None:
        """A whole one."""
        await self.start(answer.status, answer.headers, len(answer.body))
        await self._send({"type": "http.response.body", "body": b"" if self._bodiless else answer.body})

    async def start(self, status: int, headers: Headers, length: int | None = None) -> None:
        own = (("x-amzn-requestid", self.request_id), ("x-amzn-trace-id", self.trace_id))
        told = [(name.encode(), _bytes(value)) for name, value in (*headers, *self.added, *own)]
        self._bodiless = status in BODILESS
        if length is not None and not self._bodiless:
            told.append((b"content-length", b"%d" % length))
        await self._send({"type": "http.response.start", "status": status, "headers": told})

    async def write(self, piece: bytes) -> None:
        if piece and not self._bodiless:
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})


def _bytes(value: str) -> bytes:
    """Latin-1, as HTTP has it; what is not in there as UTF-8, which clients guess."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace")
