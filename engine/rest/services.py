"""F5: AWS services other than Lambda at the gateway's endpoint: which one a request is for, by target, path or form.

CloudWatch Logs speaks JSON 1.1; CloudWatch three protocols, of which a client takes the newest that it knows.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from ..client.asynchronous import Client
from ..errors import EngineError
from . import logs, metrics
from .asgi import ClientLeft, Receive, Scope, Send, read_body, respond
from .call import Call, Handler, Place
from .codecs.cbor_rpc import CborCodec
from .codecs.contract import Codec, Refusal, Unreadable, fault_of
from .codecs.json_rpc import JsonCodec
from .codecs.query import QueryCodec, form
from .request import validation_errors
from .response import Response
from .service_model import service_model

BODY_MAX_BYTES: Final = 1_048_576
FORM: Final = b"application/x-www-form-urlencoded"
ACTION_MAX: Final = 128

log = logging.getLogger("engine.rest")

# Answers a request by itself, over time. Raises Refusal before it has begun.
Stream: TypeAlias = Callable[[Call, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Service:
    """`name` is botocore's. `refusal_of` is how the service says an error of the engine's."""

    name: str
    handlers: Mapping[str, Handler]
    streams: Mapping[str, Stream]
    invalid: str
    refusal_of: Callable[[EngineError], Refusal]

    @property
    def model(self) -> Any:
        return service_model(self.name)


LOGS: Final = Service("logs", logs.HANDLERS, logs.STREAMS, "InvalidParameterException", logs.refusal_of)
CLOUDWATCH: Final = Service("cloudwatch", metrics.HANDLERS, {}, "ValidationException", metrics.refusal_of)
CLOUDWATCH_NAMESPACE: Final = "http://monitoring.amazonaws.com/doc/2010-08-01/"
TARGETS: Final[Mapping[bytes, tuple[Service, Codec]]] = {
    b"Logs_20140328": (LOGS, JsonCodec("1.1")),
    b"GraniteServiceVersion20100801": (CLOUDWATCH, JsonCodec("1.0", query_errors=True)),
}
CBOR_PATH: Final = b"/service/GraniteServiceVersion20100801/operation/"
CBOR: Final = CborCodec(query_errors=True)
QUERY: Final = QueryCodec(CLOUDWATCH_NAMESPACE)


class Asked(NamedTuple):
    """`operation` is None where the body names it: of the query protocol."""

    service: Service
    codec: Codec
    operation: str | None


def asked_of(scope: Scope) -> Asked | None:
    """What a request is for; None: not for one of these services."""
    if scope["method"] != "POST":
        return None
    path: bytes = scope["raw_path"]
    if path.startswith(CBOR_PATH):
        return Asked(CLOUDWATCH, CBOR, path[len(CBOR_PATH) :].decode("latin-1")[:ACTION_MAX])
    if path not in (b"/", b""):
        return None
    headers: dict[bytes, bytes] = dict(scope["headers"])
    service, _, operation = headers.get(b"x-amz-target", b"").rpartition(b".")
    if service in TARGETS:
        return Asked(*TARGETS[service], operation.decode("latin-1")[:ACTION_MAX])
    if headers.get(b"content-type", b"").startswith(FORM):
        return Asked(CLOUDWATCH, QUERY, None)
    return None


async def serve(client: Client, place: Place, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request. Raises ClientLeft."""
    request_id = str(uuid.uuid4())
    service, codec, _ = asked
    try:
        body = await read_body(receive, BODY_MAX_BYTES, service.name)
        operation = _operation(asked, body)
        model = service.model.operation_model(operation)
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        call = Call(client, place, operation, _given(service, codec, model.input_shape, body), host)
        if operation in service.streams:
            await service.streams[operation](call, receive, send)
            return
        response = codec.write(model, await service.handlers[operation](call), request_id)
    except (Refusal, EngineError) as error:
        refusal = error if isinstance(error, Refusal) else service.refusal_of(error)
        response = codec.fault(fault_of(service.model, refusal), request_id)
    except ClientLeft:
        raise
    except Exception as error:  # the client is told in its own protocol, and the gateway goes on
        log.exception("%s failed", asked.operation)
        refusal = Refusal("InternalFailure", f"{type(error).__name__}: {error}", status=500)
        response = codec.fault(fault_of(service.model, refusal), request_id)
    await _send(send, response)


def _operation(asked: Asked, body: bytes) -> str:
    """Raises Refusal for what is no operation of the service, or none that is served."""
    service, operation = asked.service, asked.operation
    if operation is None:
        try:
            operation = form(body).get("Action", "")[:ACTION_MAX]
        except Unreadable as error:
            raise Refusal("MalformedQueryString", str(error)) from error
    if operation not in service.model.operation_names:
        code = "InvalidAction" if asked.operation is None else "UnknownOperationException"
        raise Refusal(code, f"{service.name} has no operation {operation!r}")
    if operation not in service.handlers and operation not in service.streams:
        told = f"{operation} is not implemented: this engine has of {service.name} what is about its functions"
        raise Refusal("NotImplementedException", told, status=501)
    return operation


def _given(service: Service, codec: Codec, shape: Any, body: bytes) -> dict[str, Any]:
    try:
        given = codec.read(shape, body)
    except Unreadable as error:
        raise Refusal("SerializationException", str(error)) from error
    told = None if shape is None else validation_errors(shape, given)
    if told is not None:
        raise Refusal(service.invalid, told)
    return given


async def _send(send: Send, response: Response) -> None:
    headers = [(b"content-type", response.content_type.encode())]
    headers += [(name.encode(), value.encode("latin-1", "replace")) for name, value in response.headers]
    await respond(send, response.status, response.body, headers)
