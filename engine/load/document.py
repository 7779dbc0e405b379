"""F5: a run as one JSON object, whose schema is `schema.json`. The table and the page show nothing else."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from ..records.billing import gb_seconds_from_mb_ms
from ..records.prices import PriceList
from .distribution import Counts, as_histogram, corrected
from .session import Outcome
from .stamp import command, stamp
from .tally import FunctionTally, Kind
from .timeline import Timeline

VERSION: Final = 1  # of the schema: one more where a field goes or changes its meaning
NAMED: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9}
CURVE_STEPS: Final = 8  # points per halving or tenth of what is left
CURVE_NINES: Final = 6  # as far as 99.9999
KINDS: Final[tuple[Kind, ...]] = ("function", "throttle", "refusal", "transport")
Document = dict[str, Any]


def schema() -> Document:
    """JSON Schema of `as_document`'s value."""
    text = Path(__file__).with_name("schema.json").read_text(encoding="utf-8")
    loaded: Document = json.loads(text)
    return loaded


def as_document(outcome: Outcome) -> Document:
    plan, tally, window = outcome.plan, outcome.tally, outcome.window
    is_open = plan.arrivals is not None
    service, latency, basis, interval_ns = _latencies(outcome)
    errors = _errors(tally.functions)
    answered = tally.count_answered
    function_errors = sum(errors["function"].values())
    calls = {
        "sent": window.sent,
        "answered": answered,
        "ok": answered - function_errors,
        "function_errors": function_errors,
        **{name: sum(errors[kind].values()) for name, kind in _FAILED.items()},
        "unanswered": window.unanswered,
        "not_sent": sum(function.not_sent for function in tally.functions),
    }
    return {
        "schema": "engine-bench",
        "version": VERSION,
        "command": command(),
        "stamp": stamp(),
        "target": outcome.target.title,
        "settings": plan.settings,
        "notes": list(plan.notes),
        "ended_by": window.ended_by,
        "sending_s": round(window.sending_s, 6),
        "elapsed_s": round(window.elapsed_s, 6),
        "calls": calls,
        "throughput": {
            "asked_per_s": _per_s(window.sent + calls["not_sent"], window.sending_s) if is_open else None,
            "sent_per_s": _per_s(window.sent, window.sending_s),
            "answered_per_s": _per_s(answered, window.elapsed_s),
        },
        "latency": {
            "service": _figures(service, tally.service_max_ns),
            "corrected": _figures(latency, tally.latency_max_ns),
            "corrected_from": basis,
            "expected_interval_us": None if interval_ns is None else interval_ns / 1e3,
            "lateness": _figures(tally.lateness, tally.lateness_max_ns) if is_open else None,
        },
        "errors": [
            {"kind": kind, "type": name, "count": count} for kind in KINDS for name, count in errors[kind].most_common()
        ],
        "starts": _starts(tally.functions),
        "billing": _billing(tally.functions),
        "cpu": {"us_per_invocation": _cpu_us(outcome, answered), "of": outcome.target.cpu_of},
        "functions": [_function(function, is_open) for function in tally.functions],
        "timeline": _timeline(tally.timeline),
        "curve": _curve(service, latency),
        "histograms": {"service": _encoded(service), "corrected": _encoded(latency)},
    }


_FAILED: Final[dict[str, Kind]] = {"throttled": "throttle", "refused": "refusal", "transport_errors": "transport"}


def _latencies(outcome: Outcome) -> tuple[Counts, Counts, str, int | None]:
    """Service, corrected, what the correction is, and the interval it expects."""
    tally, plan = outcome.tally, outcome.plan
    if plan.arrivals is not None:
        return tally.service, tally.latency, "intended send time", None
    interval_ns = plan.expected_interval_ns
    basis = "expected interval, given"
    if interval_ns is None:
        interval_ns, basis = tally.service.percentile_ns(50), "expected interval, the median"
    return tally.service, corrected(tally.service, interval_ns), basis, interval_ns


def _figures(counts: Counts, max_ns: int) -> Document:
    """Microseconds. The maximum is exact, the rest is within 0.1 %."""
    histogram = as_histogram(counts)
    count = histogram.get_total_count()
    found = {name: min(int(histogram.get_value_at_percentile(p)), max_ns) for name, p in NAMED.items()}
    return {
        "count": count,
        "mean_us": round(histogram.get_mean_value() / 1e3, 3) if count else None,
        **{f"{name}_us": value_ns / 1e3 if count else None for name, value_ns in found.items()},
        "max_us": max_ns / 1e3 if count else None,
    }


