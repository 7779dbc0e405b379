"""F5: how a function URL is named, and how a request's Host says which one it asks for. Pure functions.

`http://<url-id>.lambda-url.<region>.<anything>/`: every name below `localhost` leads to this host's loopback address
(RFC 6761), in curl and in browsers without any set-up.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

DOMAIN: Final = "localhost"
ID_LENGTH: Final = 32
HOST: Final = re.compile(
    r"(?P<id>[^.:]+)\.lambda-url\.(?P<region>[^.:]+)(?:\.[^:]*)?(?::\d+)?", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class UrlHost:
    """What a Host header says: `domain` is the host in lower case, without its port."""

    url_id: str
    region: str
    domain: str


def url_id(function_arn: str) -> str:
    """32 lower-case letters and digits, always the same for a function or an alias of it (its ARN)."""
    digest = sha256(function_arn.encode()).digest()
    return base64.b32encode(digest).decode().lower()[:ID_LENGTH]


def function_url(identity: str, region: str, port: int) -> str:
    """Where the gateway that listens on `port` serves it."""
    return f"http://{identity}.lambda-url.{region}.{DOMAIN}:{port}/"


def host_of(header: str) -> UrlHost | None:
    """None: this Host is no function URL's."""
    match = HOST.fullmatch(header.strip())
    if match is None:
        return None
    domain = header.strip().partition(":")[0].lower()
    return UrlHost(match["id"].lower(), match["region"].lower(), domain)
