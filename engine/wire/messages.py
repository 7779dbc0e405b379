"""F1: MessagePack-RPC as both ends say it: kinds of message, their bounds, and how a client reads an answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgpack

from ..errors import ConnectionLostError, RequestTooLargeException
from .payload import event_bytes

REQUEST: Final = 0
RESPONSE: Final = 1
NOTIFICATION: Final = 2
NOTIFICATION_LENGTH: Final = 3
MESSAGE_MAX_BYTES: Final = 8 * 1024 * 1024
UPLOAD_PART_BYTES: Final = 4 * 1024 * 1024
# A bundle up to this size goes in its message: the code and Lambda's five layers together stay below a message's bound.
INLINE_CODE_BYTES: Final = 1024 * 1024
ANSWER_MAX_BYTES: Final = 100 * 1024 * 1024  # logs of 16 MiB of text in short lines, with room to spare
IDS: Final = 2**32
OUTSTANDING_MAX: Final = 65_536
READ_BYTES: Final = 256 * 1024


def new_unpacker() -> Any:
    """Takes in what arrives, in any pieces, and gives whole messages."""
    return msgpack.Unpacker(raw=False, max_buffer_size=ANSWER_MAX_BYTES)


def new_packer() -> Any:
    """Makes messages; one thread at a time."""
    return msgpack.Packer()


def read_answer(message: Any) -> tuple[int, Any, Any]:
    """(id, error, result) of an answer. Raises ConnectionLostError: who says anything else is no engine."""
    if type(message) is list and len(message) == 4 and message[0] == RESPONSE and type(message[1]) is int:
        return message[1], message[2], message[3]
    raise ConnectionLostError(f"the other end does not speak MessagePack-RPC; it said {str(message)[:200]!r}")


def given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that were given: None is every option's default and does not travel."""
    return {name: value for name, value in arguments.items() if value is not None}


def invoke_params(
    name: str,
    payload: object,
    qualifier: str | None,
    invocation_type: str,
    client_context: Mapping[str, object] | str | None,
    log_tail: bool,
    trace_header: str | None,
    tenant_id: str | None = None,
) -> list[Any]:
    """The parameters of `invoke`: options travel only where one is not its default."""
    params: list[Any] = [name, event_bytes(payload)]
    beside = client_context is not None or trace_header or tenant_id is not None
    if beside or qualifier or log_tail or invocation_type != "RequestResponse":
        options = given(
            {
                "qualifier": qualifier,
                "client_context": client_context,
                "trace_header": trace_header,
                "tenant_id": tenant_id,
            }
        )
        params.append({**options, "invocation_type": invocation_type, "log_tail": log_tail})
    return params


def stream_params(
    name: str,
    payload: object,
    qualifier: str | None,
    client_context: Mapping[str, object] | str | None,
    log_tail: bool,
    trace_header: str | None,
    tenant_id: str | None = None,
) -> list[Any]:
    """The parameters of `invoke_stream`."""
    return invoke_params(name, payload, qualifier, "RequestResponse", client_context, log_tail, trace_header, tenant_id)


def notified_id(message: list[Any]) -> int:
    """Which stream a notification `[2, "stream" | "chunk", [id, value]]` is of; -1 for one that clients pass over.

    Raises ConnectionLostError for three values that are none.
    """
    kind, method, params = message
    if kind != NOTIFICATION or type(params) is not list:
        raise ConnectionLostError(f"the other end does not speak MessagePack-RPC; it said {str(message)[:200]!r}")
    known = method in ("stream", "chunk") and len(params) == 2 and type(params[0]) is int
    return params[0] if known else -1


def own_trace() -> Callable[[], str | None]:
    """The trace header to pass on where a function calls another, as AWS's SDKs do: recursion is found by it."""
    if "AWS_LAMBDA_FUNCTION_NAME" not in os.environ:
        return lambda: None
    return lambda: os.environ.get("_X_AMZN_TRACE_ID")


def check_size(method: str, size: int) -> None:
    """Refuse here what the other end would close the connection for."""
    if size > MESSAGE_MAX_BYTES:
        raise RequestTooLargeException(f"a message has at most {MESSAGE_MAX_BYTES} bytes; this {method} has {size}")
