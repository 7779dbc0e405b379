"""Ledgers of their own, and records that no engine made: what tests of the ledger write and expect."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from engine.records.export import read_lines
from engine.records.ledger import InvocationLedger
from engine.records.segments import RECORD, Line, Source

GIB = 1 << 30
HELLO = Source("hello", "$LATEST", "x86_64", 128, 512, "us-east-1")
RESIZE = Source("resize", "1", "arm64", 1_024, 1_536, "us-east-1")
NUMBERS = count(1)
COLD, WARM, PROVISIONED = 0, 1, 2
OK, ERROR, TIMEOUT, EXIT, OOM = range(5)


def at(text: str) -> int:
    """Unix nanoseconds of an ISO date and time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def line(**fields: Any) -> Line:
    """A record of 10 billed milliseconds; `fields` say what is different."""
    given = {
        "request_id": uuid.UUID(int=next(NUMBERS)).bytes, "ended_ns": at("2026-11-05T12:00"), "queued_ns": 1_000,
        "duration_ns": 9_500_000, "init_ns": 0, "source": 0, "billed_ms": 10, "environment": 1, "max_memory_mb": 30,
        "start": WARM, "outcome": OK,
    }  # fmt: skip
    return Line(**{**given, **fields})  # type: ignore[arg-type]


def put(ledger: InvocationLedger, *lines: Line) -> None:
    """Append as a lane would."""
    for each in lines:
        ledger.journal.record(RECORD.pack(*each))


@contextmanager
def ledger(
    folder: Path | None, *sources: Source, ledger_bytes: int = GIB, **settings: Any
) -> Iterator[InvocationLedger]:
    """An open ledger whose thread writes when it is told to: `flush`. `sources` are numbered from 0."""
    opened = InvocationLedger(folder, ledger_bytes=ledger_bytes, busy=lambda: False, **settings)
    try:
        for source in sources or (HELLO, RESIZE):
            opened.source(source)
        yield opened
    finally:
        opened.close()


def kept(folder: Path) -> list[tuple[Line, Source]]:
    """Every whole record of a folder, whatever is damaged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return list(read_lines(folder))


def requests(opened: InvocationLedger) -> int:
    """How many the sums know."""
    opened.flush()
    return sum(use.requests for _, use in opened.rollups.sums("day")[0])
