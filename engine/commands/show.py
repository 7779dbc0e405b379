"""F6: how commands print: tables for people, JSON for programs, and never a colour or a cut where output is piped."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from .._ext.result import InvokeResult
from ..model import LogEvent
from ..wire.values import as_map

PIPED_COLUMNS = 1_000  # no cell is broken or cut for want of room where nobody looks at a screen


def print_json(value: object) -> None:
    """One JSON document on a line of its own."""
    click.echo(json.dumps(value))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Iterable[str] = ()) -> None:
    """A table on standard output; columns named in `numbers` stand to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    right = set(numbers)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*[Text("" if cell is None else str(cell)) for cell in row])
    width = None if sys.stdout.isatty() else PIPED_COLUMNS
    Console(width=width, soft_wrap=False).print(table)


def result_as_json(result: InvokeResult) -> dict[str, Any]:
    """A result's fields as JSON values; the payload as text."""
    return {**as_map(result), "payload": result.payload.decode("utf-8", "replace")}


def print_event(event: LogEvent, as_json: bool) -> None:
    """One event of a log."""
    if as_json:
        print_json(as_map(event))
    else:
        click.echo(event.message.replace("\r", "\n"))


def show_progress(line: str) -> None:
    """A line of a dependency build, on standard error."""
    click.echo(click.style(line.rstrip("\n"), dim=True), err=True)


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """In place of Python's own way to show warnings."""
    click.echo(f"warning: {message}", err=True)
