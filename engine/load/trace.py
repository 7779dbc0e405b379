"""F5: replays of the Azure Functions 2019 trace: its CSV of invocations per minute, and arrivals made of it.

The file (https://github.com/Azure/AzurePublicDataset, "invocations per function") has the columns HashOwner, HashApp,
HashFunction, Trigger, 1 ... 1440: one row per function, one count per minute of a day.

The mapping: of the rows, the `top` with most invocations in the chosen minutes are replayed, the busiest first; rank i
goes to the i-th given function, and round again where `top` is above their number. All other rows are left out, and
how many invocations that leaves out is told.
"""

from __future__ import annotations

import csv
import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, Literal, TypeAlias

MINUTES: Final = 1_440
KEYS: Final = ("HashOwner", "HashApp", "HashFunction", "Trigger")
MINUTE_NS: Final = 60_000_000_000
COUNT_MAX: Final = 100_000_000  # in one cell; the trace's own highest is far below

Within: TypeAlias = Literal["uniform", "poisson"]


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One function of the trace and its counts in the chosen minutes."""

    function: str
    trigger: str
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """What is replayed (busiest first), and what was left out."""

    rows: tuple[TraceRow, ...]
    left_out_rows: int
    left_out_invocations: int

    @property
    def invocations(self) -> int:
        return sum(sum(row.counts) for row in self.rows)


def parse_minutes(text: str) -> range:
    """`A-B`, both counted from 1 and included, or one minute. Raises ValueError, naming the value."""
    first, dash, last = text.partition("-")
    if first.isdecimal() and (last if dash else first).isdecimal():
        chosen = range(int(first), int(last or first) + 1)
        if chosen and chosen[0] >= 1 and chosen[-1] <= MINUTES:
            return chosen
    raise ValueError(f"{text!r} is not a part of a day: write A-B with 1 <= A <= B <= {MINUTES}, as in 1-60")


def read_trace(path: Path, minutes: range, top: int) -> Trace:
    """The `top` rows with most invocations in `minutes`; only those are held in memory.

    Raises ValueError for another format, naming line and value; OSError where the file cannot be read.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        start = _minute_column(path, next(reader, []), minutes)
        kept: list[tuple[int, int, TraceRow]] = []
        rows = total = 0
        for fields in reader:
            row = _row(path, reader.line_num, fields, start, len(minutes))
            invocations = sum(row.counts)
            rows, total = rows + 1, total + invocations
            keep = heapq.heappush if len(kept) < top else heapq.heappushpop
            keep(kept, (invocations, -rows, row))  # of two with the same count, the earlier
    busiest = tuple(row for _, _, row in sorted(kept, key=lambda entry: entry[:2], reverse=True))
    trace = Trace(busiest, rows - len(busiest), total - sum(sum(row.counts) for row in busiest))
    if not trace.invocations:
        raise ValueError(f"{path}: no invocation in minutes {minutes[0]}-{minutes[-1]}: choose others by --minutes")
    return trace


def _minute_column(path: Path, header: list[str], minutes: range) -> int:
    """Where the first chosen minute stands; every chosen one must follow in order."""
    wanted = [*KEYS, *(str(minute) for minute in minutes)]
    if header[: len(KEYS)] == list(KEYS) and wanted[len(KEYS)] in header:
        start = header.index(wanted[len(KEYS)])
        if header[start : start + len(minutes)] == wanted[len(KEYS) :]:
            return start
    raise ValueError(
        f"{path}: the first line must name the columns {', '.join(KEYS)} and minutes {minutes[0]} to {minutes[-1]}; "
        f"it begins {','.join(header)[:80]!r} and has {len(header)} columns"
    )


def _row(path: Path, line: int, fields: list[str], start: int, minutes: int) -> TraceRow:
    cells = fields[start : start + minutes]
    wrong = next((cell for cell in cells if not (cell.isdecimal() and int(cell) <= COUNT_MAX)), None)
    if wrong is not None or len(cells) < minutes:
        what = f"has {len(fields)} columns" if wrong is None else f"has {wrong!r} where a count must stand"
        raise ValueError(f"{path}, line {line}: {what}")
    return TraceRow(fields[2], fields[3], tuple(map(int, cells)))


def arrivals(
    rows: Sequence[TraceRow], functions: int, within: Within, seed: int, speed: float = 1.0
) -> Iterator[tuple[int, int]]:
    """(nanoseconds since the start, which function), in order; every minute has exactly its count.

    Within a minute: "uniform" spaces them evenly, each row with an offset of its own; "poisson" puts them where a
    Poisson process with that many arrivals would. `speed` 60 replays a minute in a second.
    """
    streams = [
        _of_row(row, rank % functions, WITHIN[within], Random(f"{seed} {rank}"), speed) for rank, row in enumerate(rows)
    ]
    return heapq.merge(*streams)


def _of_row(row: TraceRow, function: int, spread: Spread, rng: Random, speed: float) -> Iterator[tuple[int, int]]:
    for minute, count in enumerate(row.counts):
        for share in spread(count, rng):
            yield int((minute + share) * MINUTE_NS / speed), function


def _evenly(count: int, rng: Random) -> Iterator[float]:
    offset = rng.random()
    return ((number + offset) / count for number in range(count))


def _at_random(count: int, rng: Random) -> Iterator[float]:
    """`count` independent uniform draws in ascending order, made one by one: nothing is held or sorted."""
    at = 0.0
    for left in range(count, 0, -1):
        at += (1.0 - at) * (1.0 - (1.0 - rng.random()) ** (1.0 / left))
        yield min(at, 1.0 - 2**-53)


Spread: TypeAlias = Callable[[int, Random], Iterator[float]]
WITHIN: Final[dict[Within, Spread]] = {"uniform": _evenly, "poisson": _at_random}
