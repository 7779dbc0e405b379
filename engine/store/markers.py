"""F1: which unpacked trees can be believed after a crash. Unpacking them is `blobs`' work.

A zip is on disk before anything refers to it; its tree is not, because syncing every file of every tree would cost a
deployment far more than unpacking does. A kill takes nothing back that was written: a tree that is there, having come
by rename, is whole for as long as the kernel runs. Only a power cut or a crash of the host leaves files short. So
beside each tree lies a marker, written before it: the boot in which it was unpacked, or that it has been settled,
which means flushed to disk. A tree that was unpacked in an earlier boot and never settled is unpacked anew.

Trees are settled together, by one flush of the file system: `UNSETTLED_MAX` at a time, and on closing.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .._ext import linux

SUFFIX: Final = ".unpacked"
UNSETTLED_MAX: Final = 64  # trees that one power cut costs at most

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_SETTLED: Final = "settled"


class Markers:
    """The markers in one folder. Any thread may call."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._boot = _BOOT.read_text().strip()
        self._lock = threading.Lock()
        self._unsettled: set[str] = set()

    def path(self, sha: str) -> Path:
        return self._root / f"{sha}{SUFFIX}"

    def unpacking(self, *shas: str) -> None:
        """Their trees come next. What has come before them by name, their zips too, is on disk afterwards."""
        with self._lock:
            for sha in shas:
                self._write(sha, self._boot)
            self._unsettled.update(shas)
        sync_folder(self._root)

    def is_whole(self, sha: str) -> bool:
        """Whether the tree that is there can be believed."""
        try:
            word = self.path(sha).read_text()
        except (FileNotFoundError, UnicodeDecodeError):
            return False
        if word == self._boot:
            self._unsettled.add(sha)
        return word in (self._boot, _SETTLED)

    def settle(self, *, least: int = 1) -> None:
        """Flush the trees that are not settled, if they are at least so many.

        Where the disk refuses, they stay what they were: unsettled.
        """
        with self._lock:
            if len(self._unsettled) < least:
                return
            batch, self._unsettled = self._unsettled, set()
        with contextlib.suppress(OSError):
            _flush(self._root)
            for sha in batch:
                with self._lock:
                    if sha not in self._unsettled and self.path(sha).exists():  # else it was deleted or unpacked anew
                        self._write(sha, _SETTLED)

    def _write(self, sha: str, word: str) -> None:
        """By rename, so that an older marker's word never stands beside a newer tree."""
        made = self._root / f".incoming-{sha}{SUFFIX}"
        made.write_text(word)
        made.replace(self.path(sha))


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk. Raises OSError."""
    with _opened(folder) as descriptor:
        os.fsync(descriptor)


def _flush(folder: Path) -> None:
    with _opened(folder) as descriptor:
        linux.flush(descriptor)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
