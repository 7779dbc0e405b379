"""F1: names of log streams, one per environment, as CloudWatch shows them."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Final

STREAM: Final = re.compile(r"\d{4}/\d{2}/\d{2}/\[(?P<version>\$LATEST|\d+)\][0-9a-f]{32}")


def stream_name(version: str, wall_ms: int, token: str | None = None) -> str:
    """`YYYY/MM/DD/[version]<32 hex>`, dated in UTC. `token` is random unless given (32 lower-case hex digits)."""
    day = datetime.fromtimestamp(wall_ms // 1_000, UTC)
    name = f"{day:%Y/%m/%d}/[{version}]{secrets.token_hex(16) if token is None else token}"
    if STREAM.fullmatch(name) is None:
        raise ValueError(f"not a log stream's name: {name!r}; version is $LATEST or a number, token 32 hex digits")
    return name
