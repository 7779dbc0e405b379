"""F5: InvokeWithResponseStream: what a function writes goes out as it comes, in AWS's event stream encoding.

The socket is waited for before the next piece is asked of the engine, so that a slow reader holds back its function and
not this process's memory. A client that goes away leaves the function running, as in Lambda.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final

import orjson

from .._ext.result import InvokeResult
from ..client.asynchronous import Client
from ..errors import EngineError
from ..wire.streams import ResponseStream
from . import event_stream
from .asgi import Receive, Scope, Send, respond
from .invocations import INVOKE_STREAM, log_result, read_request

KINDS: Final = ("RequestResponse", "DryRun")
CHUNK_TYPE: Final = "application/octet-stream"


async def invoke_with_response_stream(
    client: Client, function: str, scope: Scope, receive: Receive, send: Send
) -> None:
    """Run a function, and send its answer while it runs. Raises as `invocations.invoke`, before anything is sent."""
    asked = await read_request(scope, receive, INVOKE_STREAM, KINDS)
    if asked.invocation_type == "DryRun":
        dry = await client.invoke(
            function, asked.payload, qualifier=asked.qualifier, invocation_type="DryRun", tenant_id=asked.tenant_id
        )
        told = [(b"x-amzn-requestid", dry.request_id.encode())]
        await respond(send, dry.status_code, b"", [*told, (b"x-amz-executed-version", dry.executed_version.encode())])
        return
    stream = await client.invoke_stream(
        function,
        asked.payload,
        qualifier=asked.qualifier,
        client_context=asked.client_context,
        log_tail=asked.log_tail,
        trace_header=asked.trace_header,
        tenant_id=asked.tenant_id,
    )
    async with stream:
        await send({"type": "http.response.start", "status": 200, "headers": _head(stream)})
        try:
            async for piece in stream:
                await send(_part(event_stream.event("PayloadChunk", piece, CHUNK_TYPE), more=True))
            assert stream.result is not None
            last = _complete(stream.result)
        except EngineError as error:  # the engine is gone, and its answer with it
            last = event_stream.exception("ServiceException", orjson.dumps({"Type": "Service", "Message": str(error)}))
        await send(_part(last, more=False))


def _head(stream: ResponseStream) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", event_stream.CONTENT_TYPE.encode())]
    if stream.request_id is not None:
        headers.append((b"x-amzn-requestid", stream.request_id.encode()))
    if stream.executed_version is not None:
        headers.append((b"x-amz-executed-version", stream.executed_version.encode()))
    return headers


def _complete(result: InvokeResult) -> bytes:
    """The last event; ErrorDetails is the error document of a function that failed, whenever that was."""
    told = {}
    if result.function_error:
        told = {"ErrorCode": result.function_error, "ErrorDetails": result.payload.decode("utf-8", "replace")}
    if result.log_tail is not None:
        told["LogResult"] = log_result(result.log_tail).decode()
    return event_stream.event("InvokeComplete", orjson.dumps(told), "application/json")


def _part(body: bytes, *, more: bool) -> MutableMapping[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}