def _errors(functions: list[FunctionTally]) -> dict[Kind, Counter[str]]:
    found: dict[Kind, Counter[str]] = {kind: Counter() for kind in KINDS}
    for function in functions:
        for (kind, name), count in function.errors.items():
            found[kind][name] += count
    return found


def _starts(functions: list[FunctionTally]) -> Document:
    starts: Counter[str] = Counter()
    for function in functions:
        starts.update(function.starts, warm=function.warm)
    known = starts.total() - starts["unknown"]
    names = ("cold", "warm", "provisioned", "snapshot", "unknown")
    return {
        **{name: starts[name] for name in names},
        "cold_share": starts["cold"] / known if known else None,
    }


def _billing(functions: list[FunctionTally]) -> Document:
    """What AWS would charge: us-east-1's list prices, no free tier. Nulls where a target did not tell."""
    answered = sum(function.answered for function in functions)
    if not answered or any(function.unbilled for function in functions):
        return {"requests": answered, "billed_ms": None, "gb_seconds": None, "cost_usd": None, "usd_per_million": None}
    gb_seconds = gb_seconds_from_mb_ms(sum(function.mb_ms for function in functions))
    cost = PriceList.load().cost(answered, gb_seconds)
    return {
        "requests": answered,
        "billed_ms": sum(function.billed_ms for function in functions),
        "gb_seconds": float(gb_seconds),
        "cost_usd": float(cost),
        "usd_per_million": float(cost / Decimal(answered) * 1_000_000),
    }


def _cpu_us(outcome: Outcome, answered: int) -> float | None:
    return round(outcome.cpu_s * 1e6 / answered, 3) if outcome.cpu_s is not None and answered else None


def _function(function: FunctionTally, is_open: bool) -> Document:
    """Corrected figures only of an open loop: a closed one is corrected as a whole."""
    known = not function.unbilled and function.answered
    service, latency = (counts.percentiles_ns([50.0, 99.0]) for counts in (function.service, function.latency))
    seen = bool(function.answered)
    return {
        "name": function.name,
        "answered": function.answered,
        "errors": function.errors.total(),
        "not_sent": function.not_sent,
        "cold": None if function.starts["unknown"] else function.starts["cold"],
        "service_p50_us": service[0] / 1e3 if seen else None,
        "service_p99_us": service[1] / 1e3 if seen else None,
        "corrected_p50_us": latency[0] / 1e3 if seen and is_open else None,
        "corrected_p99_us": latency[1] / 1e3 if seen and is_open else None,
        "billed_ms": function.billed_ms if known else None,
    }


def _timeline(timeline: Timeline) -> Document:
    width_s = timeline.bin_ns / 1e9
    return {"interval_s": width_s, "rows": [_row(timeline, number, width_s) for number in range(timeline.bins)]}


def _row(timeline: Timeline, number: int, width_s: float) -> Document:
    latencies = timeline.latencies_ns.get(number)
    names = ("p50_us", "p90_us", "p99_us", "max_us")
    return {
        "at_s": round(number * width_s, 3),
        "asked": int(timeline.asked_in[number]),
        "answered": int(timeline.answered_in[number]),
        "cold": int(timeline.cold_in[number]),
        "errors": int(timeline.errors_in[number]),
        **(dict.fromkeys(names) if latencies is None else {n: v / 1e3 for n, v in zip(names, latencies, strict=True)}),
    }


def _curve(service: Counts, latency: Counts) -> list[Document]:
    """Latency by percentile, as far as the samples reach: equal steps per tenth of what is left to 100."""
    total = service.total()
    shares = [10 ** -(step / CURVE_STEPS) for step in range(CURVE_STEPS * CURVE_NINES + 1)]
    percentiles = [100 * (1 - share) for share in shares if share * total >= 1]
    if not percentiles:
        return []
    pairs = zip(service.percentiles_ns(percentiles), latency.percentiles_ns(percentiles), strict=True)
    return [
        {"percentile": round(percentile, 6), "service_us": service_ns / 1e3, "corrected_us": latency_ns / 1e3}
        for percentile, (service_ns, latency_ns) in zip(percentiles, pairs, strict=True)
    ]


def _encoded(counts: Counts) -> str:
    """HdrHistogram's own form (V2, compressed, base64), in nanoseconds."""
    encoded: bytes = as_histogram(counts).encode()
    return encoded.decode()


def _per_s(count: int, seconds: float) -> float:
    return round(count / seconds, 3) if seconds else 0.0
