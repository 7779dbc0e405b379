"""F3: whether the host has memory for one more environment."""

from __future__ import annotations

import time
from typing import Final

import psutil

CHECK_EVERY_S: Final = 0.1
RESERVE_SHARE: Final = 0.05  # of the host's memory, kept free of new environments
RESERVE_MOST_BYTES: Final = 1 << 30


class HostMemory:
    """Free memory, read at most every `CHECK_EVERY_S`."""

    def __init__(self) -> None:
        self._checked_at = -CHECK_EVERY_S
        self._short = False

    def is_short(self) -> bool:
        """Whether less is free than should stay free."""
        now = time.monotonic()
        if now - self._checked_at >= CHECK_EVERY_S:
            self._checked_at = now
            memory = psutil.virtual_memory()
            self._short = memory.available < min(memory.total * RESERVE_SHARE, RESERVE_MOST_BYTES)
        return self._short
