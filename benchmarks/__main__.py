"""`python -m benchmarks [pools]`: this engine beside process pools; `… peers`: beside servers and runtimes.

`… soak`: the service for minutes at full rate; `… scale`: with a thousand functions; `… cold`: cold starts;
`… limits`: what limits give and take; `… policies`: keep-alive policies over a day in virtual time; `… events`: how
many the service accepts; `… languages`: an echo in each language.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console

from . import contenders, source_tree

if TYPE_CHECKING:
    from .cold_rounds import Settings
    from .comparison import Comparison, Verdict
    from .report import Stamp

PLAIN_WIDTH: Final = 170  # columns, where the output is not a terminal
SMOKE: Final = {"rounds": 1, "seconds": 0.1}
SMOKE_MINUTES: Final = 0.05
SOAK_LEDGER_BYTES: Final = 268_435_456  # little enough that a soak of minutes has the oldest records go
DEFAULT_COMMAND: Final = "pools"


class WithDefault(click.Group):
    """A group that runs `DEFAULT_COMMAND` where no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)


def measured_in_rounds(command: Callable[..., None]) -> Callable[..., None]:
    """The options that every comparison has."""
    for option in (
        click.option("--smoke", is_flag=True, help="One round of 0.1 s: shows that everything runs, not how fast."),
        click.option("--json", "json_to", metavar="FILE|-", help="Write the whole outcome as JSON; - is for stdout."),
        click.option("--seconds", type=click.FloatRange(0.01, 60), default=0.5, help="Of one measurement."),
        click.option("--rounds", type=click.IntRange(1, 1_000), default=5, help="Every contender has a turn in each."),
    ):
        command = option(command)
    return command


@click.group(cls=WithDefault)
def main() -> None:
    """Compares this engine with others doing the same work. Exits with 1 where a contender failed."""


@main.command(context_settings={"show_default": True})
@measured_in_rounds
@click.option("--peers", default=contenders.DEFAULT_POOLS, help=f"Among {', '.join(contenders.CONTENDERS)}.")
def pools(peers: str, **settings: Any) -> None:
    """Beside process pools; the default. Exits with 1 where a contender failed."""
    names = [*_names(peers), *contenders.FLOORS]
    source_tree.prefer_built_engine()
    from .pools import POOLS

    _compare(POOLS, names, **settings)


@main.command(context_settings={"show_default": True})
@measured_in_rounds
@click.option("--peers", default=contenders.DEFAULT_PEERS, help=f"Among {', '.join(contenders.CONTENDERS)}.")
def peers(peers: str, **settings: Any) -> None:
    """Beside Redis, Ray, uvicorn and AWS's runtime client. Exits with 1 where a contender failed."""
    names = _names(peers)
    source_tree.prefer_built_engine()
    from .peers import PEERS

    _compare(PEERS, names, **settings)


@main.command(name="soak", context_settings={"show_default": True})
@click.option("--smoke", is_flag=True, help="Three seconds: shows that everything runs, and no trend.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write the whole outcome as JSON; - is for stdout.")
@click.option("--ledger-bytes", type=click.IntRange(1 << 20), default=SOAK_LEDGER_BYTES, help="Of the service's.")
@click.option("--connections", type=click.IntRange(1, 900), default=64, help="Each with one call in flight.")
@click.option("--minutes", type=click.FloatRange(0.01, 1_440), default=5)
def soak_command(minutes: float, connections: int, ledger_bytes: int, json_to: str | None, smoke: bool) -> None:
    """The service at full rate, and whether anything grows. Exits with 1 where it does, or becomes slow."""
    source_tree.prefer_built_engine()
    from .soak import as_json, soak, verdicts
    from .soak_report import show
    from .stamp import stamp

    minutes = SMOKE_MINUTES if smoke else minutes
    machine, settings = stamp(), {"minutes": minutes, "connections": connections, "ledger_bytes": ledger_bytes}
    soaked = soak(minutes, connections, ledger_bytes, _say)
    if json_to:
        _write(json_to, json.dumps(as_json(soaked, machine, settings), indent=2))
    show(soaked, ledger_bytes, machine, _console(json_to))
    _exit(verdicts(soaked, ledger_bytes), smoke)


