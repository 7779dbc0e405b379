"""F1: appends batches to a ledger's segments, begins new ones, removes the oldest. `ledger.py` says when."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from .._ext.journal import Chunk
from . import segments
from .segments import Source

SEGMENT_BYTES_MAX: Final = 67_108_864
SEGMENTS_LEAST: Final = 4  # of a ledger that is kept small


class SegmentWriter:
    """The end of a ledger: `number` and `offset` say where the next batch goes. One thread at a time."""

    def __init__(self, folder: Path, number: int, offset: int, ledger_bytes: int) -> None:
        self._folder = folder
        self._ledger_bytes = ledger_bytes
        self._segment_bytes = min(SEGMENT_BYTES_MAX, ledger_bytes // SEGMENTS_LEAST)
        self._fd = -1
        self._named = bytearray()
        self.number = number
        self.offset = offset

    @property
    def path(self) -> Path:
        """The segment that the next batch goes to."""
        return segments.path_of(self._folder, self.number)

    @property
    def is_full(self) -> bool:
        """Whether the next batch belongs into a new segment."""
        return self.offset >= self._segment_bytes

    def append(self, chunk: Chunk, sources: Sequence[Source]) -> None:
        """Make a batch durable. Raises OSError: then the next attempt goes to a new segment.

        What a failed sync has left in the kernel's cache is not to be trusted, even if a later sync succeeds.
        """
        if self._fd < 0:
            self._open()
        self._named.extend(bytes(len(sources) - len(self._named)))
        definitions = {number: sources[number] for number in chunk.unnamed(self._named)}
        head = segments.head(chunk.base, chunk.count, definitions, time.time_ns())
        try:
            self.offset += chunk.write(self._fd, self.offset, head)
        except OSError:
            self._abandon()
            raise

    def restate(self) -> None:
        """Have what follows define its sources again: from here the segment can be read alone."""
        self._named = bytearray()

    def rotate(self) -> None:
        """Go on in a new segment."""
        self.close()
        self.number += 1
        self.offset = 0

    def remove_oldest(self, counted_upto: int) -> int:
        """Make room for one more segment among what may be kept, at the cost of the oldest. How many went.

        Only those before segment `counted_upto` go: their records are in the sums.
        """
        kept = [(number, segments.path_of(self._folder, number)) for number in segments.numbers(self._folder)]
        total = sum(path.stat().st_size for _, path in kept)
        removed = 0
        for number, path in kept:
            if total + self._segment_bytes <= self._ledger_bytes or number >= min(counted_upto, self.number):
                break
            total -= path.stat().st_size
            path.unlink()
            removed += 1
        return removed

    def close(self) -> None:
        """Let go of the file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        self.restate()

    def _open(self) -> None:
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        sync_folder(self._folder)

    def _abandon(self) -> None:
        """Leave a segment as it was before the batch that failed, and go on in another one."""
        path, offset = self.path, self.offset
        with suppress(OSError):  # the disk fails already: a reader knows a torn tail, and a sequence number that it had
            os.ftruncate(self._fd, offset)
            if offset == 0:
                path.unlink()
        self.rotate()


def truncate(path: Path, length: int) -> None:
    """Cut a segment off, durably."""
    with open(path, "r+b") as file:
        file.truncate(length)
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
