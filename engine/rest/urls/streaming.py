"""F5: streamed answers of function URLs (`RESPONSE_STREAM`): each piece to the socket as the function gives it.

The socket is waited for before the next piece is asked of the engine, so a slow reader holds back its function and not
this process's memory. Once the head is sent, a failure can only be told by an end without the last chunk, which every
HTTP client takes for an error.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ...client.asynchronous import Client
from ...errors import EngineError
from ...wire.streams import ResponseStream
from ..asgi import Receive
from .answer import BYTES_TYPE, FunctionFailedError, Head
from .exchange import Exchange
from .lookup import FunctionUrl
from .prelude import CONTENT_TYPE, PreludeReader

log = logging.getLogger("engine.rest")


async def stream_answer(client: Client, url: FunctionUrl, payload: bytes, receive: Receive, exchange: Exchange) -> None:
    """Invoke, and answer. Raises FunctionFailedError, MalformedAnswerError and refusals as long as nothing is sent."""
    stream = await client.invoke_stream(url.function, payload, qualifier=url.alias, trace_header=exchange.trace_id)
    async with stream:
        (status, headers), piece = await opening(stream)
        await exchange.start(status, headers)
        left = asyncio.ensure_future(receive())
        try:
            whole = await _copy(stream, piece, left, exchange)
        except EngineError as error:
            log.warning("the streamed answer of %s breaks off: %s", url.key, error)
            return
        finally:
            left.cancel()
    if whole:
        await exchange.end()


async def opening(stream: ResponseStream) -> tuple[Head, bytes]:
    """The head of a streamed response, and what of its body came with it. Raises what makes it a 502."""
    if (stream.content_type or "").partition(";")[0].strip().lower() == CONTENT_TYPE:
        reader = PreludeReader()
        async for piece in stream:
            rest = reader.feed(piece)
            if reader.head is not None:
                return reader.head, rest
        _check_success(stream)
        reader.end()
    head = 200, (("content-type", stream.content_type or BYTES_TYPE),)
    async for piece in stream:
        return head, piece
    _check_success(stream)
    return head, b""


def _check_success(stream: ResponseStream) -> None:
    if stream.result is not None and stream.result.function_error:
        raise FunctionFailedError(stream.result.function_error)


async def _copy(stream: ResponseStream, piece: bytes, left: asyncio.Future[Any], exchange: Exchange) -> bool:
    """Whether all of it was given and the function succeeded. `left` is done once the client has gone away."""
    await exchange.write(piece)
    async for following in stream:
        if left.done():
            return False
        await exchange.write(following)
    return stream.result is not None and not stream.result.function_error
