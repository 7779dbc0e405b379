"""The bill over months and tiers, and the records as CSV and Parquet, of ledgers with records that no engine made."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from pathlib import Path

import pyarrow
import pytest
from keeping import COLD, ERROR, HELLO, OOM, RESIZE, TIMEOUT, at, ledger, line, put
from pyarrow import parquet

from engine.errors import InvalidParameterValueException
from engine.records.bill import Bill
from engine.records.export import COLUMNS, export_segments
from engine.records.offline import bill_of_folder, export_folder
from engine.records.prices import PriceList
from engine.records.rollups import EARLIER, Position, RollupKey, Rollups, Use
from engine.records.segments import Line, Source

PRICES = PriceList.load()
NOVEMBER, DECEMBER = at("2026-11-30T23:59"), at("2026-12-01T00:01")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Two functions over two months: five invocations in November, two in December."""
    with ledger(tmp_path / "ledger", HELLO, RESIZE, HELLO._replace(version="2")) as opened:
        november = [line(start=COLD, init_ns=7), line(outcome=ERROR), line(outcome=TIMEOUT), line(source=2)]
        put(opened, *[each._replace(ended_ns=NOVEMBER) for each in november])
        put(opened, line(source=1, ended_ns=NOVEMBER, billed_ms=1_000))
        opened.flush()
        put(opened, line(ended_ns=DECEMBER, outcome=OOM), line(source=1, ended_ns=DECEMBER, billed_ms=500))
    return tmp_path


def test_a_bill_has_lines_by_function_version_and_day(data_dir: Path) -> None:
    table = bill_of_folder(data_dir)
    told = [(one.function, one.requests, one.errors, one.cold_starts, one.billed_ms) for one in table.lines]
    assert told == [("hello", 5, 3, 1, 50), ("resize", 2, 0, 0, 1_500)]
    assert (table.total.requests, table.total.errors, table.total.billed_ms) == (7, 3, 1_550)
    versions = bill_of_folder(data_dir, by="version").lines
    assert [(one.function, one.version, one.requests) for one in versions] == [
        ("hello", "$LATEST", 4), ("hello", "2", 1), ("resize", "1", 2),
    ]  # fmt: skip
    days = bill_of_folder(data_dir, by="day").lines
    assert [(one.function, one.day, one.requests) for one in days] == [
        ("hello", "2026-11-30", 4), ("hello", "2026-12-01", 1),
        ("resize", "2026-11-30", 1), ("resize", "2026-12-01", 1),
    ]  # fmt: skip


def test_a_month_is_billed_alone_and_the_months_add_up(data_dir: Path) -> None:
    months = [bill_of_folder(data_dir, month=month).total for month in ("2026-11", "2026-12", "2027-01")]
    assert [month.requests for month in months] == [5, 2, 0]
    assert sum(month.cost for month in months) == bill_of_folder(data_dir).total.cost


def test_a_bills_cost_is_that_of_its_memory_architecture_and_storage(data_dir: Path) -> None:
    hello, resize = bill_of_folder(data_dir).lines
    assert hello.cost == PRICES.cost(5, Decimal(50 * 128) / 1_024_000)
    gb_s = Decimal(1_500 * 1_024) / 1_024_000
    assert resize.cost == PRICES.cost(2, gb_s, "arm64", gb_s)  # 1,536 MB of /tmp are 1,024 above what is free
    assert bill_of_folder(data_dir, free_tier=True).total.cost == gb_s * Decimal("0.0000000309")


@pytest.mark.parametrize("month", ["2026-13", "2026-1", "november", "2026-11-01", ""])
def test_a_bad_month_is_refused_with_the_form(data_dir: Path, month: str) -> None:
    for refused in (bill_of_folder, lambda folder, month: export_folder(folder, io.StringIO(), month=month)):
        with pytest.raises(InvalidParameterValueException, match="such as '2026-11'") as told:
            refused(data_dir, month=month)
        assert repr(month) in str(told.value)


def test_a_bad_grouping_format_or_folder_is_refused(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterValueException, match="by='week'"):
        bill_of_folder(data_dir, by="week")  # type: ignore[arg-type]
    with pytest.raises(InvalidParameterValueException, match="format='xlsx'"):
        export_folder(data_dir, io.StringIO(), format="xlsx")  # type: ignore[arg-type]
    with pytest.raises(InvalidParameterValueException, match="holds no ledger"):
        bill_of_folder(tmp_path / "ledger")


def test_tiers_begin_anew_with_each_month() -> None:
    """1 GB for 7 billion seconds in each of two months: 6 billion at the first price, the rest at the second."""
    sums = Rollups(None)
    seconds = 7_000_000_000
    use = Use(1, billed_ms=seconds * 1_000, mb_ms=seconds * 1_024_000)
    for day in ("2026-11-30", "2026-12-01"):
        key = RollupKey("big", "1", day, "x86_64", 1_024, "us-east-1")
        sums.add({key: use}, Position(0, 0, 1))
    month = PRICES.cost(1, Decimal(seconds))
    assert month == Decimal("0.0000002") + 6_000_000_000 * Decimal("0.0000166667") + 10**9 * Decimal("0.000015")
    assert Bill(PRICES, sums.sums("function")[0]).total().cost == 2 * month
    assert Bill(PRICES, sums.sums("function", "2026-12")[0]).total().cost == month
    sums.close()


