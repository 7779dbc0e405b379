"""F5: what a protocol's codec does, and the errors that services refuse requests with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..response import Response


class Refusal(Exception):
    """A service refuses a request: `code` is the name of an error's shape in its model, or a code of its own."""

    def __init__(self, code: str, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class Unreadable(Exception):
    """A body is not what its protocol and its shape say. The text says where and why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as it goes over the wire. `query_code` is what the query protocol calls it."""

    name: str
    query_code: str
    message: str
    status: int

    @property
    def whose(self) -> str:
        return "Sender" if self.status < 500 else "Receiver"


class Codec(Protocol):
    """Reads requests and writes answers by the shapes of a service model (botocore's)."""

    def read(self, shape: Any, body: bytes) -> dict[str, Any]:
        """Parameters by member name, not checked yet. Raises Unreadable."""

    def write(self, operation: Any, result: Mapping[str, Any], request_id: str) -> Response:
        """A result by member name; None members are left out. `operation` is its botocore model."""

    def fault(self, fault: Fault, request_id: str) -> Response:
        """An error."""


def fault_of(model: Any, refusal: Refusal) -> Fault:
    """How a service's model has an error."""
    shape = model.shape_for(refusal.code) if refusal.code in model.shape_names else None
    told: Mapping[str, Any] = {} if shape is None else shape.metadata.get("error", {})
    status = refusal.status or told.get("httpStatusCode", 400)
    return Fault(refusal.code, told.get("code", refusal.code), refusal.message, int(status))
