"""What an extension asks for when it subscribes to telemetry: read, or refused in Lambda's words.

https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api-reference.html, and runtimes-logs-api.html for the older one.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

TYPES: Final = ("platform", "function", "extension")
HOSTS: Final = ("sandbox.localdomain", "sandbox")
RESERVED_PORT: Final = 9001  # the Runtime API's own
URI: Final = re.compile(r"(?i:http)://(?P<host>[^/:?#]+)(?::(?P<port>\d*))?(?P<path>/[^\s]*)?")
BUFFERING: Final = {  # default, least, most
    "maxItems": (10_000, 1_000, 10_000),
    "maxBytes": (262_144, 262_144, 1_048_576),
    "timeoutMs": (1_000, 25, 30_000),
}


class Dialect(NamedTuple):
    """One of the two ways to subscribe. The first of `schemas` is the one that goes without saying, if any may."""

    path: bytes
    error_prefix: str
    schemas: tuple[str, ...]
    needs_schema: bool
    closed: str
    methods: tuple[str, ...]


TELEMETRY = Dialect(
    b"/2022-07-01/telemetry",
    "",
    ("2022-07-01", "2022-12-13", "2025-01-29"),
    True,
    "Telemetry API subscription is closed already",
    ("POST",),
)
LOGS = Dialect(
    b"/2020-08-15/logs",
    "Logs.",
    ("2020-08-15", "2021-03-18"),
    False,
    "Logs API subscription is closed already",
    ("POST", "PUT"),
)


class Subscription(NamedTuple):
    """`uri_path` is None where records go to a TCP port without HTTP."""

    dialect: Dialect
    schema: str
    types: tuple[str, ...]
    max_items: int
    max_bytes: int
    timeout_ms: int
    port: int
    method: str
    host: str
    uri_path: str | None


class SubscriptionError(Exception):
    """All that is wrong with it, each with a semicolon between."""


def read(body: bytes, dialect: Dialect) -> Subscription:
    """What a request asks for. Raises SubscriptionError."""
    try:
        asked = json.loads(body)
    except ValueError as error:
        raise SubscriptionError(f"failed to parse JSON: {error}") from error
    if not isinstance(asked, dict):
        raise SubscriptionError("the request should be a JSON object")
    wrong: list[str] = []
    schema = _schema(asked.get("schemaVersion"), dialect, wrong)
    types = _types(asked.get("types"), wrong)
    numbers = _buffering(asked.get("buffering"), wrong)
    port, method, host, path = _destination(asked.get("destination"), dialect, wrong)
    if wrong:
        raise SubscriptionError("; ".join(wrong))
    return Subscription(dialect, schema, types, *numbers, port, method, host, path)


def _schema(asked: Any, dialect: Dialect, wrong: list[str]) -> str:
    if asked is None and not dialect.needs_schema:
        return dialect.schemas[0]
    if asked not in dialect.schemas:
        valid = ", ".join(dialect.schemas)
        wrong.append("schemaVersion is not provided" if asked is None else f"schemaVersion should be one of: {valid}")
        return dialect.schemas[0]
    return str(asked)


def _types(asked: Any, wrong: list[str]) -> tuple[str, ...]:
    if not isinstance(asked, list) or not asked:
        wrong.append("types should not be empty")
        return ()
    unknown = [each for each in asked if each not in TYPES]
    if unknown:
        wrong.append(f"types should be of {', '.join(TYPES)}, not {json.dumps(unknown[0])}")
    return tuple(each for each in TYPES if each in asked)


def _buffering(asked: Any, wrong: list[str]) -> tuple[int, int, int]:
    given = {} if asked is None else asked
    if not isinstance(given, dict):
        wrong.append("buffering should be an object")
        given = {}
    numbers = []
    for name, (default, least, most) in BUFFERING.items():
        value = given.get(name)
        if value is None:
            value = default
        elif type(value) is not int or not least <= value <= most:
            wrong.append(f"buffering.{name} should be an integer from {least} to {most}")
            value = default
        numbers.append(value)
    return numbers[0], numbers[1], numbers[2]


def _destination(asked: Any, dialect: Dialect, wrong: list[str]) -> tuple[int, str, str, str | None]:
    nowhere = 0, "POST", "", None
    if not isinstance(asked, dict):
        wrong.append("destination is not provided")
        return nowhere
    protocol = str(asked.get("protocol", "")).upper()
    if protocol == "TCP":
        return _port(asked.get("port"), wrong), "", "", None
    if protocol != "HTTP":
        wrong.append("destination.protocol should be HTTP or TCP")
        return nowhere
    method = str(asked.get("method") or "POST").upper()
    if method not in dialect.methods:
        wrong.append(f"destination.method should be {' or '.join(dialect.methods)}")
    found = URI.fullmatch(str(asked.get("URI", "")))
    if found is None:
        wrong.append("destination.URI should be http://sandbox.localdomain:port/path")
        return nowhere
    if found["host"].lower() not in HOSTS:
        wrong.append(f"destination.URI host must be {HOSTS[0]}")
    if not found["port"]:
        wrong.append("URI port is not provided")
        return nowhere
    return _port(int(found["port"]), wrong), method, found["host"], found["path"] or "/"


def _port(asked: Any, wrong: list[str]) -> int:
    if type(asked) is not int or not 0 < asked < 65_536 or asked == RESERVED_PORT:
        wrong.append(f"the port should be an integer from 1 to 65535, and not {RESERVED_PORT}")
        return 0
    return asked