def test_a_bill_counts_what_is_on_disk_and_not_yet_in_the_sums(data_dir: Path) -> None:
    (data_dir / "ledger" / "rollups.db").unlink()
    Rollups(data_dir / "ledger" / "rollups.db").close()
    assert bill_of_folder(data_dir).total.requests == 7
    assert bill_of_folder(data_dir, month="2026-12").total.requests == 2


def test_sums_in_memory_are_bounded_and_add_up_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.records.rollups.ROWS_IN_MEMORY_MAX", 3)
    sums = Rollups(None)
    for day in range(1, 10):
        key = RollupKey("hello", "1", f"2026-03-0{day}", "x86_64", 128, "us-east-1")
        sums.add({key: Use(1, billed_ms=1_000)}, Position(0, 0, 0))
    rows = {key.day: use.requests for key, use in sums.sums("day")[0]}
    assert rows == {EARLIER: 7, "2026-03-08": 1, "2026-03-09": 1}
    sums.close()


def expected_rows(lines: list[tuple[Line, Source]]) -> list[dict[str, object]]:
    """What needs no rendering."""
    of_line = ("queued_ns", "duration_ns", "init_ns", "billed_ms", "max_memory_mb", "environment")
    return [source._asdict() | {name: getattr(each, name) for name in of_line} for each, source in lines]


def some_lines() -> list[tuple[Line, Source]]:
    kinds = [
        line(start=COLD, init_ns=5_000_000), line(outcome=ERROR), line(outcome=TIMEOUT, ended_ns=DECEMBER),
        line(source=1, outcome=OOM, ended_ns=DECEMBER + 123_456_789),
    ]  # fmt: skip
    return [(each, (HELLO, RESIZE)[each.source]) for each in kinds]


def test_csv_holds_every_field_of_every_record(tmp_path: Path) -> None:
    lines = some_lines()
    with ledger(tmp_path / "ledger") as opened:
        put(opened, *[each for each, _ in lines])
    assert export_folder(tmp_path, tmp_path / "all.csv") == 4
    with open(tmp_path / "all.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert [
        {name: row[name] for name in expected} for row, expected in zip(rows, expected_rows(lines), strict=True)
    ] == [{name: str(value) for name, value in expected.items()} for expected in expected_rows(lines)]
    assert [row["outcome"] for row in rows] == ["ok", "error", "timeout", "oom"]
    assert [row["start"] for row in rows] == ["cold", "warm", "warm", "warm"]
    assert rows[3]["time"] == "2026-12-01T00:01:00.123Z"
    assert rows[0]["request_id"].replace("-", "") == lines[0][0].request_id.hex()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.csv", "ledger"]


def test_parquet_holds_the_same_with_types(tmp_path: Path) -> None:
    lines = some_lines()
    with ledger(tmp_path / "ledger") as opened:
        put(opened, *[each for each, _ in lines])
    file = io.BytesIO()
    assert export_folder(tmp_path, file, format="parquet") == 4
    table = parquet.read_table(pyarrow.BufferReader(file.getvalue()))
    assert table.column_names == list(COLUMNS)
    rows = table.select(list(expected_rows(lines)[0])).to_pylist()
    assert rows == expected_rows(lines)
    assert table["time"].cast(pyarrow.int64()).to_pylist() == [each.ended_ns for each, _ in lines]
    assert table["outcome"].to_pylist() == ["ok", "error", "timeout", "oom"]


def test_a_months_export_has_that_month_only(tmp_path: Path) -> None:
    with ledger(tmp_path / "ledger") as opened:
        put(opened, line(ended_ns=NOVEMBER), line(ended_ns=DECEMBER), line(ended_ns=DECEMBER))
    for month, count in (("2026-11", 1), ("2026-12", 2), ("2027-01", 0)):
        text = io.StringIO()
        assert export_folder(tmp_path, text, month=month) == count
        assert text.getvalue().count("\n") == count + 1
        assert export_folder(tmp_path, tmp_path / "month.parquet", format="parquet", month=month) == count


def test_an_export_stops_before_what_is_being_written(tmp_path: Path) -> None:
    with ledger(tmp_path) as opened:
        put(opened, line())
        opened.flush()
        upto = opened.journal.settled
        put(opened, line())
        opened.flush()
        assert export_segments(tmp_path, io.StringIO(), upto=upto) == 1


def test_an_export_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with ledger(tmp_path / "ledger", HELLO) as opened:
        put(opened, line(outcome=77))  # whole by its check sum, and of no meaning
    with pytest.raises(KeyError):
        export_folder(tmp_path, tmp_path / "half.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["ledger"]
