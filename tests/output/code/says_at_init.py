"""Writes while it is imported."""

from __future__ import annotations

import os
from typing import Any

print("init: print")
os.write(2, b"init: os.write\n")


def handler(event: Any, context: Any) -> None:
    print("handler")
