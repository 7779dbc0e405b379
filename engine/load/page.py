"""F5: a run's document as one page that needs nothing else: plots, all figures, the command, the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from . import text
from .plots import Axis, Series, log_axis, plain, plot, values_axis
from .units import percent, rate, span, usd

Document = dict[str, Any]
Row = dict[str, Any]

SLIVER: Final = 0.5  # of a bin: a shorter last one is not drawn; the table and the JSON have it
CURVE_WIDTH: Final = 1_080


def as_page(document: Document) -> str:
    """HTML that is also well-formed XML."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    names = ", ".join(function["name"] for function in document["functions"][:4])
    more = len(document["functions"]) - 4
    title = f"Load on {names}{f' and {more} others' if more > 0 else ''}"
    when = str(document["stamp"]["when"]).replace("T", " ").replace("+00:00", " UTC")
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{escape(title)}</title><style>{style}</style></head><body>
<h1>{escape(title)}</h1>
<p class="sub">{escape(document["target"])} · {escape(text.load(document["settings"]))} · {escape(when)}</p>
<pre><code>{_command(document["command"])}</code></pre>
{"".join(f'<p class="warning">{escape(warning)}</p>' for warning in text.warnings(document))}
<div class="tiles">{"".join(_tiles(document))}</div>
<div class="plots">{"".join(_plots(document))}</div>
<div class="tables">{"".join(_tables(document))}</div>
<footer>{"".join(f"<p>{escape(note)}</p>" for note in document["notes"])}<p>Made by engine bench {
        escape(str(document["stamp"]["engine"]))
    }; schema {document["schema"]}, version {document["version"]}.</p></footer>
</body></html>
"""


def _command(line: str) -> str:
    """Its words, which the page does not break at their hyphens."""
    return " ".join(f"<span>{escape(word)}</span>" for word in line.split(" "))


# --- the figures that matter first ------------------------------------------------------------------------------------


def _tiles(document: Document) -> Iterable[str]:
    calls, corrected = document["calls"], document["latency"]["corrected"]
    throughput, starts = document["throughput"], document["starts"]
    asked = throughput["asked_per_s"]
    failed = sum(error["count"] for error in document["errors"])
    cost, cpu = document["billing"]["usd_per_million"], document["cpu"]["us_per_invocation"]
    cold = "unknown" if starts["cold_share"] is None else f"{starts['cold']:,}"
    told = {
        "throughput": (rate(throughput["answered_per_s"]), "closed loop" if asked is None else f"{rate(asked)} asked"),
        "p50": (span(corrected["p50_us"]), "latency, corrected"),
        "p99": (span(corrected["p99_us"]), "latency, corrected"),
        "errors": (f"{failed:,}", f"{percent(failed / max(1, calls['sent']))} of {calls['sent']:,} calls"),
        "cold starts": (cold, "" if starts["cold_share"] is None else f"{percent(starts['cold_share'])} of answers"),
        "cost per million": ("unknown" if cost is None else usd(cost), "list price, us-east-1"),
        "CPU per call": ("unknown" if cpu is None else span(cpu), "user and system time"),
    }  # fmt: skip
    for name, (value, below) in told.items():
        yield f'<div class="card tile"><span>{name}</span><b>{escape(value)}</b><small>{escape(below)}</small></div>'


# --- plots ------------------------------------------------------------------------------------------------------------


def _plots(document: Document) -> Iterable[str]:
    rows, width_s = document["timeline"]["rows"], document["timeline"]["interval_s"]
    if rows and document["elapsed_s"] - rows[-1]["at_s"] < width_s * SLIVER:
        rows = rows[:-1] or rows  # a bin that had hardly begun would look like a fall
    end_s = max(document["elapsed_s"], width_s)
    marks = values_axis("", [end_s]).marks()
    time = Axis("seconds since the start", 0, end_s, plain, ticks=tuple(mark for mark in marks if mark[0] <= end_s))
    for make in (_throughput, _latency, _cold_starts, _errors):
        yield make(document, rows, time)
    yield _curve(document)


def _middle(row: Row, document: Document) -> float:
    until_s = min(row["at_s"] + document["timeline"]["interval_s"], max(document["elapsed_s"], row["at_s"]))
    return float((row["at_s"] + until_s) / 2)


def _per_s(row: Row, key: str, document: Document) -> float:
    """A bin's rate; the last one may be shorter."""
    left_s = document["elapsed_s"] - row["at_s"]
    width_s = document["timeline"]["interval_s"]
    return float(row[key] / (left_s if width_s * SLIVER <= left_s < width_s else width_s))


def _over_time(
    document: Document, rows: list[Row], value: Callable[[Row], float | None]
) -> list[tuple[float, float | None]]:
    return [(_middle(row, document), value(row)) for row in rows]


def _throughput(document: Document, rows: list[Row], time: Axis) -> str:
    answered = _over_time(document, rows, lambda row: _per_s(row, "answered", document))
    asked = _over_time(document, rows, lambda row: _per_s(row, "asked", document))
    series = [Series("answered per second", "s1", answered, "area")]
    if document["throughput"]["asked_per_s"] is not None:
        series.append(Series("asked per second", "s4", asked, "dashes"))
    axis = values_axis("", [value for one in series for _, value in one.points if value is not None])
    pairs = zip(answered, asked, strict=True)
    tips = [(at, f"{rate(had or 0)} answered, {rate(wanted or 0)} asked") for (at, had), (_, wanted) in pairs]
    return _card("Throughput", series, plot("Throughput over time", time, axis, series, tips))


