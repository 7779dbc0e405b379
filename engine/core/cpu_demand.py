"""F3: how much CPU the environments of one function want right now, read from the kernel.

What an environment used over past invocations says nothing about those that run now: a function that computed for a
while may wait for a long time in its next invocation, and then more of them would cost no CPU.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

INTERVAL_NS: Final = 10_000_000  # over which a share is measured at least
_SCHEDULER_CLOCK: Final = 2  # CPUCLOCK_SCHED of clock_getcpuclockid(3): run time of all threads


class CpuDemand:
    """Shares between two looks. Time spent waiting for a CPU or held back by a quota counts as wanted."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, int]] = {}

    def forget(self) -> None:
        """The next look is a first one."""
        self._seen.clear()

    def share(self, pids: Iterable[int], now_ns: int) -> float | None:
        """CPUs that one of these processes wants, on average since they were seen first; None when that is too near."""
        seen = {pid: (now_ns, wanted) for pid in pids if (wanted := _wanted_ns(pid)) is not None}
        known = [(seen[pid], was) for pid, was in self._seen.items() if pid in seen]
        elapsed = sum(now[0] - was[0] for now, was in known)
        if not known or elapsed < INTERVAL_NS * len(known):
            self._seen = {**seen, **{pid: was for pid, was in self._seen.items() if pid in seen}}
            return None
        self._seen = seen
        return sum(now[1] - was[1] for now, was in known) / elapsed


def _wanted_ns(pid: int) -> int | None:
    """Run time of a process and what its first thread waited for a CPU. None when it is gone."""
    try:
        ran_ns = time.clock_gettime_ns(~pid << 3 | _SCHEDULER_CLOCK)
        with open(f"/proc/{pid}/schedstat") as counts:
            return ran_ns + int(counts.read().split()[1])
    except OSError:
        return None
