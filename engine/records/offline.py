"""F1: the bill and the records of a data folder, read without an engine; one may be running there."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import InvalidParameterValueException
from . import export
from .bill import Bill, checked_by, checked_month
from .ledger import ROLLUPS
from .prices import PriceList
from .replay import replay
from .rollups import By, Rollups
from .statistics import BillTable


def ledger_folder(data_dir: str | os.PathLike[str]) -> Path:
    """Where a data folder has its ledger. Raises InvalidParameterValueException where there is none."""
    folder = Path(data_dir) / "ledger"
    if not (folder / ROLLUPS).is_file():
        raise InvalidParameterValueException(f"{data_dir} holds no ledger: give the data_dir of an engine")
    return folder


def bill_of_folder(
    data_dir: str | os.PathLike[str], *, by: By = "function", month: str | None = None, free_tier: bool = False
) -> BillTable:
    """What AWS would charge; see `Engine.bill`. Nothing in the folder is changed."""
    checked_by(by)
    checked_month(month)
    folder = ledger_folder(data_dir)
    rollups = Rollups(folder / ROLLUPS, read_only=True)
    try:
        sums, position = rollups.sums(by, month)
    finally:
        rollups.close()
    later = [(key, use) for key, use in replay(folder, position).uses.items() if month in (None, key.day[:7])]
    bill = Bill(PriceList.load(), sums + later)
    return BillTable(tuple(bill.lines(by)), bill.total(free_tier=free_tier))


def export_folder(
    data_dir: str | os.PathLike[str], target: export.Target, *, format: export.Format = "csv", month: str | None = None
) -> int:
    """Write the records of a data folder; see `Engine.export_ledger`. How many."""
    return export.export_segments(ledger_folder(data_dir), target, format=format, month=month)
