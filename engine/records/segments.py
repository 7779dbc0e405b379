"""F1: the ledger's files: numbered segments of batches of records, each readable alone. Who writes them is `ledger.py`.

A batch is a head, the definitions of sources that it is the first to use, and its records, 64 bytes each. The head:
magic word, CRC-32C of all that follows it, sequence number of the first record, count of records, bytes of
definitions, Unix time of writing. A definition gives the number that records carry a meaning from this batch on.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from .._ext.journal import CHUNK_RECORDS, RECORD_BYTES, checksum

MAGIC: Final = b"LGR1"
HEAD: Final = struct.Struct("<4sIQIIQ")
RECORD: Final = struct.Struct("<16sQQQQIIIHBB")
COVERED_FROM: Final = 8  # the check sum covers everything after itself
DEFINITIONS_MAX_BYTES: Final = 67_108_864
NS_PER_DAY: Final = 86_400_000_000_000


class Source(NamedTuple):
    """What a record's source number stands for: the configuration that its invocation ran under."""

    function: str
    version: str
    architecture: str
    memory_mb: int
    ephemeral_mb: int
    region: str


class Line(NamedTuple):
    """One record. `ended_ns` is Unix time; `start` and `outcome` are the codes of the compiled ledger."""

    request_id: bytes
    ended_ns: int
    queued_ns: int
    duration_ns: int
    init_ns: int
    source: int
    billed_ms: int
    environment: int
    max_memory_mb: int
    start: int
    outcome: int


@dataclass(frozen=True, slots=True)
class Batch:
    """`offset` to `end` is where it lies in its segment. `definitions` by source number."""

    offset: int
    end: int
    base: int
    count: int
    definitions: dict[int, Source]
    records: memoryview

    def lines(self) -> Iterator[Line]:
        """Its records."""
        return map(Line._make, RECORD.iter_unpack(self.records))


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that are no batch: a torn tail where nothing whole follows, else a hole."""

    offset: int
    end: int
    is_tail: bool


def head(base: int, count: int, definitions: dict[int, Source], wall_ns: int) -> bytearray:
    """Everything of a batch but its records and its check sum, which `Chunk.write` fills in."""
    told = json.dumps([[number, *source] for number, source in definitions.items()]).encode() if definitions else b""
    return bytearray(HEAD.pack(MAGIC, 0, base, count, len(told), wall_ns) + told)


def path_of(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}.seg"


def numbers(folder: Path) -> list[int]:
    """The segments of a folder, oldest first."""
    return sorted(int(file.stem) for file in folder.glob("*.seg") if file.stem.isdecimal())


def read(path: Path, offset: int = 0) -> Iterator[Batch | Damage]:
    """The batches of a segment from a place where one begins, and what is damaged between them. One at a time."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while offset < size:
            found = _batch_at(file, offset, size)
            if found is None:
                following = _next_batch(file, offset + 1, size)
                yield Damage(offset, size if following is None else following, following is None)
                if following is None:
                    return
                offset = following
            else:
                yield found
                offset = found.end


def _batch_at(file: BinaryIO, offset: int, size: int) -> Batch | None:
    """The batch that begins there, if it is whole and its check sum right."""
    file.seek(offset)
    head_bytes = file.read(HEAD.size)
    if len(head_bytes) < HEAD.size:
        return None
    magic, crc, base, count, definitions_bytes, _ = HEAD.unpack(head_bytes)
    length = HEAD.size + definitions_bytes + count * RECORD_BYTES
    plausible = magic == MAGIC and count <= CHUNK_RECORDS and definitions_bytes <= DEFINITIONS_MAX_BYTES
    if not plausible or offset + length > size:
        return None
    raw = head_bytes + file.read(length - HEAD.size)
    if checksum(memoryview(raw)[COVERED_FROM:]) != crc:
        return None
    records_at = HEAD.size + definitions_bytes
    told = json.loads(raw[HEAD.size : records_at]) if definitions_bytes else []
    definitions = {number: Source(*source) for number, *source in told}
    return Batch(offset, offset + length, base, count, definitions, memoryview(raw)[records_at:])


def _next_batch(file: BinaryIO, offset: int, size: int) -> int | None:
    """Where the next whole batch begins. Reads the rest of the segment at once: a segment is at most 65 MB or so."""
    file.seek(offset)
    rest = file.read()
    place = rest.find(MAGIC)
    while place >= 0:
        if _batch_at(file, offset + place, size) is not None:
            return offset + place
        place = rest.find(MAGIC, place + 1)
    return None
