"""F1: what the parts of the catalog share: one lock for writers, one snapshot in place, and the disk before both."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from .. import config
from ..clock import Clock
from ..errors import CodeStorageExceededException
from ..model import StoredCode
from .persistence import AnyEdit, Persistence
from .snapshot import Snapshot


class CatalogWriter:
    """`_lock` is held by whoever changes `_snapshot`; who reads takes what is there."""

    _clock: Clock
    _lock: threading.Lock
    _snapshot: Snapshot
    _persistence: Persistence | None
    _retain: Callable[[StoredCode], None] | None
    _release: Callable[[StoredCode], None] | None

    def _write(self, edit: AnyEdit, snapshot: Snapshot) -> None:
        """Put the snapshot in place once the edit is on disk. Raises `ServiceException`, having changed nothing."""
        if self._persistence is not None:
            self._persistence.write(edit)
        self._snapshot = snapshot

    @contextmanager
    def _referring_to(self, *codes: StoredCode) -> Iterator[None]:
        """With one reference more to each, which stays unless the block fails."""
        with ExitStack() as undone:
            for code in codes:
                if self._retain is not None:
                    self._retain(code)
                if self._release is not None:
                    undone.callback(self._release, code)
            yield
            undone.pop_all()


def check_code_storage(snapshot: Snapshot, more_bytes: int) -> None:
    """Raises `CodeStorageExceededException` where so much more is more than an account may store."""
    stored = snapshot.code_bytes()
    if stored + more_bytes > config.CODE_STORAGE_MAX_BYTES:
        raise CodeStorageExceededException(
            f"Code storage limit exceeded: {stored} bytes are stored, {more_bytes} more are over "
            f"{config.CODE_STORAGE_MAX_BYTES}. Delete some functions, versions or layers"
        )


def lambda_time(wall_ms: int) -> str:
    """Unix milliseconds as `2026-01-01T00:00:00.000+0000`."""
    moment = datetime.fromtimestamp(wall_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{wall_ms % 1000:03d}+0000"
