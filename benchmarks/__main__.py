"""`python -m benchmarks`: this engine beside process pools, in interleaved rounds, as a table of ratios."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from . import contenders, source_tree

PLAIN_WIDTH = 150  # columns, where the output is not a terminal
SMOKE = {"rounds": 1, "seconds": 0.1}


@click.command(context_settings={"show_default": True})
@click.option("--rounds", type=click.IntRange(1, 1_000), default=5, help="Every contender has one turn per round.")
@click.option("--seconds", type=click.FloatRange(0.01, 60), default=0.5, help="Of one measurement; a turn has four.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write the whole outcome as JSON; - is standard output.")
@click.option("--smoke", is_flag=True, help="One round of 0.1 s: shows that everything runs, not how fast.")
@click.option("--peers", default=contenders.DEFAULT_PEERS, help=f"Among {', '.join(contenders.CONTENDERS)}.")
def main(rounds: int, seconds: float, json_to: str | None, smoke: bool, peers: str) -> None:
    """Compares this engine with process pools doing the same work. Exits with 1 where a contender failed."""
    source_tree.prefer_built_engine()
    from .report import as_json, show
    from .rounds import run_rounds
    from .stamp import stamp

    settings: dict[str, Any] = {"rounds": rounds, "seconds": seconds, **(SMOKE if smoke else {})}
    to_stderr = json_to == "-"
    stream = sys.stderr if to_stderr else sys.stdout
    machine, console = stamp(), Console(stderr=to_stderr, width=None if stream.isatty() else PLAIN_WIDTH)
    outcome = run_rounds(_names(peers), settings["rounds"], settings["seconds"], _say)
    if json_to:
        _write(json_to, json.dumps(as_json(outcome, machine, settings), indent=2))
    show(outcome, machine, console)
    sys.exit(1 if outcome.failures else 0)


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