@main.command(name="scale")
@click.option("--smoke", is_flag=True, help="A dozen functions, one round: shows that everything runs.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write the whole outcome as JSON; - is for stdout.")
def scale_command(json_to: str | None, smoke: bool) -> None:
    """A warm function among 1,000 of which 200 are warm, and what they cost idle. Exits with 1 where it is too much."""
    source_tree.prefer_built_engine()
    from .scale import SMOKE, Settings, as_json, scale, show, verdicts
    from .stamp import stamp

    machine, settings = stamp(), SMOKE if smoke else Settings()
    scaled = scale(settings, _say)
    if json_to:
        _write(json_to, json.dumps(as_json(scaled, machine, settings), indent=2))
    show(scaled, settings, machine, _console(json_to))
    _exit(verdicts(scaled, settings), smoke)


@main.command(name="cold")
@click.option("--smoke", is_flag=True, help="A handful of starts: shows that everything runs, not how fast.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write the whole outcome as JSON; - is for stdout.")
@click.option("--breakdown", is_flag=True, help="Only where the time of one cold start goes, step by step.")
def cold_command(json_to: str | None, smoke: bool, breakdown: bool) -> None:
    """Cold starts beside starting an interpreter. Exits with 1 where a target is missed."""
    source_tree.prefer_built_engine()
    from .cold import as_json, cold, show, verdicts
    from .cold_rounds import SMOKE, Settings
    from .stamp import stamp

    machine, settings = stamp(), SMOKE if smoke else Settings()
    if breakdown:
        _break_down(settings, machine, json_to)
        return
    rows = cold(settings, _say)
    if json_to:
        _write(json_to, json.dumps(as_json(rows, machine, settings), indent=2))
    show(rows, machine, _console(json_to))
    _exit(verdicts(rows), smoke)


@main.command(name="limits")
@click.option("--smoke", is_flag=True, help="A moment of each: shows that everything runs.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write the whole outcome as JSON; - is for stdout.")
def limits_command(json_to: str | None, smoke: bool) -> None:
    """CPU that functions get and are due, memory at its limit and over it. Exits with 1 where a limit does not hold."""
    source_tree.prefer_built_engine()
    from .limits import SMOKE, Settings, as_json, limited, show, verdicts
    from .stamp import stamp

    machine, settings = stamp(), SMOKE if smoke else Settings()
    outcome = limited(settings, _say)
    if json_to:
        _write(json_to, json.dumps(as_json(outcome, machine, settings), indent=2))
    show(outcome, machine, _console(json_to))
    _exit(verdicts(outcome), smoke)


@main.command(name="events")
@click.option("--smoke", is_flag=True, help="One short round: shows that everything runs.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write the whole outcome as JSON; - is for stdout.")
def events_command(json_to: str | None, smoke: bool) -> None:
    """Events accepted beside synchronous calls, and the disk's own ceiling. Exits with 1 where a target is missed."""
    source_tree.prefer_built_engine()
    from .events import SMOKE, Settings, as_json, measure, show, verdicts
    from .stamp import stamp

    machine, settings = stamp(), SMOKE if smoke else Settings()
    measured = measure(settings, _say)
    if json_to:
        _write(json_to, json.dumps(as_json(measured, machine, settings), indent=2))
    show(measured, machine, _console(json_to))
    _exit(verdicts(measured), smoke)


