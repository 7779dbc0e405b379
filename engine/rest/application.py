"""F5: the gateway's ASGI application: whose request it is, by path and host, and what becomes of errors.

Everything but invocations goes by the service model: operation, parameters, handler, answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import uuid
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.responses import Response as Page
from starlette.routing import Route

from .. import __version__
from ..client.asynchronous import Client
from ..errors import AccessDeniedException, EngineError
from . import invocations, prometheus, services, streaming
from .asgi import ClientLeft, Receive, Scope, Send, read_body, read_query, respond
from .call import Call, Place
from .downloads import asked_code, send_code
from .handlers import HANDLERS, REFUSED
from .request import ParameterReader
from .response import Response, ResultWriter, error_response, refusal
from .service_model import Router, service_model
from .urls.door import UrlDoor, url_host

BODY_MAX_BYTES: Final = 70_167_211  # what Lambda takes for a zip of 50 MB in base64
PARSED_ON_LOOP_BYTES: Final = 65_536
HOSTS_REMEMBERED: Final = 1_024

log = logging.getLogger("engine.rest")


class Application:
    """ASGI. `client` is open on the loop that this runs on. loopback_only: requests must name a loopback host."""

    def __init__(self, client: Client, place: Place, *, loopback_only: bool) -> None:
        self._client = client
        self._place = place
        self._loopback_only = loopback_only
        self._known_hosts: set[bytes] = set()
        model = service_model()
        self._model = model
        self._router = Router(model)
        self._readers: dict[str, ParameterReader] = {}
        self._writers: dict[str, ResultWriter] = {}
        self._urls = UrlDoor(client, place)
        self._pages = Starlette(routes=[Route("/health", self._health), Route("/metrics", self._metrics)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"the gateway serves HTTP, not {scope['type']}")
        operation = None
        try:
            path = scope["raw_path"]
            host = url_host(scope["headers"])
            if host is not None:  # a function's own, for web pages too
                await self._urls.serve(host, scope, receive, send)
                return
            self._check_origin(scope["headers"])
            if scope["method"] == "POST" and (function := invocations.function_of(path)) is not None:
                operation = invocations.INVOKE
                await invocations.invoke(self._client, function, scope, receive, send)
            elif (sha256 := asked_code(scope)) is not None:
                await send_code(self._client, sha256, scope, send)
            elif path in (b"/health", b"/metrics"):
                await self._pages(scope, receive, send)
            elif (asked := services.asked_of(scope)) is not None:
                await services.serve(self._client, self._place, asked, scope, receive, send)
            else:
                operation = await self._rest(scope, receive, send)
        except ClientLeft:
            return
        except Exception as error:  # noqa: BLE001 - whatever happens, the client is told, and the gateway goes on
            await self._refuse(send, operation or self._operation_of(scope), error)

    # --- operations of the model --------------------------------------------------------------------------------------

    async def _rest(self, scope: Scope, receive: Receive, send: Send) -> str | None:
        path = scope["raw_path"].decode("latin-1")
        query = read_query(scope["query_string"])
        found = self._router.find(scope["method"], path, query)
        if found is None:
            await _send(send, _unknown(scope["method"], path, self._router.methods(path)))
            return None
        operation = found.operation
        if operation == invocations.INVOKE_ASYNC:
            await invocations.invoke_async(self._client, found.labels["FunctionName"], receive, send)
            return operation
        if operation == invocations.INVOKE_STREAM:
            function = found.labels["FunctionName"]
            await streaming.invoke_with_response_stream(self._client, function, scope, receive, send)
            return operation
        handler = HANDLERS.get(operation)
        if handler is None:
            await read_body(receive, BODY_MAX_BYTES, operation)
            await _send(send, _not_implemented(operation))
            return operation
        body = await read_body(receive, BODY_MAX_BYTES, operation)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        reader = self._reader(operation)
        if len(body) > PARSED_ON_LOOP_BYTES:
            given = await asyncio.to_thread(reader.read, found.labels, query, headers, body)
        else:
            given = reader.read(found.labels, query, headers, body)
        result = await handler(Call(self._client, self._place, operation, given, headers.get("host", "")))
        await _send(send, self._writer(operation).write(result))
        return operation

    def _reader(self, operation: str) -> ParameterReader:
        if operation not in self._readers:
            self._readers[operation] = ParameterReader(self._model.operation_model(operation).input_shape)
        return self._readers[operation]

    def _writer(self, operation: str) -> ResultWriter:
        if operation not in self._writers:
            model = self._model.operation_model(operation)
            self._writers[operation] = ResultWriter(model.output_shape, model.http.get("responseCode", 200))
        return self._writers[operation]

    def _operation_of(self, scope: Scope) -> str | None:
        """For the error of a request that got no further than its head."""
        found = self._router.find(scope["method"], scope["raw_path"].decode("latin-1"), {})
        return None if found is None else found.operation

    # --- who may ask, and what is said of errors ----------------------------------------------------------------------

    def _check_origin(self, headers: list[tuple[bytes, bytes]]) -> None:
        """A web page that this user looks at must not reach the engine, by its own name or by another for 127.0.0.1."""
        for name, value in headers:
            if name == b"origin":
                raise AccessDeniedException(
                    f"requests of web pages are refused, and this one is of {value.decode('latin-1')}"
                )
            if name == b"host" and self._loopback_only and value not in self._known_hosts:
                check_host(value.decode("latin-1"))
                if len(self._known_hosts) < HOSTS_REMEMBERED:
                    self._known_hosts.add(value)

    async def _refuse(self, send: Send, operation: str | None, error: Exception) -> None:
        if not isinstance(error, EngineError):
            log.error("%s failed", operation, exc_info=error)
        await _send(send, error_response(self._model, operation, error))

    async def _health(self, request: Request) -> JSONResponse:
        """200 while the engine answers."""
        try:
            await self._client.ping()
        except EngineError as error:
            return JSONResponse({"status": "unavailable", "message": str(error)}, status_code=503)
        return JSONResponse({"status": "ok", "version": __version__})

    async def _metrics(self, request: Request) -> Page:
        """What was counted, for Prometheus."""
        try:
            text = await prometheus.page(self._client)
        except EngineError as error:
            return Page(str(error), 503)
        return Page(text, media_type=prometheus.CONTENT_TYPE)


def check_host(host: str) -> None:
    """Raises AccessDeniedException for a Host header that is no name of the loopback interface."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return
    try:
        if ipaddress.ip_address(name).is_loopback:
            return
    except ValueError:
        pass
    raise AccessDeniedException(
        f"this gateway serves loopback only, and {host!r} is no loopback name: use localhost, or have it serve another "
        "address by --http"
    )


async def _send(send: Send, response: Response) -> None:
    headers = [(b"content-type", response.content_type.encode())] if response.body else []
    headers += [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in response.headers]
    if all(name != b"x-amzn-requestid" for name, _ in headers):
        headers.append((b"x-amzn-requestid", str(uuid.uuid4()).encode()))
    await respond(send, response.status, response.body, headers)


def _unknown(method: str, path: str, takes: Any) -> Response:
    there = ", ".join(takes)
    told = f"{path} takes {there}, not {method}" if there else f"no operation of Lambda's API has the path {path}"
    return refusal(405 if there else 404, "UnknownOperationException", told)


def _not_implemented(operation: str) -> Response:
    why = REFUSED.get(operation, "this engine does not have it")
    return refusal(501, "NotImplementedException", f"{operation} is not implemented: {why}")
