"""F6: `engine logs`, `stats`, `bill` and `doctor`: what happened, what it costs, what is enforced."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from ..client.blocking import Client
from ..records.export import Format, export_segments
from ..runtimes import catalog
from ..settings import default_data_dir
from ..sync import Engine
from ..wire.values import as_map
from .service import Service, as_json_option, on_service, told_errors
from .show import print_event, print_json, print_table

FOLLOW_S = 0.2  # how often a log that is followed is asked for what is new
NUMBERS = (
    *("invocations", "errors", "timeouts", "throttles", "cold", "warm", "provisioned", "p50 ms", "p99 ms", "max ms"),
    "billed ms",
)
COUNTS = ("invocations", "errors", "timeouts", "throttles", "cold_starts", "warm_starts", "provisioned_starts")


@click.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@click.option("--limit", type=click.IntRange(1), help="The newest N lines; with -f, to begin with.")
@click.option("--request-id", help="Only lines of this request.")
@click.option("--qualifier", help="A version or an alias.")
@on_service
@as_json_option
def logs(
    name: str,
    follow: bool,
    limit: int | None,
    request_id: str | None,
    qualifier: str | None,
    service: Service,
    as_json: bool,
) -> None:
    """Print a function's log, oldest line first; with --json one object per line."""
    with service.client() as client:
        if not follow:
            for event in client.logs(name, qualifier=qualifier, request_id=request_id, limit=limit):
                print_event(event, as_json)
            return
        try:
            _follow(client, name, qualifier, limit, request_id, as_json)
        except KeyboardInterrupt:
            return


def _follow(
    client: Client, name: str, qualifier: str | None, limit: int | None, request_id: str | None, as_json: bool
) -> None:
    """Pages join without a gap or a repeat: the cursor says where the last one ended."""
    page = client.logs_after(name, qualifier=qualifier, limit=limit)
    while True:
        for event in page.events:
            if request_id in (None, event.request_id):
                print_event(event, as_json)
        time.sleep(FOLLOW_S)
        page = client.logs_after(name, page.cursor, qualifier=qualifier)


@click.command()
@click.argument("name", required=False)
@on_service
@as_json_option
def stats(name: str | None, service: Service, as_json: bool) -> None:
    """Counts and durations per function and version since the service began."""
    with service.client() as client:
        told = client.stats(name)
    if as_json:
        print_json(told)
        return
    rows = [
        _row(function, version, counts)
        for function, versions in told["functions"].items()
        for version, counts in versions["versions"].items()
    ]
    print_table(["function", "version", *NUMBERS, "environments"], rows, numbers=NUMBERS)


def _row(function: str, version: str, counts: dict[str, Any]) -> list[object]:
    duration, environments = counts["duration_ms"], counts["environments"]
    return [
        function,
        version,
        *(counts[key] for key in COUNTS),
        *(f"{duration[key]:.3f}" for key in ("p50", "p99", "max")),
        counts["billed_ms"],
        f"{environments['ready']} ready, {environments['starting']} starting",
    ]


@click.command()
@click.option("--month", metavar="YYYY-MM", help="One month (UTC); by default all that is kept.")
@click.option("--by", type=click.Choice(["function", "version", "day"]), default="function", show_default=True)
@click.option("--free-tier", is_flag=True, help="Take each month's free tier off the total.")
@click.option("--csv", "csv_file", type=click.Path(dir_okay=False), help="Write the records themselves to this file.")
@click.option("--parquet", "parquet_file", type=click.Path(dir_okay=False), help="The same as Parquet; takes pyarrow.")
@click.option("--data", type=click.Path(file_okay=False), help="For --csv and --parquet: the service's data folder.")
@on_service
@as_json_option
def bill(
    month: str | None,
    by: Any,
    free_tier: bool,
    csv_file: str | None,
    parquet_file: str | None,
    data: str | None,
    service: Service,
    as_json: bool,
) -> None:
    """What AWS would charge. --csv and --parquet read the records in the data folder, without the service."""
    if csv_file is not None:
        _export(data, csv_file, "csv", month)
    if parquet_file is not None:
        _export(data, parquet_file, "parquet", month)
    if csv_file is not None or parquet_file is not None:
        return
    with service.client() as client:
        table = client.bill(by=by, month=month, free_tier=free_tier)
    if as_json:
        print_json(as_map(table))
        return
    headings = [
        *("function", "version", "day", "requests", "errors", "cold starts", "GB-seconds", "provisioned GB-seconds"),
        "USD",
    ]
    lines = [*table.lines, table.total]
    rows = [
        (
            "total" if line is table.total else line.function,
            line.version,
            line.day,
            line.requests,
            line.errors,
            line.cold_starts,
            f"{line.gb_seconds:.6f}",
            f"{line.provisioned_gb_seconds:.6f}",
            f"{line.cost:.10f}",
        )
        for line in lines
    ]
    print_table(headings, rows, numbers=headings[3:])


def _export(data: str | None, target: str, form: Format, month: str | None) -> None:
    folder = Path(data or default_data_dir()) / "ledger"
    if not folder.is_dir():
        raise click.BadParameter(f"{folder.parent} is no data folder: it has no ledger", param_hint="--data")
    with told_errors():
        count = export_segments(folder, target, format=form, month=month)
    click.echo(f"{count} records in {target}", err=True)


@click.command()
@on_service
@as_json_option
def doctor(service: Service, as_json: bool) -> None:
    """Which limits this host lets the engine enforce, and by what, and which languages it has; with --socket, those of
    that service."""
    if service.address is None:
        with Engine() as engine:  # which tries it all out
            told: dict[str, Any] = {"limits": engine.stats()["limits"], "runtimes": catalog.installed()}
    else:
        with service.client() as client:
            told = client.doctor()
    if as_json:
        print_json(told)
        return
    rows = [(line["limit"], line["mechanism"] or "nothing", line["why"]) for line in told["limits"]]
    print_table(["limit", "enforced by", "how, or why not"], rows)
    found = [(each["language"], each["version"], each["executable"]) for each in told["runtimes"]]
    print_table(["language", "version", "by"], found)
