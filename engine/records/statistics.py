"""F1: counts of functions and versions as plain values, and the bill, read from the meters when asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._ext.lane import Lane
from .._ext.meter import Histogram, Meter
from .bill import BillLine

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
BOUNDS_MS = (0.1, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000)


@dataclass(frozen=True, slots=True)
class BillTable:
    """One line per group, and everything together with Lambda's tiers applied. Costs are in USD."""

    lines: tuple[BillLine, ...]
    total: BillLine


def version_statistics(
    meter: Meter,
    lanes: Sequence[Lane],
    prewarms: tuple[int, int],
    provisioned: dict[str, float] | None,
    snapshot: dict[str, Any] | None,
    tenants: int | None,
) -> dict[str, Any]:
    """One version of a function.

    invocations, errors (timeouts among them), timeouts, throttles, cold_starts, warm_starts, provisioned_starts,
    billed_ms: since the engine opened. duration_ms, init_ms, wait_ms (from accepted to taken): count, mean, p50, p90,
    p99, p99.9, max. duration_counts: pairs of a bound in ms and how many took at most that long. concurrency: accepted
    and not answered now. environments: ready and starting now. provisioned: None where nothing is, else requested,
    available, in_use, utilization now, and since it was: invocations, spillover_invocations. prewarms: environments
    started ahead of need, and those of them that were used. snapshot: None where the version has none, else its status
    ("making", "ready" or "failed"), reason, held_mb, init_ms of its template, environments restored from it. tenants:
    that have a lane of their own now; None where they are not kept apart.
    """
    return {
        "invocations": meter.invocations,
        "errors": meter.errors,
        "timeouts": meter.timeouts,
        "throttles": meter.throttles,
        "cold_starts": meter.colds,
        "warm_starts": meter.warms,
        "provisioned_starts": meter.provisioned,
        "billed_ms": meter.billed_ms,
        "duration_ms": histogram_statistics(meter.durations),
        "duration_counts": [
            [bound_ms, count]
            for bound_ms, count in zip(
                BOUNDS_MS, meter.durations.counts_upto([round(bound_ms * 1e6) for bound_ms in BOUNDS_MS]), strict=True
            )
        ],
        "init_ms": histogram_statistics(meter.inits),
        "wait_ms": histogram_statistics(meter.waits),
        "concurrency": sum(lane.outstanding for lane in lanes),
        "environments": {
            "ready": sum(lane.ready for lane in lanes),
            "starting": sum(lane.starting for lane in lanes),
        },
        "provisioned": provisioned,
        "snapshot": snapshot,
        "prewarms": {"started": prewarms[0], "used": prewarms[1]},
        "tenants": tenants,
    }


def histogram_statistics(histogram: Histogram) -> dict[str, float]:
    """A histogram of nanoseconds in milliseconds; percentiles are at most 6.25 % too high."""
    told: dict[str, float] = {"count": histogram.count, "mean": histogram.mean_ns / 1e6}
    for percent in PERCENTILES:
        told[f"p{percent:g}"] = histogram.percentile_ns(percent) / 1e6
    told["max"] = histogram.max_ns / 1e6
    return told
