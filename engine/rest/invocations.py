"""F5: Invoke and InvokeAsync: the hot path of the gateway, by hand where everything else follows the service model.

Finding and reading the request and writing the answer by the model would cost 10 µs more, a fifth of a request's time.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

import orjson

from .. import config
from .._ext.result import InvokeResult
from ..client.asynchronous import Client
from ..errors import InvalidRequestContentException
from ..validation import choice_problem, refuse
from .asgi import JSON, Receive, Scope, Send, read_body, read_query, respond

INVOKE, INVOKE_ASYNC, INVOKE_STREAM = "Invoke", "InvokeAsync", "InvokeWithResponseStream"
# Those of the model that are served here and have no handler, with what is to be said of them.
OPERATIONS: Final[Mapping[str, str]] = {
    INVOKE: "All invocation types.",
    INVOKE_ASYNC: "Deprecated by Lambda: use Invoke.",
    INVOKE_STREAM: "Handlers stream by being generators.",
}
START: Final = b"/2015-03-31/functions/"
END: Final = b"/invocations"
INVOCATION_TYPES: Final = ("Event", "RequestResponse", "DryRun")
LOG_TYPES: Final = ("None", "Tail")
REMAPPED: Final = (b"x-amzn-remapped-content-length", b"0")


def function_of(raw_path: bytes) -> str | None:
    """The function that a path invokes; None where it is the path of something else."""
    if not (raw_path.startswith(START) and raw_path.endswith(END)):
        return None
    name = raw_path[len(START) : -len(END)]
    if b"%" in name:
        name = unquote_to_bytes(name)
    elif b"/" in name:
        return None
    return name.decode("utf-8", "backslashreplace")


async def invoke(client: Client, function: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Run a function and answer as Lambda does. Raises what the engine refuses it with."""
    asked = await read_request(scope, receive, "InvokeFunction", INVOCATION_TYPES)
    result = await client.invoke(
        function,
        asked.payload,
        qualifier=asked.qualifier,
        invocation_type=asked.invocation_type,  # type: ignore[arg-type]
        client_context=asked.client_context,
        log_tail=asked.log_tail,
        trace_header=asked.trace_header,
        tenant_id=asked.tenant_id,
    )
    await respond(send, result.status_code, result.payload, answer_headers(result))


async def invoke_async(client: Client, function: str, receive: Receive, send: Send) -> None:
    """The deprecated InvokeAsync: an event, accepted with 202."""
    body = await read_body(receive, config.ASYNC_EVENT_MAX_BYTES, "InvokeAsync")
    check_json(body)
    accepted = await client.invoke(function, body, invocation_type="Event")
    await respond(send, 202, b"", [(b"x-amzn-requestid", accepted.request_id.encode())])


class Asked(NamedTuple):
    """What a request for an invocation says."""

    payload: bytes | None
    qualifier: str | None
    invocation_type: str
    client_context: str | None
    log_tail: bool
    trace_header: str | None
    tenant_id: str | None


async def read_request(scope: Scope, receive: Receive, what: str, kinds: tuple[str, ...]) -> Asked:
    """Raises InvalidRequestContentException, RequestTooLargeException, ValidationException."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    body = await read_body(receive, config.EVENT_MAX_BYTES, what)
    if body:
        check_json(body)
    kind = headers.get(b"x-amz-invocation-type", b"RequestResponse").decode("latin-1")
    log_type = headers.get(b"x-amz-log-type", b"None").decode("latin-1")
    if kind not in kinds or log_type not in LOG_TYPES:
        refuse(choice_problem(kind, "invocationType", kinds), choice_problem(log_type, "logType", LOG_TYPES))
    query = scope["query_string"]
    return Asked(
        body or None,
        qualifier_of(query) if query else None,
        kind,
        _text(headers.get(b"x-amz-client-context")),
        log_type == "Tail" and kind == "RequestResponse",
        _text(headers.get(b"x-amzn-trace-id")),
        _text(headers.get(b"x-amz-tenant-id")),
    )


def check_json(body: bytes) -> None:
    """Raises InvalidRequestContentException for an event that is not JSON.

    What orjson does not take and Python's own reader does (NaN, halves of surrogate pairs) is as good as in Lambda.
    """
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as refused:
        try:
            json.loads(body)
        except (ValueError, RecursionError):
            raise InvalidRequestContentException(
                f"Could not parse request body into json: Could not parse payload into json: {refused}"
            ) from refused


def answer_headers(result: InvokeResult) -> list[tuple[bytes, bytes]]:
    """What Lambda says of an invocation in headers."""
    headers = [JSON, (b"x-amzn-requestid", result.request_id.encode()), REMAPPED]
    if result.executed_version:
        headers.append((b"x-amz-executed-version", result.executed_version.encode()))
    if result.function_error:
        headers.append((b"x-amz-function-error", result.function_error.encode()))
    if result.log_tail is not None:
        headers.append((b"x-amz-log-result", log_result(result.log_tail)))
    return headers


def log_result(log_tail: str) -> bytes:
    """LogResult: the last 4 KB of the log, in base64."""
    return base64.b64encode(log_tail.encode()[-config.LOG_TAIL_BYTES :])


def qualifier_of(query: bytes) -> str | None:
    """The Qualifier of a query string."""
    values = read_query(query).get("Qualifier")
    return values[0] if values else None


def _text(header: bytes | None) -> str | None:
    return None if header is None else header.decode("latin-1")
