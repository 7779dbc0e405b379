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
IN_FLIGHT_RATE: Final = "in_flight_per_s"
Rate = tuple[str, str]
REDIS: Final[Rate] = (PEER, IN_FLIGHT_RATE)
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
        _rate(
            outcome,
            "socket, 64 connections, one in flight each",
            (OURS, IN_FLIGHT_RATE),
            REDIS,
            least=0.7,
            of="Redis with 64 connections",
        ),
        # Redis with nothing pipelined, whatever the shape of our own traffic.
        _rate(
            outcome,
            "socket, pipelined 64 on one connection",
            (OURS, "pipelined_per_s"),
            REDIS,
            least=2.0,
            of="Redis with 64 connections",
        ),
        # What HTTP alone costs: a server of the same kind that runs the handler in its own process.
        _rate(
            outcome,
            "REST Invoke, 64 connections",
            (OURS_HTTP, IN_FLIGHT_RATE),
            (HTTP_PEER, IN_FLIGHT_RATE),
            least=0.5,
            of="uvicorn that echoes itself",
        ),
        # The same client on a server that only hands events on: no sandbox, limits, logs or bill.
        _rate(
            outcome,
            "AWS's runtime client, 64 outstanding",
            (OURS_RUNTIME, IN_FLIGHT_RATE),
            (RUNTIME_PEER, IN_FLIGHT_RATE),
            least=1.5,
            of="on a minimal Runtime API",
        ),
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


def _rate(outcome: Outcome, what: str, ours: Rate, peer: Rate, *, least: float, of: str) -> Verdict:
    """One contender's rate against another's; each is a name and a figure's key."""
    target = f"≥ {least}x {of}"
    rate, other = outcome.median(*ours), outcome.median(*peer)
    if rate is None or not other:
        return Verdict(what, target, "not measured", None)
    return Verdict(what, target, f"{rate / other:.2f}x ({rate:,.0f} / {other:,.0f} per s)", rate >= least * other)


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
