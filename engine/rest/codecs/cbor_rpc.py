"""F5: Smithy's RPC v2 CBOR: service and operation in the path, a CBOR map each way.

https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html: times are tag 1 with seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import cbor2

from ..response import Response
from .contract import Fault, Unreadable
from .values import plain_members, read, typed_scalar

CBOR_TYPE: Final = "application/cbor"
EPOCH_TAG: Final = 1


class CborCodec:
    """query_errors: also say in a header what the query protocol calls an error."""

    def __init__(self, *, query_errors: bool = False) -> None:
        self._query_errors = query_errors

    def read(self, shape: Any, body: bytes) -> dict[str, Any]:
        try:
            document = cbor2.loads(body) if body else {}
        except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, EOFError) as error:
            raise Unreadable(f"the body is no CBOR: {error}") from error
        given: dict[str, Any] = {} if shape is None else read(shape, document, typed_scalar)
        return given

    def write(self, operation: Any, result: Mapping[str, Any], request_id: str) -> Response:
        shape = operation.output_shape
        if shape is None:
            return Response(200, b"", _headers(request_id), CBOR_TYPE)
        document = plain_members(shape, result, lambda time: cbor2.CBORTag(EPOCH_TAG, time.timestamp()))
        return Response(200, cbor2.dumps(document), _headers(request_id), CBOR_TYPE)

    def fault(self, fault: Fault, request_id: str) -> Response:
        headers = _headers(request_id)
        if self._query_errors:
            headers = (*headers, ("x-amzn-query-error", f"{fault.query_code};{fault.whose}"))
        document = {"__type": fault.name, "message": fault.message}
        return Response(fault.status, cbor2.dumps(document), headers, CBOR_TYPE)


def _headers(request_id: str) -> tuple[tuple[str, str], ...]:
    return ("smithy-protocol", "rpc-v2-cbor"), ("x-amzn-requestid", request_id)
