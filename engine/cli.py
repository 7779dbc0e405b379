"""F7: the `engine` command. Answers go to standard output; logs, progress and errors to standard error."""

from __future__ import annotations

import click

from . import __version__
from .commands.events import events
from .commands.functions import deploy, invoke, ls, rm
from .commands.reports import bill, doctor, logs, stats
from .commands.run import run
from .commands.schedules import schedule, schedules, unschedule
from .commands.serve import serve
from .load.command import bench


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="engine")
def main() -> None:
    """AWS Lambda as one fast engine for this host."""


COMMANDS = (
    *(run, serve, deploy, invoke, ls, rm, schedule, schedules, unschedule),
    *(logs, stats, events, bill, doctor, bench),
)
for command in COMMANDS:
    main.add_command(command)
