"""F3: whether the host has memory for one more environment."""

from __future__ import annotations

import time
from typing import Final

import psutil

CHECK_LEAST_S: Final = 0.1
CHECK_MOST_S: Final = 1.0
FILLED_PER_S: Final = 10 << 30  # more bytes than processes can fill: sooner the host cannot become short
RESERVE_SHARE: Final = 0.05  # of the host's memory, kept free of new environments
RESERVE_MOST_BYTES: Final = 1 << 30


class HostMemory:
    """Free memory, looked at as often as it takes to see it go: a look takes 0.2 ms of a start."""

    def __init__(self) -> None:
        self._good_until = 0.0
        self._short = False

    def is_short(self) -> bool:
        """Whether less is free than should stay free."""
        now = time.monotonic()
        if now >= self._good_until:
            memory = psutil.virtual_memory()
            spare = memory.available - min(memory.total * RESERVE_SHARE, RESERVE_MOST_BYTES)
            self._short = spare < 0
            self._good_until = now + min(max(spare / FILLED_PER_S, CHECK_LEAST_S), CHECK_MOST_S)
        return self._short