def _latency(document: Document, rows: list[Row], time: Axis) -> str:
    what = (
        "from the intended send time"
        if document["throughput"]["asked_per_s"] is not None
        else "of the service, uncorrected"
    )
    kinds = (("p50", "s1", "p50_us"), ("p99", "s2", "p99_us"), ("max", "s3", "max_us"))
    series = [Series(name, style, [(_middle(row, document), row[key]) for row in rows]) for name, style, key in kinds]
    values = [value for one in series for _, value in one.points if value is not None]
    if not values:
        return _empty("Latency", "No call was answered.")
    tips = [(_middle(row, document), ", ".join(f"{name} {span(row[key])}" for name, _, key in kinds)) for row in rows]
    made = plot("Latency over time", time, log_axis("", values, span), series, tips)
    return _card(f"Latency {what}", series, made)


def _cold_starts(document: Document, rows: list[Row], time: Axis) -> str:
    if document["starts"]["unknown"]:
        return _empty("Cold starts", "This target does not tell; with --endpoint, --log-tail asks for it.")
    return _bars(document, rows, time, "Cold starts", "cold", "s1")


def _errors(document: Document, rows: list[Row], time: Axis) -> str:
    return _bars(document, rows, time, "Errors", "errors", "s3")


def _bars(document: Document, rows: list[Row], time: Axis, title: str, key: str, style: str) -> str:
    width_s = document["timeline"]["interval_s"]
    points = _over_time(document, rows, lambda row: row[key])
    if not any(value for _, value in points):
        return _empty(title, "None.")
    series = [Series(f"per {width_s:g} s", style, points, "bars")]
    tips = [(_middle(row, document), f"{row[key]:,} in {width_s:g} s") for row in rows]
    axis = values_axis("", [value or 0 for _, value in points])
    if axis.high < 5:
        axis = Axis("", 0, axis.high, plain, ticks=tuple((n, str(n)) for n in range(int(axis.high) + 1)))
    return _card(title, series, plot(f"{title} over time", time, axis, series, tips))


def _curve(document: Document) -> str:
    """HdrHistogram's plot: each step to the right is a tenth of what is left to 100 %."""
    curve = document["curve"]
    if not curve:
        return _empty("Latency by percentile", "No call was answered.", wide=True)
    left = [1 / (1 - point["percentile"] / 100) for point in curve]
    nines = [1.0, 2.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6]
    names = ["0%", "50%", "90%", "99%", "99.9%", "99.99%", "99.999%", "99.9999%"]
    high = max(left[-1], 10.0)
    ticks = tuple((at, name) for at, name in zip(nines, names, strict=True) if at <= high * 1.001)
    axis = Axis("percentile", 1.0, high, plain, log=True, pixels=CURVE_WIDTH, ticks=ticks)
    series = [
        Series("service", "s1", [(at, point["service_us"]) for at, point in zip(left, curve, strict=True)]),
        Series(
            f"corrected {text.correction(document)}",
            "s2",
            [(at, point["corrected_us"]) for at, point in zip(left, curve, strict=True)],
        ),
    ]
    values = [value for one in series for _, value in one.points if value is not None]
    tips = [
        (at, f"{point['percentile']:g}%: service {span(point['service_us'])}, corrected {span(point['corrected_us'])}")
        for at, point in zip(left, curve, strict=True)
    ]
    made = plot("Latency by percentile", axis, log_axis("", values, span), series, tips)
    return _card("Latency by percentile", series, made, wide=True)


def _card(title: str, series: Sequence[Series], made: str, *, wide: bool = False) -> str:
    legend = "".join(f'<span><i class="{one.style}"></i>{escape(one.name)}</span>' for one in series)
    kind = "card wide" if wide else "card"
    return f'<section class="{kind}"><h2>{escape(title)}</h2><div class="legend">{legend}</div>{made}</section>'


def _empty(title: str, why: str, *, wide: bool = False) -> str:
    kind = "card wide" if wide else "card"
    return f'<section class="{kind}"><h2>{escape(title)}</h2><p class="empty">{escape(why)}</p></section>'


# --- tables -----------------------------------------------------------------------------------------------------------


def _tables(document: Document) -> Iterable[str]:
    spans = [f"{name}_us" for name in text.COLUMNS]
    latency = [
        [title, f"{figures['count']:,}", *(span(figures[name]) for name in spans)]
        for title, figures in text.latency_rows(document)
    ]
    yield _table("Latency", ["", "count", *text.TITLES.values()], latency)
    yield _facts("Figures", text.facts(document))
    if document["errors"]:
        errors = [
            [text.KIND_TITLES[error["kind"]], error["type"], f"{error['count']:,}"] for error in document["errors"]
        ]
        yield _table("Errors", ["kind", "type", "count"], errors, plain=2)
    titles = ["name", "answered", "errors", "cold", "service p50", "p99", "corrected p50", "p99", "billed ms"]
    yield _table("Functions", titles, [text.function_cells(function) for function in document["functions"]])
    yield _facts("Settings", [(key, _plain(value)) for key, value in document["settings"].items()])
    yield _facts("Machine", [(key.replace("_", " "), _plain(value)) for key, value in document["stamp"].items()])


def _table(title: str, head: list[str], rows: list[list[str]], plain: int = 1) -> str:
    def line(cells: list[str], tag: str) -> str:
        return "".join(
            f"<{tag}>{escape(cell)}</{tag}>" if number < plain else f'<{tag} class="number">{escape(cell)}</{tag}>'
            for number, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return (
        f'<section class="card"><h2>{title}</h2><div class="scroll"><table><thead><tr>{line(head, "th")}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _facts(title: str, facts: Iterable[tuple[str, str]]) -> str:
    body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts)
    return f'<section class="card"><h2>{title}</h2><table class="facts"><tbody>{body}</tbody></table></section>'


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_plain(one) for one in value)
    if isinstance(value, dict):
        return " × ".join(_plain(one) for one in value.values())
    return plain(value) if isinstance(value, int | float) else str(value)
