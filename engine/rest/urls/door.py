"""F5: requests for function URLs: who may, what the function gets, and its answer on its way to the socket."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from dataclasses import replace
from typing import Final

import orjson

from ... import config
from ...client.asynchronous import Client
from ...errors import EngineError
from ..asgi import Receive, Scope, Send, read_body
from ..call import Place
from . import cors
from .access import caller_of
from .address import UrlHost, host_of
from .answer import (
    FunctionFailedError,
    MalformedAnswerError,
    answer_of,
    failed,
    forbidden,
    refusal,
    told,
    unknown,
)
from .event import Caller, UrlRequest, event_of, new_trace_id
from .exchange import Exchange
from .lookup import FunctionUrl, UrlLookup
from .streaming import stream_answer

SIGN: Final = b".lambda-url."
TRACE_MAX: Final = 2_048
ON_LOOP_BYTES: Final = 65_536  # what is converted without a thread

log = logging.getLogger("engine.rest")


class UrlDoor:
    """Serves the function URLs of one engine."""

    def __init__(self, client: Client, place: Place) -> None:
        self._client = client
        self._place = place
        self._lookup = UrlLookup(client)

    async def serve(self, host: UrlHost, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Raises ClientLeft."""
        request, trace_id = _request(scope), _trace_id(scope)
        exchange = Exchange(send, str(uuid.uuid4()), trace_id)
        try:
            url = await self._lookup.find(host.url_id) if host.region == self._place.region else None
            if url is None:
                await exchange.answer(unknown())
                return
            if url.cors:
                exchange.added = cors.cors_headers(url.cors, request)
            await self._serve(url, host, request, receive, exchange)
        except (MalformedAnswerError, FunctionFailedError) as error:
            log.info("a function URL answers 502: %s", error)
            await exchange.answer(failed())
        except EngineError as error:
            await exchange.answer(refusal(error))

    async def _serve(
        self, url: FunctionUrl, host: UrlHost, request: UrlRequest, receive: Receive, exchange: Exchange
    ) -> None:
        if url.cors and cors.is_preflight(request):
            exchange.added = ()
            await exchange.answer(cors.preflight_answer(url.cors, request))
            return
        caller = caller_of(request, self._place.account_id) if url.auth_type == "AWS_IAM" else None
        if url.auth_type == "AWS_IAM" and caller is None:
            await exchange.answer(forbidden())
            return
        if (request.header("upgrade") or "").lower() == "websocket":
            await exchange.answer(told(400, "Function URLs do not serve WebSocket", "BadRequestException"))
            return
        body = await read_body(receive, config.EVENT_MAX_BYTES, "InvokeFunction")
        payload = await self._payload(replace(request, body=body), host, exchange, caller)
        if url.invoke_mode == "RESPONSE_STREAM":
            await stream_answer(self._client, url, payload, receive, exchange)
        else:
            await self._buffer(url, payload, exchange)

    async def _payload(self, request: UrlRequest, host: UrlHost, exchange: Exchange, caller: Caller | None) -> bytes:
        """The event, as JSON."""
        now_ms = time.time_ns() // 1_000_000
        request_id, trace_id = exchange.request_id, exchange.trace_id

        def made() -> bytes:
            return orjson.dumps(
                event_of(request, host, request_id=request_id, trace_id=trace_id, now_ms=now_ms, caller=caller)
            )

        return made() if len(request.body) <= ON_LOOP_BYTES else await asyncio.to_thread(made)

    async def _buffer(self, url: FunctionUrl, payload: bytes, exchange: Exchange) -> None:
        result = await self._client.invoke(url.function, payload, qualifier=url.alias, trace_header=exchange.trace_id)
        exchange.request_id = result.request_id
        if result.function_error:
            raise FunctionFailedError(f"{url.key}: {result.function_error}")
        given = result.payload
        small = len(given) <= ON_LOOP_BYTES
        await exchange.answer(answer_of(given) if small else await asyncio.to_thread(answer_of, given))


def url_host(headers: list[tuple[bytes, bytes]]) -> UrlHost | None:
    """The function URL that a request's Host names. None: it is none's."""
    for name, value in headers:
        if name == b"host":
            return host_of(value.decode("latin-1")) if SIGN in value.lower() else None
    return None


def _request(scope: Scope) -> UrlRequest:
    """A request without its body."""
    client, server = scope.get("client") or ("", 0), scope.get("server") or ("", 80)
    return UrlRequest(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1") or "/",
        query=scope["query_string"].decode("latin-1"),
        headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]),
        protocol=f"HTTP/{scope['http_version']}",
        source_ip=client[0],
        port=server[1] or 80,
        scheme=scope.get("scheme", "http"),
    )


def _trace_id(scope: Scope) -> str:
    """The request's own, where it is one that the engine takes."""
    for name, value in scope["headers"]:
        if name == b"x-amzn-trace-id":
            text = str(value.decode("latin-1"))
            if text and len(text) <= TRACE_MAX and text.isascii() and text.isprintable():
                return text
    return new_trace_id(time.time_ns() // 1_000_000)
