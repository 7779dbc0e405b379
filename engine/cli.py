"""F6: the `engine` command. Answers go to standard output; logs, progress and errors to standard error."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from . import __version__, config, errors
from ._ext.result import InvokeResult
from .load.command import bench
from .model import LogEvent
from .rpc.command import serve
from .sandbox import choose
from .settings import OWN_RUNTIME
from .store.entry import find_handler
from .sync import Engine

REPEAT_MAX = 1_000_000


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="engine")
def main() -> None:
    """AWS Lambda as one fast engine for this host."""


main.add_command(serve)
main.add_command(bench)


@main.command()
@click.argument("target", metavar="PATH[:HANDLER]")
@click.option("--event", default=None, metavar="JSON|@FILE|-", help="The event: JSON, @FILE, or - for standard input.")
@click.option("--runtime", default=OWN_RUNTIME, show_default=True, help="The function's runtime.")
@click.option("--memory", default=config.MEMORY_DEFAULT_MB, show_default=True, help="Memory in MB.")
@click.option("--timeout", default=config.TIMEOUT_DEFAULT_S, show_default=True, help="Time limit in seconds.")
@click.option("--env", "variables", multiple=True, metavar="K=V", help="An environment variable; may be repeated.")
@click.option("--repeat", default=1, show_default=True, type=click.IntRange(1, REPEAT_MAX), help="Invoke N times.")
@click.option("--json", "as_json", is_flag=True, help="Print results as JSON, one line each.")
def run(
    target: str,
    event: str | None,
    runtime: str,
    memory: int,
    timeout: int,
    variables: tuple[str, ...],
    repeat: int,
    as_json: bool,
) -> None:
    """Deploy a folder, .zip or .py file into an engine of its own and invoke it.

    A folder's requirements.txt is installed first. Without HANDLER it is app.handler, else
    lambda_function.lambda_handler, else the handler of the only module. Exit status 1 when the function fails.
    """
    warnings.showwarning = _show_warning
    try:
        failed = _run(
            target, _read_event(event), runtime, memory, timeout, _parse_variables(variables), repeat, as_json
        )
    except errors.EngineError as error:
        raise click.ClickException(f"{type(error).__name__}: {error}") from error
    sys.exit(1 if failed else 0)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def doctor(as_json: bool) -> None:
    """Tell which limits this host lets the engine enforce, and by what."""
    lines = choose.report()
    if as_json:
        click.echo(json.dumps([line._asdict() for line in lines]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("limit", "enforced by", "how, or why not")
    for line in lines:
        table.add_row(line.limit, line.mechanism or "[red]nothing[/red]", line.why)
    Console().print(table)


def _run(
    target: str,
    event: bytes,
    runtime: str,
    memory_mb: int,
    timeout_s: int,
    environment: dict[str, str],
    repeat: int,
    as_json: bool,
) -> bool:
    path, handler = _split_target(target)
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in path.resolve().stem)[:64] or "function"
    with Engine(progress=_show_progress) as engine:
        engine.create_function(
            name,
            code=path,
            handler=handler or find_handler(path),
            runtime=runtime,
            memory_mb=memory_mb,
            timeout_s=timeout_s,
            environment=environment,
        )
        failed = False
        for _ in range(repeat):
            result = engine.invoke(name, event)
            failed = failed or result.function_error is not None
            _show(result, engine.logs(name, request_id=result.request_id), as_json)
    return failed


def _split_target(target: str) -> tuple[Path, str | None]:
    """PATH, or PATH:HANDLER; a path that has a colon in its name is taken as it is."""
    path, colon, handler = target.rpartition(":")
    if not colon or Path(target).exists():
        path, handler = target, ""
    if not Path(path).exists():
        raise click.BadParameter(f"{path} does not exist: give a folder, a .zip or a .py file", param_hint="PATH")
    return Path(path), handler or None


def _read_event(event: str | None) -> bytes:
    if event is None:
        return b"{}"
    if event == "-":
        text = sys.stdin.buffer.read()
    elif event.startswith("@"):
        try:
            text = Path(event[1:]).read_bytes()
        except OSError as error:
            raise click.BadParameter(f"cannot read {event[1:]}: {error.strerror}", param_hint="--event") from error
    else:
        text = event.encode()
    try:
        json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--event") from error
    return text


def _parse_variables(pairs: tuple[str, ...]) -> dict[str, str]:
    parsed = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} has no '=': write NAME=VALUE", param_hint="--env")
        parsed[key] = value
    return parsed


def _show(result: InvokeResult, log: list[LogEvent], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**as_mapping(result), "log": [event.message for event in log]}))
        return
    click.echo(result.payload)
    for event in log:
        click.echo(event.message.replace("\r", "\n"), err=True)


def as_mapping(result: InvokeResult) -> dict[str, Any]:
    """A result's fields as JSON values; the payload as text."""
    names = (
        "status_code", "function_error", "executed_version", "request_id", "start", "duration_ms", "init_ms",
        "billed_ms", "memory_mb", "max_memory_mb", "log_tail",
    )  # fmt: skip
    return {"payload": result.payload.decode("utf-8", "replace"), **{name: getattr(result, name) for name in names}}


def _show_progress(line: str) -> None:
    click.echo(click.style(line.rstrip("\n"), dim=True), err=True)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    click.echo(f"warning: {message}", err=True)
