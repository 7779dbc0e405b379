"""The comparison with servers and runtimes: its figures, a turn, and the targets of the engine's socket."""

from __future__ import annotations

from functools import partial
from typing import Final

from .comparison import Comparison, Outcome, Turn, Verdict
from .contract import Bound, Contender, NotMeasured
from .figures import Figure
from .metering import sequential, throughput

PEER: Final = "redis"
OURS: Final = "engine-socket"
OURS_HTTP: Final = "engine-http"
HTTP_PEER: Final = "uvicorn"
OURS_RUNTIME: Final = "engine-runtime-api"
RUNTIME_PEER: Final = "runtime-api"
IN_FLIGHT: Final = 64
WARM_UP_SHARE: Final = 0.2  # of a measurement: a shape of traffic is shown to the server before it is measured
FIGURES: Final = (
    Figure("sequential_p50_us", "one blocking client, p50", "µs"),
    Figure("sequential_p99_us", "p99", "µs"),
    Figure("sequential_cpu_us", "server's CPU per call", "µs"),
    Figure("in_flight_per_s", "64 clients, one call each", "/s", more_is_better=True),
    Figure("in_flight_cpu_us", "server's CPU per call", "µs"),
    Figure("pipelined_per_s", "64 in flight, one connection", "/s", more_is_better=True),
    Figure("pipelined_cpu_us", "server's CPU per call", "µs"),
)


def measure(contender: Contender, seconds: float) -> Turn:
    """All figures of one contender that is open."""
    bound, glance = Bound(seconds), Bound(seconds * WARM_UP_SHARE)
    turn = contender.own_figures(bound) | sequential(contender, bound)
    for key, flood in (("in_flight", contender.flood), ("pipelined", contender.pipeline)):
        try:
            flood(IN_FLIGHT, glance)
        except NotMeasured:
            continue
        turn.update(throughput(contender, key, partial(flood, IN_FLIGHT, bound)))
    return turn


def verdicts(outcome: Outcome) -> list[Verdict]:
    return [
        _latency(outcome, "socket, one blocking client, p50", most=2.0),
        _rate(outcome, "socket, 64 connections, one in flight each", "in_flight_per_s", least=0.7),
        _rate(outcome, "socket, pipelined 64 on one connection", "pipelined_per_s", least=2.0),
        _http_rate(outcome, "REST Invoke, 64 connections", least=0.5),
        _runtime_rate(outcome, "AWS's runtime client, 64 outstanding", least=1.5),
    ]


def _latency(outcome: Outcome, what: str, *, most: float) -> Verdict:
    """By the median over rounds; the best rounds beside it: the kernel's choice of CPUs alone moves a round tenfold."""
    target = f"≤ {most}x Redis SET"
    ours, redis = (outcome.spread(name, "sequential_p50_us") for name in (OURS, PEER))
    if ours is None or redis is None:
        return Verdict(what, target, "not measured", None)
    median, best = ours.median / redis.median, ours.low / redis.low
    medians, bests = f"{ours.median:.1f} / {redis.median:.1f} µs", f"{ours.low:.1f} / {redis.low:.1f} µs"
    measured = f"{median:.2f}x ({medians}); best {best:.2f}x ({bests})"
    return Verdict(what, target, measured, median <= most)


def _rate(outcome: Outcome, what: str, key: str, *, least: float) -> Verdict:
    """Against Redis with 64 connections and nothing pipelined, whatever the shape of our own traffic."""
    target = f"≥ {least}x Redis with 64 connections"
    ours, redis = outcome.median(OURS, key), outcome.median(PEER, "in_flight_per_s")
    if ours is None or not redis:
        return Verdict(what, target, "not measured", None)
    return Verdict(what, target, f"{ours / redis:.2f}x ({ours:,.0f} / {redis:,.0f} per s)", ours >= least * redis)


def _http_rate(outcome: Outcome, what: str, *, least: float) -> Verdict:
    """Against what HTTP alone costs: a server of the same kind that runs the handler in its own process."""
    target = f"≥ {least}x uvicorn that echoes itself"
    ours, hello = outcome.median(OURS_HTTP, "in_flight_per_s"), outcome.median(HTTP_PEER, "in_flight_per_s")
    if ours is None or not hello:
        return Verdict(what, target, "not measured", None)
    return Verdict(what, target, f"{ours / hello:.2f}x ({ours:,.0f} / {hello:,.0f} per s)", ours >= least * hello)


def _runtime_rate(outcome: Outcome, what: str, *, least: float) -> Verdict:
    """Against the same client on a server that only hands events on: no sandbox, limits, logs or bill."""
    target = f"≥ {least}x on a minimal Runtime API"
    ours, bare = outcome.median(OURS_RUNTIME, "in_flight_per_s"), outcome.median(RUNTIME_PEER, "in_flight_per_s")
    if ours is None or not bare:
        return Verdict(what, target, "not measured", None)
    return Verdict(what, target, f"{ours / bare:.2f}x ({ours:,.0f} / {bare:,.0f} per s)", ours >= least * bare)


PEERS: Final = Comparison(
    figures=FIGURES,
    measure=measure,
    verdicts=verdicts,
    peer=PEER,
    title="echo of a small JSON object: median over rounds (lowest–highest)",
    caption="Nx: how many times better than Redis SET in the same run. Where the callers are no process apart "
    "(engine blocking and async, executor, Runtime API, Ray), CPU is that of all processes",
    contenders_across=False,
)
