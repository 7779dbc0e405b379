"""How an attempt went."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any


def said(step: Callable[[], Any]) -> str:
    try:
        step()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    return "done"
