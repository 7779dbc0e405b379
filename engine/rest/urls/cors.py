"""F5: CORS of a function URL: which headers a browser is given, and which requests the URL answers by itself.

As recorded of the real service: the origin that asked is named, also where `*` is allowed; headers of the URL are added
to the function's own, never in place of them. https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from .answer import JSON_TYPE, Headers, UrlAnswer
from .event import UrlRequest

ANY: Final = "*"
METHOD: Final = "access-control-request-method"
VARY: Final = ("vary", "Origin")


def is_preflight(request: UrlRequest) -> bool:
    """Whether a browser asks what it may send. Any other OPTIONS request goes to the function."""
    return request.method == "OPTIONS" and request.header("origin") is not None and request.header(METHOD) is not None


def preflight_answer(cors: Mapping[str, Any], request: UrlRequest) -> UrlAnswer:
    """Whatever is not allowed is not named, and the browser then refuses. `cors`: as the service model's Cors."""
    headers = cors_headers(cors, request)
    if len(headers) > 1:
        asked = request.header("access-control-request-headers")
        headers += _list("access-control-allow-headers", cors.get("AllowHeaders"), asked)
        headers += _list("access-control-allow-methods", cors.get("AllowMethods"), request.header(METHOD))
        if cors.get("MaxAge") is not None:
            headers += (("access-control-max-age", str(cors["MaxAge"])),)
    return UrlAnswer(200, (("content-type", JSON_TYPE), *headers))


def cors_headers(cors: Mapping[str, Any], request: UrlRequest) -> Headers:
    """For any response: only `Vary` where the origin is not allowed, or none asks."""
    origin = request.header("origin")
    if origin is None or not allows(cors.get("AllowOrigins") or (), origin):
        return (VARY,)
    headers: Headers = (VARY, ("access-control-allow-origin", origin))
    if cors.get("AllowCredentials"):
        headers += (("access-control-allow-credentials", "true"),)
    if not is_preflight(request):
        headers += _list("access-control-expose-headers", cors.get("ExposeHeaders"), None)
    return headers


def allows(origins: Sequence[str], origin: str) -> bool:
    """`*` in a pattern stands for any characters: alone for every origin, as in `https://*.example.com` for many."""
    return any(_pattern(each).fullmatch(origin) for each in origins)


@lru_cache(1_024)
def _pattern(origin: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, origin.strip().split(ANY))), re.IGNORECASE | re.DOTALL)


def _list(name: str, allowed: Sequence[str] | None, asked: str | None) -> Headers:
    """Where all are allowed, what was asked for is named: a browser that sends credentials takes `*` literally."""
    if not allowed:
        return ()
    if ANY in allowed:
        return ((name, asked or ANY),)
    return ((name, ",".join(allowed)),)
