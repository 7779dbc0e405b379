"""F1: what the parts of the catalog share: one lock for writers, one snapshot in place, and the disk before both."""

from __future__ import annotations

import threading

from ..clock import Clock
from .persistence import AnyEdit, Persistence
from .snapshot import Snapshot


class CatalogWriter:
    """`_lock` is held by whoever changes `_snapshot`; who reads takes what is there."""

    _clock: Clock
    _lock: threading.Lock
    _snapshot: Snapshot
    _persistence: Persistence | None

    def _write(self, edit: AnyEdit, snapshot: Snapshot) -> None:
        """Put the snapshot in place once the edit is on disk. Raises `ServiceException`, having changed nothing."""
        if self._persistence is not None:
            self._persistence.write(edit)
        self._snapshot = snapshot
