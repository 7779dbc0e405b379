"""F3: runtimes' processes that are started ahead of their functions: which kinds, how many, and for how long.

Of a kind are those that any function could have: one interpreter, started in one way, in one sort of network. One of a
kind is kept while functions of it are deployed or started, and as many as the largest burst of the last minute; none of
a kind that nobody has asked for in a while, and none while the host is short of memory. Those that wait are frozen.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from .._ext.environment import Environment
from ..config import EPHEMERAL_MIN_MB
from ..errors import EngineError
from ..model import Network
from .births import Births
from .blanks import Blank, Demand
from .languages import Started
from .pools import Pool
from .scratches import Scratches
from .snapshots import After

KINDS_MAX: Final = 16  # remembered; the one longest not asked for goes
OF_A_KIND_MAX: Final = 8
UNUSED_NS: Final = 900_000_000_000  # a kind nobody asks for is let go then
PAUSE_NS: Final = 1_000_000_000  # after one could not be started
SETTLED_S: Final = 3.0  # by then it has loaded what it loads, and only costs CPU by timers of its own
FAILURES_MAX: Final = 3  # in a row that end before they are used: then a kind is given up


@dataclass(slots=True, eq=False)
class Kind:
    """One kind, how much it is asked for, and its processes, the oldest first."""

    started: Started
    network: Network
    demand: Demand = field(default_factory=lambda: Demand(least=1))
    asked_ns: int = 0
    paused_until_ns: int = 0
    failures: int = 0
    blanks: deque[Blank] = field(default_factory=deque)


class PrimedStock:
    """`after(seconds, call)` makes a call then; `is_short()` says whether the host's memory is.

    All on the loop's thread, and of a jail with Lambda's paths only, which are the same for all functions.
    """

    def __init__(self, births: Births, scratches: Scratches, *, after: After, is_short: Callable[[], bool]) -> None:
        self._births, self._scratches, self._after, self._is_short = births, scratches, after, is_short
        self._kinds: dict[tuple[str, Network], Kind] = {}
        births.on_unused = self._lost

    def want(self, started: Started, network: Network) -> None:
        """A function of this kind is deployed: have one ready."""
        kind = self._kind(started, network)
        if kind is not None:
            self._fill(kind, time.monotonic_ns())

    def order(self, pool: Pool, environment: Environment) -> bool:
        """Whether the environment begins in one of them; another takes its place at the next `refill`."""
        started = pool.started
        if started is None or pool.configuration.ephemeral_storage_mb != EPHEMERAL_MIN_MB:
            return False
        kind = self._kind(started, pool.network)
        if kind is None:
            return False
        kind.demand.started(kind.asked_ns)
        kind.started = started  # as it would be started now
        while kind.blanks:
            if self._births.order_primed(pool, environment, kind.blanks.popleft()):
                kind.failures = 0
                return True
        return False

    def refill(self) -> None:
        """Bring every kind to what recent demand asks for, and forget those nobody asks for."""
        now_ns = time.monotonic_ns()
        for key, kind in list(self._kinds.items()):
            if now_ns - kind.asked_ns > UNUSED_NS:
                self._forget(key)
            else:
                self._fill(kind, now_ns)

    def counts(self) -> dict[str, int]:
        """How many wait for a function, by interpreter."""
        counts: Counter[str] = Counter()
        for kind in list(self._kinds.values()):
            counts[kind.started.interpreter.executable] += len(kind.blanks)
        return dict(counts)

    def _lost(self, blank: Blank) -> None:
        """It ended before it was used."""
        for kind in self._kinds.values():
            if blank in kind.blanks:
                kind.blanks.remove(blank)
                now_ns = time.monotonic_ns()
                kind.failures += now_ns > kind.paused_until_ns  # several that end at once are one failure
                kind.paused_until_ns = now_ns + PAUSE_NS

    def _kind(self, started: Started, network: Network) -> Kind | None:
        """None for what cannot be started ahead."""
        if started.stock is None or "files" not in self._births.facts.enforced:
            return None
        network = "host" if network == "host" else "loopback"  # what runtimes have for "none" too
        key = started.stock, network
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= KINDS_MAX:
                self._forget(min(self._kinds, key=lambda each: self._kinds[each].asked_ns))
            kind = self._kinds[key] = Kind(started, network)
        kind.asked_ns = time.monotonic_ns()
        return kind

    def _fill(self, kind: Kind, now_ns: int) -> None:
        wanted = 0 if self._is_short() else min(kind.demand.wanted(now_ns), OF_A_KIND_MAX)
        while len(kind.blanks) > wanted:
            self._births.strike(kind.blanks.pop())
        if now_ns < kind.paused_until_ns or kind.failures >= FAILURES_MAX:
            return
        while len(kind.blanks) < wanted:
            scratch = self._scratches.spare() if self._scratches.are_used() else None
            if scratch is None and self._scratches.are_used():
                return  # there will be one at the next look
            try:
                kind.blanks.append(self._births.prime(kind.started, kind.network, scratch))
            except (OSError, EngineError):  # whoever needs a start is told
                if scratch is not None:
                    self._scratches.give_back(scratch)
                kind.paused_until_ns = now_ns + PAUSE_NS
                return
            self._after(SETTLED_S, partial(self._freeze, kind, kind.blanks[-1]))

    def _freeze(self, kind: Kind, blank: Blank) -> None:
        if blank in kind.blanks:
            blank.cell.freeze()

    def _forget(self, key: tuple[str, Network]) -> None:
        for blank in self._kinds.pop(key).blanks:
            self._births.strike(blank)
