"""F6: `engine run`: one function in an engine of its own, from deployment to answer and log."""

from __future__ import annotations

import sys
import warnings

import click

from .. import config
from .._ext.result import InvokeResult
from ..client.entries import choose_entry
from ..model import LogEvent, Network
from ..sync import Engine
from .given import parse_variables, read_event, split_target
from .service import told_errors
from .show import print_json, result_as_json, show_progress, show_warning

REPEAT_MAX = 1_000_000


@click.command()
@click.argument("target", metavar="PATH[:HANDLER]")
@click.option("--event", default=None, metavar="JSON|@FILE|-", help="The event: JSON, @FILE, or - for standard input.")
@click.option("--runtime", default=None, help="The function's runtime; what its language is here if not given.")
@click.option("--memory", default=config.MEMORY_DEFAULT_MB, show_default=True, help="Memory in MB.")
@click.option("--timeout", default=config.TIMEOUT_DEFAULT_S, show_default=True, help="Time limit in seconds.")
@click.option("--env", "variables", multiple=True, metavar="K=V", help="An environment variable; may be repeated.")
@click.option(
    "--network", type=click.Choice(config.NETWORKS), default="host", show_default=True, help="What it may reach."
)
@click.option("--repeat", default=1, show_default=True, type=click.IntRange(1, REPEAT_MAX), help="Invoke N times.")
@click.option("--json", "as_json", is_flag=True, help="Print results as JSON, one line each.")
def run(
    target: str,
    event: str | None,
    runtime: str | None,
    memory: int,
    timeout: int,
    variables: tuple[str, ...],
    network: Network,
    repeat: int,
    as_json: bool,
) -> None:
    """Deploy a folder, .zip, .jar or source file into an engine of its own and invoke it.

    A folder's requirements.txt is installed first. Without HANDLER it is app.handler, else
    lambda_function.lambda_handler, else index.handler of an index.js, index.mjs or index.cjs, else lambda_handler of a
    lambda_function.rb, else the handler of the only Python module. Exit status 1 when the function fails.
    """
    warnings.showwarning = show_warning
    payload, environment = read_event(event, "--event"), parse_variables(variables)
    path, handler = split_target(target)
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in path.resolve().stem)[:64] or "function"
    failed = False
    with told_errors(), Engine(progress=show_progress) as engine:
        handler, runtime = choose_entry(path, handler, runtime)
        engine.create_function(
            name,
            code=path,
            handler=handler,
            runtime=runtime,
            memory_mb=memory,
            timeout_s=timeout,
            environment=environment,
            network=network,
        )
        for _ in range(repeat):
            result = engine.invoke(name, payload)
            failed = failed or result.function_error is not None
            _show(result, engine.logs(name, request_id=result.request_id), as_json)
    sys.exit(1 if failed else 0)


def _show(result: InvokeResult, log: list[LogEvent], as_json: bool) -> None:
    if as_json:
        print_json({**result_as_json(result), "log": [event.message for event in log]})
        return
    click.echo(result.payload)
    for event in log:
        click.echo(event.message.replace("\r", "\n"), err=True)
