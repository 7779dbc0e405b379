"""F5: from what a function gave back to the HTTP response of its URL. Pure functions.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads ("Response payload format"): a document
with a `statusCode` says its response itself; anything else that is JSON is the body of a 200.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from ...errors import EngineError, LambdaError, RequestTooLargeException, ResourceNotFoundException
from .event import HOP_BY_HOP

JSON_TYPE: Final = "application/json"
BYTES_TYPE: Final = "application/octet-stream"  # of a stream that says no other
STATUS_MIN: Final = 200  # below are those of a connection, which no function can give
STATUS_MAX: Final = 599
# Lambda's front says these itself, and gives a function's own under another name.
REMAPPED: Final = HOP_BY_HOP | {
    *("content-length", "date", "proxy-authenticate", "server", "www-authenticate", "x-amzn-requestid"),
    "x-amzn-trace-id",
}
TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
UNSAFE: Final = re.compile(r"[\0\r\n]")
SPACES: Final = re.compile(rb'("(?:[^"\\]+|\\.)*")|[ \t\r\n]+')
FORBIDDEN: Final = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)

Headers: TypeAlias = tuple[tuple[str, str], ...]
Head: TypeAlias = tuple[int, Headers]


class MalformedAnswerError(EngineError):
    """What the function gave back is no response: its caller gets 502."""


class FunctionFailedError(EngineError):
    """The function failed before any of its answer was sent: 502 too."""


@dataclass(frozen=True, slots=True)
class UrlAnswer:
    """`headers` in order, with a Content-Type and without a length."""

    status: int
    headers: Headers
    body: bytes = b""


def answer_of(payload: bytes) -> UrlAnswer:
    """The response that a function's payload stands for. Raises MalformedAnswerError."""
    document = _document(payload)
    if isinstance(document, dict) and "statusCode" in document:
        status, headers = head_of(document)
        return UrlAnswer(status, headers, _body(document))
    body = _utf8(document) if isinstance(document, str) else SPACES.sub(rb"\1", payload)
    return UrlAnswer(200, (("content-type", JSON_TYPE),), body)


def head_of(document: Mapping[str, Any], content_type: str = JSON_TYPE) -> Head:
    """Status and headers that a document with `statusCode`, `headers` and `cookies` names."""
    headers = list(_headers(document.get("headers")))
    if not any(name == "content-type" for name, _ in headers):
        headers.insert(0, ("content-type", content_type))
    headers.extend(("set-cookie", cookie) for cookie in _cookies(document.get("cookies")))
    return _status(document.get("statusCode", 200)), tuple(headers)


def refusal(error: EngineError) -> UrlAnswer:
    """What a caller is told whom the engine refused."""
    if isinstance(error, ResourceNotFoundException):
        return forbidden()  # the function or alias is gone, its URL is not: what Lambda then says
    if isinstance(error, RequestTooLargeException):
        return told(413, error.message, "RequestEntityTooLargeException")
    if isinstance(error, LambdaError):
        return told(error.status_code, error.message, error.type) if error.status_code < 500 else failed()
    return told(503, "Service Unavailable", "ServiceUnavailableException")


def failed() -> UrlAnswer:
    """A function that failed, or what it gave back is no response. The text, in quotes or not, is Lambda's."""
    return UrlAnswer(502, (("content-type", JSON_TYPE),), b"Internal Server Error")


def forbidden() -> UrlAnswer:
    """A URL that may not be called so."""
    return told(403, FORBIDDEN, "AccessDeniedException")


def unknown() -> UrlAnswer:
    """A host that is no URL's."""
    return told(403, None, "AccessDeniedException")


def told(status: int, message: str | None, error_type: str) -> UrlAnswer:
    """An answer of the URL's own."""
    headers = (("content-type", JSON_TYPE), ("x-amzn-errortype", error_type))
    return UrlAnswer(status, headers, orjson.dumps({"Message": message}))


def _document(payload: bytes) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise MalformedAnswerError(f"the function's answer is no JSON: {error}") from error


def _status(said: object) -> int:
    """A number, or one in a string, which Lambda takes too."""
    if isinstance(said, str) and said.isascii() and said.isdecimal() and len(said) <= 3:
        said = int(said)
    if isinstance(said, int) and not isinstance(said, bool) and STATUS_MIN <= said <= STATUS_MAX:
        return said
    raise MalformedAnswerError(f"statusCode is to be {STATUS_MIN} to {STATUS_MAX}, not {str(said)[:100]!r}")


def _headers(said: object) -> Iterable[tuple[str, str]]:
    if said is None:
        return
    if not isinstance(said, dict):
        raise MalformedAnswerError(f"headers is to be an object, not a {type(said).__name__}")
    for name, value in said.items():
        if not TOKEN.fullmatch(name):
            raise MalformedAnswerError(f"{name[:100]!r} is no name of a header")
        if value is None:
            continue
        lowered = name.lower()
        yield (f"x-amzn-remapped-{lowered}" if lowered in REMAPPED else lowered), _header_value(name, value)


def _header_value(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return _one_line(f"headers.{name}", str(value))
    raise MalformedAnswerError(f"headers.{name[:100]} is to be a string, not a {type(value).__name__}")


def _cookies(said: object) -> Iterable[str]:
    if said is None:
        return []
    if not isinstance(said, list) or not all(isinstance(each, str) for each in said):
        raise MalformedAnswerError("cookies is to be a list of strings")
    return [_one_line("cookies", each) for each in said]


def _one_line(where: str, text: str) -> str:
    if UNSAFE.search(text):
        raise MalformedAnswerError(f"{where[:100]} has a line break or a zero in it")
    return text.strip(" \t")


def _body(document: Mapping[str, Any]) -> bytes:
    body = document.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        return orjson.dumps(body)
    if document.get("isBase64Encoded") is not True:
        return _utf8(body)
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedAnswerError(f"isBase64Encoded is true, and body is no base64: {error}") from error


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")
