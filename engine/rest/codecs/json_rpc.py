"""F5: AWS's JSON protocols 1.0 and 1.1: the operation in X-Amz-Target, a JSON object each way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ..response import Response
from .contract import Fault, Unreadable
from .values import plain_members, read, typed_scalar


class JsonCodec:
    """version: "1.0" or "1.1". query_errors: also say in a header what the query protocol calls an error."""

    def __init__(self, version: str, *, query_errors: bool = False) -> None:
        self._content_type = f"application/x-amz-json-{version}"
        self._query_errors = query_errors

    def read(self, shape: Any, body: bytes) -> dict[str, Any]:
        try:
            document = orjson.loads(body or b"{}")
        except orjson.JSONDecodeError as error:
            raise Unreadable(f"the body is no JSON: {error}") from error
        given: dict[str, Any] = {} if shape is None else read(shape, document, typed_scalar)
        return given

    def write(self, operation: Any, result: Mapping[str, Any], request_id: str) -> Response:
        shape = operation.output_shape
        if shape is None:
            return Response(200, b"", _headers(request_id), self._content_type)
        document = plain_members(shape, result, lambda time: time.timestamp())
        return Response(200, orjson.dumps(document), _headers(request_id), self._content_type)

    def fault(self, fault: Fault, request_id: str) -> Response:
        headers = _headers(request_id)
        if self._query_errors:
            headers = (*headers, ("x-amzn-query-error", f"{fault.query_code};{fault.whose}"))
        document = {"__type": fault.name, "message": fault.message}
        return Response(fault.status, orjson.dumps(document), headers, self._content_type)


def _headers(request_id: str) -> tuple[tuple[str, str], ...]:
    return (("x-amzn-requestid", request_id),)
