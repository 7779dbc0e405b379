"""F5: a run's figures for people at a terminal: rich tables made of the document."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .units import percent, rate, span, usd

PLAIN_WIDTH: Final = 150  # columns, where the output is not a terminal
COLUMNS: Final = ("mean", "p50", "p90", "p99", "p99_9", "max")
TITLES: Final = {"mean": "mean", "p50": "p50", "p90": "p90", "p99": "p99", "p99_9": "p99.9", "max": "max"}
KIND_TITLES: Final = {
    "function": "function error",
    "throttle": "throttled",
    "refusal": "refused",
    "transport": "transport error",
}
ENDED: Final = {
    "duration": "the time was up",
    "count": "the count was reached",
    "arrivals": "the schedule was through",
    "interrupt": "interrupted",
}

COUNTED: Final = {"sent": "sent", "answered": "answered", "ok": "ok", "not_sent": "not sent"}

Document = dict[str, Any]


def show(document: Document, console: Console) -> None:
    """Latency, then what happened, then errors and functions where there are any, then the machine."""
    for warning in warnings(document):
        console.print(Text(warning, "bold red"))
    console.print(_latency(document))
    console.print(_facts(document))
    if document["errors"]:
        console.print(_errors(document))
    if len(document["functions"]) > 1:
        console.print(_functions(document))
    for note in document["notes"]:
        console.print(Text(note, "dim"))
    console.print(Text(" · ".join(f"{key} {value}" for key, value in document["stamp"].items()), "dim"))


def warnings(document: Document) -> list[str]:
    """What must not be overlooked."""
    calls, found = document["calls"], list[str]()
    if calls["not_sent"]:
        share = percent(calls["not_sent"] / (calls["not_sent"] + calls["sent"]))
        found.append(
            f"NOT SENT: {calls['not_sent']:,} calls ({share} of those that were due) were not sent: "
            f"{document['settings']['max_outstanding']:,} were outstanding, or the time was up. The target "
            "or this generator did not keep up. They are in no latency."
        )
    if calls["unanswered"]:
        found.append(f"UNANSWERED: {calls['unanswered']:,} calls had no answer when the run ended.")
    if calls["transport_errors"]:
        found.append(f"TRANSPORT: {calls['transport_errors']:,} calls failed on the way.")
    if document["ended_by"] == "interrupt":
        found.append("Interrupted: the figures are of the part that ran.")
    return found


def correction(document: Document) -> str:
    """How the corrected latencies are meant, in a few words."""
    latency = document["latency"]
    if latency["expected_interval_us"] is None:
        return "from the intended send time"
    return f"by the {latency['corrected_from']} {span(latency['expected_interval_us'])}"


def latency_rows(document: Document) -> list[tuple[str, Document]]:
    latency = document["latency"]
    rows = [
        ("service: from sending to the answer", latency["service"]),
        (f"corrected {correction(document)}", latency["corrected"]),
    ]
    return [*rows, ("of it, sent late", latency["lateness"])] if latency["lateness"] else rows


def _latency(document: Document) -> Table:
    table = Table("latency", *(TITLES[name] for name in COLUMNS), title=f"{document['target']}")
    for column in table.columns[1:]:
        column.justify = "right"
    for title, figures in latency_rows(document):
        table.add_row(title, *(span(figures[f"{name}_us"]) for name in COLUMNS))
    return table


def facts(document: Document) -> list[tuple[str, str]]:
    """Everything but latencies, as title and value."""
    calls, settings = document["calls"], document["settings"]
    throughput, starts = document["throughput"], document["starts"]
    billing, cpu = document["billing"], document["cpu"]
    asked = throughput["asked_per_s"]
    cold = "unknown" if starts["cold_share"] is None else f"{starts['cold']:,} ({percent(starts['cold_share'])})"
    cost = (
        "unknown"
        if billing["cost_usd"] is None
        else f"{usd(billing['cost_usd'])} ({usd(billing['usd_per_million'])} per million)"
    )
    billed = (
        "unknown" if billing["billed_ms"] is None else f"{billing['billed_ms']:,} ms, {billing['gb_seconds']:,.4g} GB-s"
    )
    each = cpu["us_per_invocation"]
    return [
        ("load", load(settings)),
        ("throughput", f"{rate(throughput['answered_per_s'])}" + ("" if asked is None else f" of {rate(asked)} asked")),
        ("calls", ", ".join(f"{calls[name]:,} {told}" for name, told in COUNTED.items())),
        ("time", f"{document['elapsed_s']:.2f} s; ended because {ENDED[document['ended_by']]}"),
        ("cold starts", cold),
        ("billed", billed),
        ("cost at list price", cost),
        ("CPU per invocation", "unknown" if each is None else f"{each:,.1f} µs ({cpu['of']})"),
    ]  # fmt: skip


def load(settings: Document) -> str:
    """The load in a line."""
    if settings["shape"] == "closed loop":
        return f"closed loop of {settings['concurrency']:,} callers"
    if settings["shape"] == "trace replay":
        where = f"minutes {settings['minutes']} at {settings['speed']:g}×, {settings['within']} within a minute"
        return f"replay of {settings['trace_functions']} functions of {settings['trace']}, {where}"
    if settings["arrivals"] == "bursts":
        return f"open loop, bursts of {settings['burst']:,} every {settings['every_s']:g} s"
    return f"open loop, {settings['arrivals']} arrivals at {rate(settings['rate_per_s'])}"


def _facts(document: Document) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for title, value in facts(document):
        table.add_row(Text(title, "bold"), value)
    return table


def _errors(document: Document) -> Table:
    table = Table("error", "type", "count", title="errors")
    for error in document["errors"]:
        table.add_row(KIND_TITLES[error["kind"]], error["type"], f"{error['count']:,}")
    return table


def _functions(document: Document) -> Table:
    table = Table("function", "answered", "errors", "cold", "service p50", "p99", "corrected p50", "p99", "billed ms")
    for function in document["functions"]:
        table.add_row(*function_cells(function))
    return table


def function_cells(function: Document) -> list[str]:
    spans = ("service_p50_us", "service_p99_us", "corrected_p50_us", "corrected_p99_us")
    cold, billed = function["cold"], function["billed_ms"]
    return [
        function["name"],
        f"{function['answered']:,}",
        f"{function['errors']:,}",
        "unknown" if cold is None else f"{cold:,}",
        *(span(function[name]) for name in spans),
        "unknown" if billed is None else f"{billed:,}",
    ]
