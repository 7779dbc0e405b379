"""A run's outcome for people (rich tables) and for programs (one JSON object)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .figures import FIGURES, Figure, Spread, times_better
from .rounds import Outcome
from .targets import PEER, verdicts

FORMAT: Final = 1  # of the JSON object
MET: Final = {True: Text("met", "green"), False: Text("missed", "bold red"), None: Text("not measured", "yellow")}

Stamp = dict[str, str | int | list[float]]


def as_json(outcome: Outcome, stamp: Stamp, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "stamp": stamp,
        "settings": settings,
        "figures": {name: _figures(outcome, name) for name in outcome.turns},
        "rounds": outcome.turns,
        "targets": [asdict(verdict) for verdict in verdicts(outcome)],
        "failures": outcome.failures,
    }


def _figures(outcome: Outcome, name: str) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for figure in FIGURES:
        spread = outcome.spread(name, figure.key)
        if spread:
            ratio = _ratio(outcome, figure, spread)
            found[figure.key] = {**asdict(spread), f"times_better_than_{PEER}": ratio}
    return found


def _ratio(outcome: Outcome, figure: Figure, spread: Spread) -> float | None:
    peer = outcome.spread(PEER, figure.key)
    return times_better(figure, spread.median, peer.median) if peer else None


def show(outcome: Outcome, stamp: Stamp, console: Console) -> None:
    """The ratio table, the targets, what failed, the machine."""
    console.print(_comparison(outcome))
    console.print(_targets(outcome))
    for name, failure in outcome.failures.items():
        console.print(Text(f"{name} failed: {failure}", "bold red"))
    console.print(Text(" · ".join(f"{key} {value}" for key, value in stamp.items() if value), "dim"))


def _comparison(outcome: Outcome) -> Table:
    table = Table(
        title="echo of a small JSON object: median over rounds (lowest–highest)",
        caption="Nx: how many times better than ProcessPoolExecutor in the same run",
    )
    table.add_column("")
    for name in outcome.turns:
        table.add_column(outcome.titles[name], justify="right")
    for figure in FIGURES:
        cells = [_cell(outcome, name, figure) for name in outcome.turns]
        table.add_row(f"{figure.title}, {figure.unit}", *cells, end_section=figure.key == "idle_p50_us")
    return table


def _cell(outcome: Outcome, name: str, figure: Figure) -> str:
    spread = outcome.spread(name, figure.key)
    if spread is None:
        return "–"
    ratio = None if name == PEER else _ratio(outcome, figure, spread)
    better = f"  {ratio:.1f}x" if ratio is not None else ""
    return f"{_number(spread.median)}{better}\n({_number(spread.low)}–{_number(spread.high)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _targets(outcome: Outcome) -> Table:
    table = Table(title="targets")
    for heading in ("what", "target", "measured", ""):
        table.add_column(heading)
    for verdict in verdicts(outcome):
        table.add_row(verdict.what, verdict.target, verdict.measured, MET[verdict.met])
    return table
