"""What a soak showed, as a table for people. What it was, `soak.py` knows."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from .report import Stamp, show_stamp, targets_table
from .residents import Residents
from .soak import Soaked, verdicts


def show(soaked: Soaked, ledger_bytes: int, stamp: Stamp, console: Console) -> None:
    """Minute by minute, with what was held at its end; then the targets and the machine."""
    table = Table(title="the service at full rate, minute by minute")
    headings = (
        "minute", "calls/s", "p50, µs", "p99, µs", "p99.9, µs", "max, µs", "service, MB", "zygote, MB",
        "environments, MB", "descriptors", "ledger, MB",
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right")
    per_minute = max(1, len(soaked.samples) // len(soaked.minutes))
    for number, minute in enumerate(soaked.minutes, 1):
        _, held = soaked.samples[min(number * per_minute, len(soaked.samples)) - 1]
        micros = (minute.p50_us, minute.p99_us, minute.p999_us, minute.max_us)
        table.add_row(
            str(number), f"{minute.calls_per_s:,.0f}", *(f"{value:,.0f}" for value in micros), *_held(held)
        )  # fmt: skip
    console.print(table)
    console.print(targets_table(verdicts(soaked, ledger_bytes)))
    show_stamp(stamp, console)


def _held(held: Residents) -> tuple[str, ...]:
    rss = {role: rss_bytes / 1e6 for role, rss_bytes in held.rss_bytes.items()}
    return (
        f"{rss['service']:.1f}",
        f"{rss['zygote']:.1f}",
        f"{rss['environments']:.1f} ({held.environments})",
        str(sum(held.descriptors.values())),
        f"{held.ledger_bytes / 1e6:,.0f}",
    )
