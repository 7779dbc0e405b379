"""What limits give and take: CPU in proportion to memory, alone and contended; memory, at the limit and over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from .comparison import Verdict
from .figures import percentile
from .limits_cpu import Share, shares
from .limits_memory import MEMORY_MB, OVER, Filled, fill
from .report import Stamp, show_stamp, targets_table

OFF_ALLOWED: Final = 0.05


@dataclass(frozen=True, slots=True)
class Settings:
    """How long each group spins, and how often memory is filled to its limit and over it."""

    seconds: float = 5.0
    fills: int = 200


SMOKE: Final = Settings(0.2, 3)


@dataclass(slots=True)
class Limited:
    shares: list[Share]
    filled: Filled


def limited(settings: Settings, say: Callable[[str], None]) -> Limited:
    say("CPU")
    got = shares(settings.seconds)
    say("memory")
    return Limited(got, fill(settings.fills))


def verdicts(outcome: Limited) -> list[Verdict]:
    return [*(_share(share) for share in outcome.shares if share.is_promised), *_memory(outcome.filled)]


def _share(share: Share) -> Verdict:
    met = share.off <= OFF_ALLOWED
    return Verdict(f"CPU of {_whose(share)}", f"within {OFF_ALLOWED:.0%} of what is due", _got(share), met)


def _whose(share: Share) -> str:
    beside = list(share.beside)
    beside.remove(share.memory_mb)
    others = f" beside {' + '.join(f'{size:,}' for size in beside)} MB" if beside else ", alone"
    return f"{share.memory_mb:,} MB{others}"


def _got(share: Share) -> str:
    return f"{share.got:.3f} of {share.due:.3f} CPUs due ({share.got / share.due:.1%})"


def _memory(filled: Filled) -> list[Verdict]:
    times = filled.at_limit.total()
    over = f"{OVER - 1:.0%} over it"
    return [
        _counted(f"{filled.filled_mb} MB more at a limit of {MEMORY_MB} MB lives", filled.at_limit, "answered", times),
        _counted(f"{over} dies", filled.over_limit, "killed for memory", times),
        _counted("another function goes on, warm", filled.bystander, "warm", times),
        Verdict("environments that ended", f"{times}: the killed ones", str(filled.deaths), filled.deaths == times),
    ]


def _counted(what: str, counts: dict[str, int], hoped: str, times: int) -> Verdict:
    measured = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    return Verdict(what, f"{times} of {times}", measured, counts.get(hoped) == times)


def as_json(outcome: Limited, stamp: Stamp, settings: Settings) -> dict[str, Any]:
    return {
        "stamp": stamp,
        "settings": asdict(settings),
        "cpu": [asdict(share) for share in outcome.shares],
        "memory": {f.name: getattr(outcome.filled, f.name) for f in fields(Filled)},
        "targets": [asdict(verdict) for verdict in verdicts(outcome)],
    }


def show(outcome: Limited, stamp: Stamp, console: Console) -> None:
    """Beside the targets: how too little CPU is divided, and how long it takes to fill memory and to die of it."""
    filled = outcome.filled
    table = Table()
    for share in outcome.shares:
        if not share.is_promised:
            table.add_row(f"{_whose(share)}: due more CPUs than there are", _got(share))
    for what, samples in (("fills to the limit", filled.lived_ns), ("is killed over it", filled.died_ns)):
        if samples:
            p50_ms, p99_ms = (percentile(samples, at) / 1e6 for at in (0.50, 0.99))
            table.add_row(f"a function of {MEMORY_MB} MB {what}", f"p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms")
    console.print(table)
    console.print(targets_table(verdicts(outcome)))
    show_stamp(stamp, console)
