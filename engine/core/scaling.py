"""F3: how many environments a function version should have. Pure arithmetic over what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

Scaling = Literal["adaptive", "lambda"]
LEAST_CPU_SHARE = (
    0.02  # a function that mostly waits still gets at most 50 environments per CPU beyond its queue's need
)


@dataclass(frozen=True, slots=True)
class Load:
    """What one function version looks like now.

    outstanding: invocations accepted and not answered. ready, starting: its environments. service_ns: how long an
    invocation takes, at least as long as the longest that runs now. cold_ns: how long a new environment takes.
    cpu_share: CPUs that one busy environment uses, 0 while that is unknown. ceiling: environments it may have.
    """

    outstanding: int
    ready: int
    starting: int
    service_ns: float
    cold_ns: float
    cpu_share: float
    cpus: int
    ceiling: int


def environments_to_start(load: Load, scaling: Scaling) -> int:
    """How many to start now.

    "lambda": one for each invocation that no environment is free for. "adaptive": none unless the expected wait (queue
    over service rate) exceeds the expected cold start, then as few as bring it below, and no more than the host's CPUs
    can keep busy.
    """
    have = load.ready + load.starting
    queued = load.outstanding - have
    if queued <= 0 or have >= load.ceiling:
        return 0
    if scaling == "lambda":
        return min(queued, load.ceiling - have)
    if have == 0:
        return 1
    if queued * load.service_ns < load.cold_ns * have:
        return 0
    enough = ceil((queued + have) * load.service_ns / max(load.cold_ns, 1.0))
    useful = ceil(load.cpus / max(load.cpu_share, LEAST_CPU_SHARE)) if load.cpu_share else load.ceiling
    return max(0, min(enough, useful, load.outstanding, load.ceiling) - have)
