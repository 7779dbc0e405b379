"""Cold starts beside starting an interpreter: how long, how many in a second, how much memory one more takes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Final

import uvloop
from rich.console import Console
from rich.table import Table

from .cold_memory import heavy_memory, hello_memory
from .cold_rounds import SNAPSHOT, Row, Rows, Settings, heavy, hello, miss
from .comparison import Verdict
from .figures import Figure, times_better
from .report import Stamp, number, show_stamp, targets_table
from .starts import NotAvailable, make_layer

PYTHON: Final = "python3"
IMPORTS: Final = "python3 imports"


def cold(settings: Settings, say: Callable[[str], None]) -> Rows:
    """All rounds, then memory, which is the same in each."""
    rows: Rows = {}
    with tempfile.TemporaryDirectory(prefix="cold-starts-") as folder:
        layer = make_layer(Path(folder))
        for round_number in range(settings.rounds):
            say(f"round {round_number + 1} of {settings.rounds}")
            uvloop.run(hello(rows, settings, round_number))
            _heavy(rows, lambda: uvloop.run(heavy(rows, settings, layer)))
        say("memory")
        uvloop.run(hello_memory(rows, settings))
        _heavy(rows, lambda: uvloop.run(heavy_memory(rows, settings, layer)))
    return rows


def _heavy(rows: Rows, measured: Callable[[], object]) -> None:
    try:
        measured()
    except NotAvailable as why:
        miss(rows, SNAPSHOT, str(why))


def verdicts(rows: Rows) -> list[Verdict]:
    """`PERFORMANCE` as rows: a bound of our own, and how much better than the peer of the same rounds."""
    return [
        _latency(rows, "hello, machine idle, p50", PYTHON, most_ms=3.0, least_ratio=4.0),
        _latency(rows, "hello, machine idle, p99", PYTHON, most_ms=10.0, least_ratio=None),
        _latency(rows, f"{SNAPSHOT}, p50", IMPORTS, most_ms=5.0, least_ratio=30.0),
        _rate(rows, "hello, sustained", least=500),
        _rate(rows, f"{SNAPSHOT}, sustained", least=200),
        _memory(rows, "hello", most_mb=1.0),
        _memory(rows, SNAPSHOT, most_mb=3.0),
    ]


def _latency(rows: Rows, what: str, peer: str, *, most_ms: float, least_ratio: float | None) -> Verdict:
    target = f"≤ {most_ms:g} ms" + (f"; ≥ {least_ratio:g}x faster than {peer}" if least_ratio else "")
    row = rows.get(what)
    if row is None:
        return _not_measured(rows, what, target)
    took_ms, better = median(row.ours), ratio(row, peer)
    met = took_ms <= most_ms and (least_ratio is None or better >= least_ratio)
    return Verdict(what, target, f"{took_ms:.2f} ms; {better:.1f}x", met)


def _rate(rows: Rows, what: str, *, least: float) -> Verdict:
    row = rows.get(what)
    if row is None:
        return _not_measured(rows, what, f"≥ {least:g}/s")
    return Verdict(what, f"≥ {least:g}/s", f"{median(row.ours):,.0f}/s", median(row.ours) >= least)


def _memory(rows: Rows, whose: str, *, most_mb: float) -> Verdict:
    """By PSS, to which an environment's part of the pages that it shares with its init belongs."""
    what, target = f"{whose}, memory of one more", f"≤ {most_mb:g} MB"
    uss, pss = (rows.get(f"{whose}, {kind} of one more") for kind in ("USS", "PSS"))
    if uss is None or pss is None:
        return _not_measured(rows, what, target)
    measured = f"{median(pss.ours):.2f} MB; USS alone {median(uss.ours):.2f} MB"
    return Verdict(what, target, measured, median(pss.ours) <= most_mb)


def _not_measured(rows: Rows, what: str, target: str) -> Verdict:
    why = next((row.missing for name, row in rows.items() if row.missing and what.startswith(name)), "")
    return Verdict(what, target, f"not available: {why}" if why else "not measured", None)


def ratio(row: Row, peer: str) -> float:
    """How many times better than that peer, median against median."""
    better = times_better(Figure("", "", row.unit, row.unit == "/s"), median(row.ours), median(row.peers[peer]))
    return 0.0 if better is None else better


def as_json(rows: Rows, stamp: Stamp, settings: Settings) -> dict[str, Any]:
    told = {
        what: {**asdict(row), "times_better": {peer: ratio(row, peer) for peer in row.peers}}
        for what, row in rows.items()
    }
    targets = [asdict(verdict) for verdict in verdicts(rows)]
    return {"stamp": stamp, "settings": asdict(settings), "rows": told, "targets": targets}


def show(rows: Rows, stamp: Stamp, console: Console) -> None:
    table = Table(title="cold starts, request to answer: median over rounds (lowest–highest)")
    for heading in ("", "engine", "peer, exec to exit", "times better"):
        table.add_column(heading, justify="left" if not heading else "right")
    for what, row in rows.items():
        if row.missing:
            table.add_row(what, "not available", "", "")
            continue
        peers = "\n".join(f"{number(median(values))} {row.unit}  {peer}" for peer, values in row.peers.items())
        better = "\n".join(f"{ratio(row, peer):.1f}x" for peer in row.peers)
        spread = f"{number(median(row.ours))} {row.unit}\n({number(min(row.ours))}–{number(max(row.ours))})"
        table.add_row(what, spread, peers, better)
    console.print(table)
    console.print(targets_table(verdicts(rows)))
    show_stamp(stamp, console)
