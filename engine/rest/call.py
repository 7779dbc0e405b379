"""F5: what a handler of an operation is given, and what a handler is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..client.asynchronous import Client


@dataclass(frozen=True, slots=True)
class Place:
    """Where the gateway stands: the engine's region and account, and its own TCP port.

    aws_endpoint_url: where S3 is, for code that is fetched from it; None is AWS.
    """

    region: str
    account_id: str
    port: int
    aws_endpoint_url: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request for one operation: `given` are its parameters by the model's names, parsed and checked.

    host: the Host header, by which the caller reached the gateway; URLs in answers are made of it.
    """

    client: Client
    place: Place
    operation: str
    given: Mapping[str, Any]
    host: str


# Answers a result by the member names of the operation's output shape; None members are left out.
Handler: TypeAlias = Callable[[Call], Awaitable[Mapping[str, Any]]]
