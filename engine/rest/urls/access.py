"""F5: whether a request carries a Signature Version 4. That it is right is not verified.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-authentication-methods.html
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qs

from .event import Caller, UrlRequest

ALGORITHM: Final = "AWS4-HMAC-SHA256"
PARTS: Final = re.compile(r"\s*(Credential|SignedHeaders|Signature)=([^,\s]+)\s*", re.ASCII)


def caller_of(request: UrlRequest, account_id: str) -> Caller | None:
    """Who says that they signed it, by a header or in the query string; None: nobody does."""
    key = _signed(request.header("authorization") or "") or _presigned(request.query)
    return None if key is None else Caller(account_id, key)


def _signed(authorization: str) -> str | None:
    """The access key of `AWS4-HMAC-SHA256 Credential=KEY/…, SignedHeaders=…, Signature=…`."""
    algorithm, _, rest = authorization.strip().partition(" ")
    if algorithm != ALGORITHM:
        return None
    parts = {match[1]: match[2] for match in map(PARTS.fullmatch, rest.split(",")) if match is not None}
    return _key(parts["Credential"]) if len(parts) == 3 else None


def _presigned(query: str) -> str | None:
    if "X-Amz-Signature=" not in query:
        return None
    held = {name: values[0] for name, values in parse_qs(query).items()}
    if held.get("X-Amz-Algorithm") != ALGORITHM or "X-Amz-Signature" not in held:
        return None
    return _key(held.get("X-Amz-Credential", ""))


def _key(credential: str) -> str | None:
    """The first part of `KEY/date/region/lambda/aws4_request`."""
    return credential.partition("/")[0] or None
