"""F1: no limits at all, by request (`sandbox="off"`). Processes are still ended with their environment."""

from __future__ import annotations

from .contract import Limits
from .polling import Polling, PollingCell


class NullCell(PollingCell):
    """Follows its process tree only to kill it."""

    def overdrawn(self) -> bool:
        return False


class Null(Polling):
    """Enforces nothing, and says so."""

    name = "off"
    enforces: frozenset[str] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.why = dict.fromkeys(("memory", "cpu", "pids", "freeze"), 'switched off by sandbox="off"')

    def _make(self, limits: Limits | None) -> PollingCell:
        return NullCell(limits, self._out.discard)
