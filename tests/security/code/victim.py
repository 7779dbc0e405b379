"""The function that others want something from: a secret in its code, another in its variables."""

from __future__ import annotations

import os
from typing import Any

IN_CODE = "sesame-0123456789abcdef0123456789abcdef"


def handler(event: Any, context: Any) -> list[Any]:
    return [os.getpid(), IN_CODE, os.environ["SECRET"], os.listdir("/tmp") if event == {"list": True} else None]
