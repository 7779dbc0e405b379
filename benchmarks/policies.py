"""`python -m benchmarks policies`: cold starts against memory held, for each keep-alive policy and order of eviction.

Which policies there are, and what is shown of them; the replay itself is `policies_replay.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from engine.core.keep_alive.contract import Eviction, KeepAlive
from engine.core.keep_alive.eviction import GreedyDual, LeastRecentlyUsed
from engine.core.keep_alive.fixed import Fixed
from engine.core.keep_alive.histogram import BIN_NS, BINS, HybridHistogram

from .policies_replay import PERCENTILES, Contestant, Replay, Told
from .policies_trace import Day, day_of_file, made_up_day
from .report import Stamp, show_stamp

MINUTE_NS: Final = BIN_NS
FOR_EVER_NS: Final = 1 << 60
BUDGET_SHARE: Final = 0.75  # of what a fixed keep-alive of ten minutes holds on average
HOURS: Final = 24
SMOKE_FUNCTIONS: Final = 50


@dataclass(frozen=True, slots=True)
class Settings:
    """`trace`: a file of the Azure Functions 2019 trace and how many of its busiest rows; None makes a day up."""

    functions: int = 2_000
    seed: int = 1
    trace: str | None = None
    memory_gb: float | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    functions: int
    spells: int
    invocations: int
    left_out_rows: int
    budget_mb: int
    unbounded: list[Told]
    bounded: list[Told]


def _fixed(keep_alive_ns: int) -> Callable[[], KeepAlive]:
    return lambda: Fixed(keep_alive_ns)


def _histogram(keep_alive_ns: int) -> Callable[[], KeepAlive]:
    return lambda: HybridHistogram(keep_alive_ns)


ORDERS: Final[tuple[tuple[str, Callable[[], Eviction]], ...]] = (
    ("least recently used", LeastRecentlyUsed),
    ("greedy-dual", GreedyDual),
)
TEN_MINUTES: Final = 10 * MINUTE_NS
UNBOUNDED: Final = (
    Contestant("fixed, 10 min", _fixed(TEN_MINUTES)),
    Contestant("fixed, 20 min", _fixed(2 * TEN_MINUTES)),
    Contestant("fixed, 60 min", _fixed(6 * TEN_MINUTES)),
    Contestant("histogram, else 10 min", _histogram(TEN_MINUTES)),
    Contestant("histogram, else 4 h as in the paper", _histogram(BINS * BIN_NS)),
)
BOUNDED: Final = tuple(
    Contestant(f"{title}; {order}", keep_alive, eviction)
    for title, keep_alive in (
        ("kept for ever", _fixed(FOR_EVER_NS)),
        ("fixed, 10 min", _fixed(TEN_MINUTES)),
        ("histogram, else 10 min", _histogram(TEN_MINUTES)),
    )
    for order, eviction in ORDERS
)


def replay(settings: Settings, say: Callable[[str], None]) -> Replayed:
    """Raises ValueError and OSError for a file that cannot be read as a trace."""
    say("the day")
    day = _day(settings)
    unbounded = [_replayed(day, contestant, None, say) for contestant in UNBOUNDED]
    if settings.memory_gb is None:
        budget_mb = int(unbounded[0].held_gb_hours / HOURS * 1024 * BUDGET_SHARE)
    else:
        budget_mb = int(settings.memory_gb * 1024)
    bounded = [_replayed(day, contestant, budget_mb, say) for contestant in BOUNDED]
    functions, spells = len(day.sizes_mb), len(day.functions)
    return Replayed(functions, spells, day.invocations, day.left_out_rows, budget_mb, unbounded, bounded)


def _day(settings: Settings) -> Day:
    if settings.trace is None:
        return made_up_day(settings.functions, settings.seed)
    return day_of_file(Path(settings.trace), settings.functions, settings.seed)


def _replayed(day: Day, contestant: Contestant, budget_mb: int | None, say: Callable[[str], None]) -> Told:
    say(contestant.title)
    return Replay(day, contestant, budget_mb).run()


def as_json(replayed: Replayed, stamp: Stamp, settings: Settings) -> dict[str, Any]:
    return {"stamp": stamp, "settings": asdict(settings), **asdict(replayed)}


def show(replayed: Replayed, settings: Settings, stamp: Stamp, console: Console) -> None:
    origin = settings.trace or "made up to the published shape of Azure Functions"
    console.print(
        f"24 hours of {replayed.functions:,} functions, {replayed.invocations:,} invocations in {replayed.spells:,} "
        f"spells; {origin}; {replayed.left_out_rows:,} rows left out"
    )
    base = replayed.unbounded[0]
    console.print(_table("memory as much as it takes", replayed.unbounded, base))
    console.print(_table(f"no more than {replayed.budget_mb / 1024:.1f} GB", replayed.bounded, base))
    show_stamp(stamp, console)


def _table(title: str, rows: list[Told], base: Told) -> Table:
    """Ratios are to the first policy of all."""
    caption = f"cold % p: percentiles over functions of the share of cold starts; ratios to {base.title}"
    table = Table(title=title, caption=caption)
    table.add_column("")
    headings = ("cold starts", "of all", "hours in them", "GB-h held", "wasted", "pre-warmed (used)", "evicted")
    for heading in (*headings, *(f"cold % p{percent}" for percent in PERCENTILES)):
        table.add_column(heading, justify="right")
    for told in rows:
        table.add_row(
            told.title,
            f"{told.cold_starts:,} ({told.cold_starts / max(base.cold_starts, 1):.2f}x)",
            f"{told.cold_starts / told.invocations:.3%}",
            f"{told.cold_start_hours:.2f}",
            f"{told.held_gb_hours:,.0f} ({told.held_gb_hours / base.held_gb_hours:.2f}x)",
            f"{told.wasted_share:.1%}",
            f"{told.prewarms:,} ({told.prewarms_used:,})",
            f"{told.evictions:,}",
            *(f"{told.cold_shares[f'p{percent}']:.1f}" for percent in PERCENTILES),
        )
    return table
