"""F3: the fixed policy: an idle environment is kept for so long, whatever its function."""

from __future__ import annotations

from .contract import Key, Windows


class Fixed:
    """Learns nothing. It is also what the histogram policy falls back to."""

    def __init__(self, keep_alive_ns: int) -> None:
        self._windows = Windows(0, keep_alive_ns)

    @property
    def look_every_ns(self) -> int:
        return self._windows.keep_alive_ns

    def observe(self, key: Key, idle_ns: int, others: int = 0) -> None:
        pass  # every function is the same

    def windows(self, key: Key) -> Windows:
        return self._windows

    def forget(self, key: Key) -> None:
        pass  # nothing was remembered
