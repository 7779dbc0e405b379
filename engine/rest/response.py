"""F5: from an operation's result to an HTTP response, by its output shape; and errors as Lambda's API gives them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from ..errors import AccessDeniedException, ConnectionLostError, EngineClosedError, EngineError, LambdaError

JSON_TYPE: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Response:
    """What is to be sent: `headers` in order, without a length."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = JSON_TYPE


class ResultWriter:
    """Writes results of one operation. `shape`: its output shape, or None."""

    def __init__(self, shape: Any, status: int) -> None:
        self._shape = shape
        self._status = status
        self._payload = None if shape is None else shape.serialization.get("payload")

    def write(self, result: Mapping[str, Any]) -> Response:
        """`result` by member name; what is None is left out. Raises KeyError for a member that is none."""
        if self._shape is None:
            return Response(self._status)
        document: dict[str, Any] = {}
        headers: list[tuple[str, str]] = []
        status, body = self._status, None
        for name, value in result.items():
            member = self._shape.members[name]
            place = member.serialization.get("location")
            said = member.serialization.get("name", name)
            if value is None:
                continue
            if place == "statusCode":
                status = int(value)
            elif place == "header":
                headers.append((said, str(value)))
            elif name == self._payload:
                body = bytes(value)
            else:
                document[said] = _plain(member, value)
        if self._payload is not None or status == 204:
            return Response(status, body or b"", tuple(headers))
        return Response(status, orjson.dumps(document), tuple(headers))


def error_response(model: Any, operation: str | None, error: Exception) -> Response:
    """An error of the engine's, in the shape that the model gives it: its message is `message` in some, else `Message`.

    What the engine did not raise on purpose is a ServiceException.
    """
    code, status = _named(error)
    if isinstance(error, EngineError):
        message = getattr(error, "message", None) or str(error)
    else:
        message = f"{type(error).__name__}: {error}"
    shape = _error_shape(model, operation, code)
    told: dict[str, Any] = {_member(shape, "message", "Message"): message}
    if shape is None or "Type" in shape.members:
        told["Type"] = getattr(error, "fault", "Service" if status >= 500 else "User")
    reason = getattr(error, "reason", None)
    if reason is not None and (shape is None or "Reason" in shape.members):
        told["Reason"] = reason
    return Response(_status(shape, status), orjson.dumps(told), (("X-Amzn-ErrorType", code),))


def refusal(status: int, code: str, message: str) -> Response:
    """An error that no operation's model has."""
    return Response(status, orjson.dumps({"Type": "User", "message": message}), (("X-Amzn-ErrorType", code),))


def _error_shape(model: Any, operation: str | None, code: str) -> Any:
    shapes = [] if operation is None else model.operation_model(operation).error_shapes
    return next((shape for shape in shapes if shape.name == code), None)


def _member(shape: Any, *names: str) -> str:
    return next((name for name in names if shape is not None and name in shape.members), names[-1])


def _status(shape: Any, otherwise: int) -> int:
    told = None if shape is None else shape.metadata.get("error", {}).get("httpStatusCode")
    return int(told or otherwise)


def _named(error: Exception) -> tuple[str, int]:
    """The name of an error in Lambda's API, and its status where the model does not say."""
    if isinstance(error, LambdaError):
        return error.type, error.status_code
    if isinstance(error, AccessDeniedException):
        return "AccessDeniedException", 403
    if isinstance(error, ConnectionLostError | EngineClosedError):
        return "ServiceUnavailableException", 503
    return "ServiceException", 500


def _plain(shape: Any, value: Any) -> Any:
    """A value as JSON says it. A member that the shape does not have is a mistake of ours: KeyError."""
    kind = shape.type_name
    if kind == "structure":
        members = shape.members
        return {
            members[name].serialization.get("name", name): _plain(members[name], each)
            for name, each in value.items()
            if each is not None
        }
    if kind == "list":
        return [_plain(shape.member, each) for each in value]
    if kind == "map":
        return {key: _plain(shape.value, each) for key, each in value.items()}
    if kind == "timestamp":
        return value.timestamp() if isinstance(value, datetime) else float(value)
    if kind == "blob":
        return base64.b64encode(value).decode()
    return value
