"""F1: the ledger's records as CSV or Parquet, read from its segments in bounded memory. Sums are elsewhere."""

from __future__ import annotations

import csv
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, Literal, TypeAlias

from .._ext.result import STARTS, uuid_text
from ..errors import InvalidParameterValueException
from ..states import Outcome
from . import segments
from .bill import checked_month
from .replay import UNKNOWN
from .segments import Batch, Damage, Line, Source

Format = Literal["csv", "parquet"]
Target: TypeAlias = "str | os.PathLike[str] | IO[Any]"
# Names of columns and Parquet's types for them.
COLUMNS: Final = {
    "request_id": "string", "time": "timestamp", "function": "string", "version": "string", "architecture": "string",
    "region": "string", "memory_mb": "int32", "ephemeral_mb": "int32", "start": "string", "outcome": "string",
    "queued_ns": "int64", "duration_ns": "int64", "init_ns": "int64", "billed_ms": "int64", "max_memory_mb": "int32",
    "environment": "int64",
}  # fmt: skip
OUTCOMES: Final = {outcome.value: outcome.name.lower() for outcome in Outcome}
ROW_GROUP: Final = 65_536
Row: TypeAlias = tuple[Any, ...]


def export_segments(
    folder: Path, target: Target, *, format: Format = "csv", month: str | None = None, upto: int | None = None
) -> int:
    """Write every record, or one month's (`YYYY-MM`, UTC, by when invocations ended), oldest first. How many.

    target: a path, which appears only once it is complete; or an open file, for CSV of text, for Parquet of bytes.
    upto: the sequence number to stop before. Raises InvalidParameterValueException.
    """
    checked_month(month)
    writers: dict[str, Callable[[IO[Any], Iterator[Row]], int]] = {"csv": _write_csv, "parquet": _write_parquet}
    if format not in writers:
        raise InvalidParameterValueException(f"format={format!r}: choose 'csv' or 'parquet'")
    begin_ns, end_ns = span_of(month)
    lines = read_lines(folder, upto)
    rows = (_row(line, source) for line, source in lines if begin_ns <= line.ended_ns < end_ns)
    if isinstance(target, str | os.PathLike):
        with _replacing(Path(target), "" if format == "csv" else "b") as file:
            return writers[format](file, rows)
    return writers[format](target, rows)


def read_lines(folder: Path, upto: int | None = None) -> Iterator[tuple[Line, Source]]:
    """Every record of a ledger's folder once, with what it ran under. Warns of what is damaged.

    With `upto`, the end of the newest segment may be in the making: it is not looked at.
    """
    sequence = 0
    for number in segments.numbers(folder):
        path = segments.path_of(folder, number)
        sources: dict[int, Source] = {}
        for found in _still_there(path):
            if isinstance(found, Damage):
                if upto is None or not found.is_tail:
                    _warn(path, found)
                continue
            sources.update(found.definitions)
            if upto is not None and found.base >= upto:
                return
            if found.base >= sequence:
                sequence = found.base + found.count
                yield from ((line, sources.get(line.source, UNKNOWN)) for line in found.lines())


def _still_there(path: Path) -> Iterator[Batch | Damage]:
    """A segment's batches; none where it was the oldest and has gone meanwhile."""
    try:
        yield from segments.read(path)
    except FileNotFoundError:
        return


def _warn(path: Path, damage: Damage) -> None:
    told = f"{path}: {damage.end - damage.offset} damaged bytes at {damage.offset} are left out"
    warnings.warn(told, RuntimeWarning, stacklevel=4)


def span_of(month: str | None) -> tuple[int, int]:
    """First nanosecond of a month and of the next, in Unix time."""
    if month is None:
        return 0, 2**64
    year, number = map(int, month.split("-"))
    following = (year + 1, 1) if number == 12 else (year, number + 1)
    first, last = (datetime(*when, 1, tzinfo=UTC).timestamp() for when in ((year, number), following))
    return int(first) * 1_000_000_000, int(last) * 1_000_000_000


def _row(line: Line, source: Source) -> Row:
    return (
        uuid_text(line.request_id), line.ended_ns, source.function, source.version, source.architecture, source.region,
        source.memory_mb, source.ephemeral_mb, STARTS[line.start], OUTCOMES[line.outcome], line.queued_ns,
        line.duration_ns, line.init_ns, line.billed_ms, line.max_memory_mb, line.environment,
    )  # fmt: skip


@contextmanager
def _replacing(path: Path, mode: str) -> Iterator[IO[Any]]:
    """A file beside `path` that takes its place when all went well, and else goes."""
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with open(unfinished, f"w{mode}", newline=None if mode else "") as file:
            yield file
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _write_csv(file: IO[Any], rows: Iterator[Row]) -> int:
    count = 0
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    second, second_text = -1, ""
    for row in rows:
        now, rest_ns = divmod(row[1], 1_000_000_000)
        if now != second:
            second, second_text = now, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        writer.writerow((row[0], f"{second_text}.{rest_ns // 1_000_000:03d}Z", *row[2:]))
        count += 1
    return count


def _write_parquet(file: IO[Any], rows: Iterator[Row]) -> int:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InvalidParameterValueException(
            "format='parquet' needs pyarrow: pip install 'invocation-engine[parquet]', or choose 'csv'"
        ) from error
    kinds = {name: getattr(pyarrow, kind)() for name, kind in COLUMNS.items() if kind != "timestamp"}
    kinds["time"] = pyarrow.timestamp("ns", tz="UTC")
    schema = pyarrow.schema([(name, kinds[name]) for name in COLUMNS])
    count = 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := [row for _, row in zip(range(ROW_GROUP), rows, strict=False)]:
            columns = [pyarrow.array(values, schema.field(i).type) for i, values in enumerate(zip(*group, strict=True))]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
            count += len(group)
    return count
