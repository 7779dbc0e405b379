"""The ASGI applications that uvicorn serves in the comparison: the echo, in the server's process and in a pool."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import Any

from .work import WORKERS, serve

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Echo:
    """Answers each request's body by `serve`, in `pool` where there is one, which lives as long as the server."""

    def __init__(self, make_pool: Callable[[], Executor] | None = None) -> None:
        self._make_pool = make_pool
        self._pool: Executor | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._answer(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._pool = self._make_pool() if self._make_pool else None
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        if self._pool is None:
            answer = serve(body)
        else:
            answer = await asyncio.get_running_loop().run_in_executor(self._pool, serve, body)
        length = str(len(answer)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


def _forked_pool() -> Executor:
    return ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("fork"))


hello = Echo()
pooled = Echo(_forked_pool)
