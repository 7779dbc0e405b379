"""What is sent and what a peer's worker does with it: JSON in, handler, JSON out, as the engine does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from . import echo

PAYLOAD: Final = b'{"key":"value"}'
WORKERS: Final = 2
CODE: Final = Path(echo.__file__)


def serve(payload: bytes) -> bytes:
    """One invocation, as a worker of a peer runs it."""
    return json.dumps(echo.handler(json.loads(payload), None)).encode()


def check(answer: bytes) -> None:
    """Raises ValueError where an answer is not the echo of `PAYLOAD`."""
    if json.loads(answer) != json.loads(PAYLOAD):
        raise ValueError(f"the answer must be {PAYLOAD!r}, not {answer!r}")
