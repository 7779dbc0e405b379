"""A run's outcome for people (rich tables) and for programs (one JSON object)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .comparison import Comparison, Outcome, Verdict
from .figures import Figure, Spread, times_better

FORMAT: Final = 1  # of the JSON object
MET: Final = {True: Text("met", "green"), False: Text("missed", "bold red"), None: Text("not measured", "yellow")}

Stamp = dict[str, str | float | list[float]]


def as_json(comparison: Comparison, outcome: Outcome, stamp: Stamp, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "stamp": stamp,
        "settings": settings,
        "figures": {name: _figures(comparison, outcome, name) for name in outcome.turns},
        "rounds": outcome.turns,
        "targets": [asdict(verdict) for verdict in comparison.verdicts(outcome)],
        "failures": outcome.failures,
    }


def _figures(comparison: Comparison, outcome: Outcome, name: str) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for figure in comparison.figures:
        spread = outcome.spread(name, figure.key)
        if spread:
            ratio = _ratio(comparison, outcome, figure, spread)
            found[figure.key] = {**asdict(spread), f"times_better_than_{comparison.peer}": ratio}
    return found


def _ratio(comparison: Comparison, outcome: Outcome, figure: Figure, spread: Spread) -> float | None:
    peer = outcome.median(comparison.peer, figure.key)
    return None if peer is None else times_better(figure, spread.median, peer)


def show(comparison: Comparison, outcome: Outcome, stamp: Stamp, console: Console) -> None:
    """The ratio table, the targets, what failed, the machine."""
    console.print((_contenders_across if comparison.contenders_across else _contenders_down)(comparison, outcome))
    console.print(targets_table(comparison.verdicts(outcome)))
    for name, failure in outcome.failures.items():
        console.print(Text(f"{name} failed: {failure}", "bold red"))
    show_stamp(stamp, console)


def show_stamp(stamp: Stamp, console: Console) -> None:
    """The machine and the versions, small."""
    console.print(Text(" · ".join(f"{key} {value}" for key, value in stamp.items() if value), "dim"))


def _contenders_across(comparison: Comparison, outcome: Outcome) -> Table:
    table = _table(comparison)
    for name in outcome.turns:
        table.add_column(outcome.titles[name], justify="right")
    for figure in comparison.figures:
        cells = [_cell(comparison, outcome, name, figure) for name in outcome.turns]
        table.add_row(f"{figure.title}, {figure.unit}", *cells, end_section=figure.ends_section)
    return table


def _contenders_down(comparison: Comparison, outcome: Outcome) -> Table:
    table = _table(comparison)
    for figure in comparison.figures:
        table.add_column(f"{figure.title}, {figure.unit}", justify="right", no_wrap=False)
    for name in outcome.turns:
        cells = [_cell(comparison, outcome, name, figure) for figure in comparison.figures]
        table.add_row(outcome.titles[name].replace("-\n", "").replace("\n", " "), *cells)
    return table


def _table(comparison: Comparison) -> Table:
    table = Table(title=comparison.title, caption=comparison.caption)
    table.add_column("")
    return table


def _cell(comparison: Comparison, outcome: Outcome, name: str, figure: Figure) -> str:
    spread = outcome.spread(name, figure.key)
    if spread is None:
        return "–"
    ratio = None if name == comparison.peer else _ratio(comparison, outcome, figure, spread)
    better = f"  {_times(ratio)}x" if ratio is not None else ""
    return f"{number(spread.median)}{better}\n({number(spread.low)}–{number(spread.high)})"


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio >= 0.1 else f"{ratio:.1g}"


def number(value: float) -> str:
    """Three digits or so, for people."""
    if value >= 1_000_000:
        return f"{value / 1e6:.2f} M"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def targets_table(verdicts: Sequence[Verdict]) -> Table:
    """Targets and whether they are met."""
    table = Table(title="targets")
    for heading in ("what", "target", "measured", ""):
        table.add_column(heading)
    for verdict in verdicts:
        table.add_row(verdict.what, verdict.target, verdict.measured, MET[verdict.met])
    return table
