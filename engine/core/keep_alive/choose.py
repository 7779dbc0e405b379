"""F3: which policy and which order an engine's settings name."""

from __future__ import annotations

from typing import Literal

from .contract import Eviction, KeepAlive
from .eviction import GreedyDual, LeastRecentlyUsed
from .fixed import Fixed
from .histogram import HybridHistogram


def keep_alive_policy(name: Literal["fixed", "histogram"], keep_alive_s: float) -> KeepAlive:
    """`keep_alive_s`: always, or until the histogram tells something."""
    keep_alive_ns = int(keep_alive_s * 1e9)
    return HybridHistogram(keep_alive_ns) if name == "histogram" else Fixed(keep_alive_ns)


def eviction_order(name: Literal["least-recently-used", "greedy-dual"]) -> Eviction:
    return GreedyDual() if name == "greedy-dual" else LeastRecentlyUsed()