@main.command(name="languages")
@click.option("--smoke", is_flag=True, help="One round of a few calls: shows that everything runs.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write the whole outcome as JSON; - is for stdout.")
def languages_command(json_to: str | None, smoke: bool) -> None:
    """An echo in each language that this host has: warm calls and cold starts."""
    source_tree.prefer_built_engine()
    from .languages import SMOKE, Settings, as_json, measure, show
    from .stamp import stamp

    machine, settings = stamp(), SMOKE if smoke else Settings()
    outcome = measure(settings, _say)
    if json_to:
        _write(json_to, json.dumps(as_json(outcome, machine, settings), indent=2))
    show(outcome, machine, _console(json_to))


def _break_down(settings: Settings, machine: Stamp, json_to: str | None) -> None:
    import uvloop

    from .breakdown import as_json, breakdown, show

    broken = uvloop.run(breakdown(settings))
    if json_to:
        _write(json_to, json.dumps(as_json(broken, machine), indent=2))
    show(broken, machine, _console(json_to))


@main.command(name="policies", context_settings={"show_default": True})
@click.option("--smoke", is_flag=True, help="Fifty functions: shows that everything runs.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write the whole outcome as JSON; - is for stdout.")
@click.option("--memory-gb", type=click.FloatRange(0.125), help="Where it is bounded; else three quarters of fixed's.")
@click.option("--seed", type=click.IntRange(0), default=1, help="Of the day, or of what a trace does not tell.")
@click.option("--functions", type=click.IntRange(1, 100_000), default=2_000, help="Made up, or a trace's busiest.")
@click.option("--trace", type=click.Path(exists=True, dir_okay=False), help="A day of Azure Functions 2019, CSV.")
def policies_command(
    trace: str | None, functions: int, seed: int, memory_gb: float | None, json_to: str | None, smoke: bool
) -> None:
    """Keep-alive policies and eviction: cold starts against memory held, in virtual time."""
    source_tree.prefer_built_engine()
    from .policies import SMOKE_FUNCTIONS, Settings, as_json, replay, show
    from .stamp import stamp

    machine = stamp()
    settings = Settings(SMOKE_FUNCTIONS if smoke else functions, seed, trace, memory_gb)
    try:
        replayed = replay(settings, _say)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if json_to:
        _write(json_to, json.dumps(as_json(replayed, machine, settings), indent=2))
    show(replayed, settings, machine, _console(json_to))


def _exit(verdicts: list[Verdict], smoke: bool) -> None:
    """With 1 for a target that is missed. A smoke run shows that everything runs, and decides nothing."""
    sys.exit(1 if not smoke and any(verdict.met is False for verdict in verdicts) else 0)


def _compare(
    comparison: Comparison, names: list[str], *, rounds: int, seconds: float, smoke: bool, json_to: str | None
) -> None:
    from .report import as_json, show
    from .rounds import run_rounds
    from .stamp import stamp

    settings: dict[str, Any] = {"rounds": rounds, "seconds": seconds, **(SMOKE if smoke else {})}
    machine, console = stamp(), _console(json_to)
    names = list(dict.fromkeys(names))
    outcome = run_rounds(names, settings["rounds"], settings["seconds"], comparison.measure, _say)
    if json_to:
        _write(json_to, json.dumps(as_json(comparison, outcome, machine, settings), indent=2))
    show(comparison, outcome, machine, console)
    sys.exit(1 if outcome.failures else 0)


def _console(json_to: str | None) -> Console:
    """For people; on standard error where programs read standard output."""
    to_stderr = json_to == "-"
    stream = sys.stderr if to_stderr else sys.stdout
    return Console(stderr=to_stderr, width=None if stream.isatty() else PLAIN_WIDTH)


def _names(peers: str) -> list[str]:
    try:
        return contenders.chosen(peers)
    except ValueError as wrong:
        raise click.BadParameter(str(wrong), param_hint="--peers") from None


def _say(line: str) -> None:
    """Progress, only where someone watches."""
    if sys.stderr.isatty():
        print(line, file=sys.stderr)


def _write(where: str, text: str) -> None:
    if where == "-":
        print(text)
    else:
        Path(where).write_text(text + "\n")


if __name__ == "__main__":
    main()
