"""F5: the command `engine bench`: its options, and nothing that is needed only once it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .. import config, errors
from .bounds import COUNT_MAX, DURATION_MAX_S, OUTSTANDING_MAX

if TYPE_CHECKING:
    from .document import Document

MISSING: Final = "this needs {name!r}, which is not installed: pip install {name}"


@click.command(short_help="Put functions under load and report latency, throughput, errors, cold starts, cost, CPU.")
@click.argument("functions", nargs=-1, required=True, metavar="FUNCTION[=WEIGHT]...")
@click.option("--embedded", is_flag=True, help="Deploy the given paths into an engine of its own; the default.")
@click.option("--socket", metavar="ADDR", help="A running engine: unix:/PATH, tcp:HOST:PORT or a path.")
@click.option("--token-file", type=click.Path(exists=True, dir_okay=False), help="For TCP: a file with the token.")
@click.option("--tls-ca", type=click.Path(exists=True, dir_okay=False), help="For TCP: trusted certificates, PEM.")
@click.option("--endpoint", metavar="URL", help="A Lambda REST endpoint, as http://127.0.0.1:3001; takes aiohttp.")
@click.option("--allow-remote", is_flag=True, help="Send load to another host than this one.")
@click.option("--region", default=config.REGION_DEFAULT, show_default=True, help="For signing, with --endpoint.")
@click.option("--log-tail", is_flag=True, help="With --endpoint: read bill and cold starts from each log's end.")
@click.option("--runtime", help="Embedded: the functions' runtime.  [default: what each one's language is here]")
@click.option("--memory", default=config.MEMORY_DEFAULT_MB, show_default=True, help="Embedded: memory in MB.")
@click.option("--timeout", default=config.TIMEOUT_DEFAULT_S, show_default=True, help="Embedded: time limit in seconds.")
@click.option("--env", "variables", multiple=True, metavar="K=V", help="Embedded: an environment variable; repeatable.")
@click.option("--concurrency", type=click.IntRange(1, OUTSTANDING_MAX), help="Closed loop of N callers.  [default: 64]")
@click.option("--rate", type=click.FloatRange(0, 1e7, min_open=True), help="Open loop of R calls per second.")
@click.option("--arrivals", type=click.Choice(["constant", "poisson", "bursts"]), help="How --rate is spread.")
@click.option("--burst", type=click.IntRange(1, OUTSTANDING_MAX), help="With --arrivals bursts: calls per burst.")
@click.option("--every", type=click.FloatRange(0.001, 3_600), help="With --arrivals bursts: seconds between bursts.")
@click.option("--trace", type=click.Path(path_type=Path), help="Replay an Azure Functions 2019 per-minute CSV.")
@click.option("--minutes", metavar="A-B", help="With --trace: these minutes of the day.  [default: 1-1440]")
@click.option("--speed", type=click.FloatRange(0.001, 100_000), help="With --trace: times faster.  [default: 1]")
@click.option(
    "--top", type=click.IntRange(1, 100_000), help="With --trace: its N busiest.  [default: one per FUNCTION]"
)
@click.option("--within", type=click.Choice(["uniform", "poisson"]), help="With --trace: how a minute is filled.")
@click.option("--duration", type=click.FloatRange(0.01, DURATION_MAX_S), help="Seconds.  [default: 10, or the trace's]")
@click.option("--count", type=click.IntRange(1, COUNT_MAX), default=COUNT_MAX, show_default=True, help="Calls at most.")
@click.option("--max-outstanding", type=click.IntRange(1, OUTSTANDING_MAX), help="Open loop: bound.  [default: 1000]")
@click.option("--drain", type=click.FloatRange(0, 900), default=30, show_default=True, help="Seconds for last answers.")
@click.option(
    "--expected-interval", type=click.FloatRange(0.001, 1e6), metavar="MS", help="Closed loop: for correction."
)
@click.option("--payload", metavar="JSON|@FILE|-", help="The event.  [default: {}]")
@click.option("--payload-size", metavar="BYTES[=WEIGHT],...", help="Events that are JSON strings of these sizes.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same calls.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write the figures as JSON.")
@click.option("--html", "html_to", type=click.Path(path_type=Path), help="Write a page with plots.")
@click.option("--progress/--no-progress", default=None, help="Show how it goes.  [default: on a terminal]")
def bench(**options: Any) -> None:
    """Put functions under load and report what came of it.

    FUNCTION is a PATH or PATH:HANDLER that is deployed first, or with --socket and --endpoint the name of one that is
    there. WEIGHT is how often it is called against the others.

    Without --rate or --trace it is a closed loop: each caller sends its next call when the last one is answered. With
    them it is an open loop that keeps to its schedule; latency then counts from when a call was meant to be sent, and
    what finds --max-outstanding calls under way is not sent and reported so.

    Ctrl-C ends a run early and still reports. Exit status 1 when there were transport errors or unanswered calls, or
    no call succeeded.
    """
    try:
        document = _bench(options)
    except ModuleNotFoundError as missing:
        raise click.ClickException(MISSING.format(name=missing.name)) from missing
    except ValueError as wrong:
        raise click.UsageError(str(wrong)) from wrong
    except errors.EngineError as error:
        raise click.ClickException(f"{type(error).__name__}: {error}") from error
    except OSError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(exit_status(document))


def _bench(options: dict[str, Any]) -> Document:
    from . import document, progress, session
    from . import options as chosen

    for path in (options["html_to"], options["json_to"]):
        _check_writable(path)
    target, plan = chosen.target_of(options), chosen.plan_of(options)
    shown = sys.stderr.isatty() if options["progress"] is None else options["progress"]
    with progress.shown(shown, plan.limits) as watch:
        outcome = session.run(target, plan, watch)
    made = document.as_document(outcome)
    _write(made, options["json_to"], options["html_to"])
    return made


def exit_status(document: Document) -> int:
    """1 where calls were lost on the way, or none succeeded."""
    calls = document["calls"]
    return 1 if calls["transport_errors"] or calls["unanswered"] or not calls["ok"] else 0


def _check_writable(path: Path | str | None) -> None:
    """Before the run, not after it."""
    if path is not None and str(path) != "-" and not Path(path).resolve().parent.is_dir():
        raise ValueError(f"{path} cannot be written: there is no folder {Path(path).resolve().parent}")


def _write(document: Document, json_to: str | None, html_to: Path | None) -> None:
    import orjson
    from rich.console import Console

    from . import page, text

    to_stderr = json_to == "-"
    stream = sys.stderr if to_stderr else sys.stdout
    text.show(document, Console(stderr=to_stderr, width=None if stream.isatty() else text.PLAIN_WIDTH))
    if json_to is not None:
        written = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        if to_stderr:
            click.echo(written, nl=False)
        else:
            Path(json_to).write_bytes(written)
    if html_to is not None:
        html_to.write_text(page.as_page(document), encoding="utf-8")
