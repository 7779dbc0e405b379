"""F5: from an HTTP request to the event that a function gets: payload format 2.0, as Lambda's function URLs send it.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads. Where that page is silent, what people
recorded of the real service: the path stays percent-encoded, cookies are both a list and a header, and a body is text
only for TEXT_TYPES (a form is not among them). Pure functions: sockets are `door`'s.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from .address import UrlHost

TEXT_TYPES: Final = frozenset({"application/json", "application/javascript", "application/xml"})  # and all of text/
# RFC 9110, 7.6.1: of one connection only. Lambda hands none of them on.
HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
PARAMETERS_MAX: Final = 4_096  # of a query string; further ones are only in rawQueryString
ROUTE: Final = "$default"
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # in any locale


@dataclass(frozen=True, slots=True)
class UrlRequest:
    """One HTTP request. `path` and `query` as they were sent; `headers` in order, by lower-case name."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    protocol: str = "HTTP/1.1"
    source_ip: str = ""
    port: int = 80  # that it came in by
    scheme: str = "http"

    def header(self, name: str) -> str | None:
        """Its first value."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed the request, where a URL asks for that; nothing of it is verified."""

    account_id: str
    access_key: str


def event_of(
    request: UrlRequest, host: UrlHost, *, request_id: str, trace_id: str, now_ms: int, caller: Caller | None = None
) -> dict[str, Any]:
    """The event. trace_id: an X-Amzn-Trace-Id header; now_ms: when the request came, in Unix time."""
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": ROUTE,
        "rawPath": request.path,
        "rawQueryString": request.query,
    }
    cookies = _cookies(request.headers)
    if cookies:
        event["cookies"] = cookies
    event["headers"] = _headers(request, trace_id)
    parameters = query_parameters(request.query)
    if parameters:
        event["queryStringParameters"] = parameters
    event["requestContext"] = _context(request, host, request_id, now_ms, caller)
    if request.body:
        event["body"], event["isBase64Encoded"] = body_of(request.body, request.header("content-type"))
    else:
        event["isBase64Encoded"] = False
    return event


def new_trace_id(now_ms: int) -> str:
    """As AWS makes one where a request brings none."""
    return f"Root=1-{now_ms // 1000:08x}-{secrets.token_hex(12)}"


def query_parameters(query: str) -> dict[str, str]:
    """Decoded; the values of one name are joined by commas."""
    pairs = parse_qsl(_first_parameters(query), keep_blank_values=True)
    return _joined(pairs)


def body_of(body: bytes, content_type: str | None) -> tuple[str, bool]:
    """The body as the event has it, and whether that is base64."""
    if is_text(content_type):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass  # what says it is text and is not: its bytes are kept
    return base64.b64encode(body).decode(), True


def is_text(content_type: str | None) -> bool:
    """Whether a body of this type reaches a function as it is."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind.startswith("text/") or kind in TEXT_TYPES


def _first_parameters(query: str) -> str:
    parts = query.split("&", PARAMETERS_MAX)
    return query if len(parts) <= PARAMETERS_MAX else "&".join(parts[:PARAMETERS_MAX])


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    held: dict[str, list[str]] = {}
    for name, value in pairs:
        held.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in held.items()}


def _cookies(headers: Iterable[tuple[str, str]]) -> list[str]:
    lines = [value for name, value in headers if name == "cookie"]
    return [cookie.strip() for line in lines for cookie in line.split(";") if cookie.strip()]


def _headers(request: UrlRequest, trace_id: str) -> Mapping[str, str]:
    """Those that the request brought, and those that Lambda's front adds to it."""
    named = {
        each.strip().lower() for name, value in request.headers if name == "connection" for each in value.split(",")
    }
    dropped = HOP_BY_HOP | named
    held = _joined((name, value) for name, value in request.headers if name not in dropped)
    if "cookie" in held:
        held["cookie"] = "; ".join(_cookies(request.headers))
    forwarded = held.get("x-forwarded-for")
    held["x-amzn-trace-id"] = trace_id
    held["x-forwarded-for"] = f"{forwarded}, {request.source_ip}" if forwarded else request.source_ip
    held["x-forwarded-port"] = str(request.port)
    held["x-forwarded-proto"] = request.scheme
    return held


def _context(
    request: UrlRequest, host: UrlHost, request_id: str, now_ms: int, caller: Caller | None
) -> Mapping[str, Any]:
    when = datetime.fromtimestamp(now_ms / 1000, UTC)
    context: dict[str, Any] = {
        "accountId": "anonymous" if caller is None else caller.account_id,
        "apiId": host.url_id,
        "domainName": host.domain,
        "domainPrefix": host.url_id,
        "http": {
            "method": request.method,
            "path": request.path,
            "protocol": request.protocol,
            "sourceIp": request.source_ip,
            "userAgent": request.header("user-agent") or "",
        },
        "requestId": request_id,
        "routeKey": ROUTE,
        "stage": ROUTE,
        "time": f"{when:%d}/{MONTHS[when.month - 1]}/{when:%Y:%H:%M:%S} +0000",
        "timeEpoch": now_ms,
    }
    if caller is not None:
        context["authorizer"] = {"iam": _identity(caller)}
    return context


def _identity(caller: Caller) -> Mapping[str, Any]:
    """The account's root, in IAM's words: who a key belongs to is not known here."""
    return {
        "accessKey": caller.access_key,
        "accountId": caller.account_id,
        "callerId": caller.account_id,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": f"arn:aws:iam::{caller.account_id}:root",
        "userId": caller.account_id,
    }
