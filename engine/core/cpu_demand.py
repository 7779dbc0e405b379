"""F3: how much CPU the environments of one function want right now, read from the kernel.

What an environment used over past invocations says nothing about those that run now: a function that computed for a
while may wait for a long time in its next invocation, and then more of them would cost no CPU. An environment's process
counts with those below it: a runtime of another language is one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

INTERVAL_NS: Final = 10_000_000  # over which a share is measured at least
PROCESSES_MOST: Final = 16  # of one environment that are looked at
_SCHEDULER_CLOCK: Final = 2  # CPUCLOCK_SCHED of clock_getcpuclockid(3): run time of all threads


class _Look(NamedTuple):
    """`wanted_ns`: run time of each process and what its first thread waited for a CPU."""

    at_ns: int
    wanted_ns: Mapping[int, int]
    is_runnable: bool


class CpuDemand:
    """Shares between two looks. Time spent waiting for a CPU or held back by a quota counts as wanted."""

    def __init__(self) -> None:
        self._seen: dict[int, _Look] = {}

    def forget(self) -> None:
        """The next look is a first one."""
        self._seen.clear()

    def share(self, pids: Iterable[int], now_ns: int) -> float | None:
        """CPUs that one of these processes wants, on average since they were seen first; None when that is too near."""
        seen = {pid: look for pid in pids if (look := _look(pid, now_ns)) is not None}
        known = [(seen[pid], was) for pid, was in self._seen.items() if pid in seen]
        elapsed = sum(now.at_ns - was.at_ns for now, was in known)
        if not known or elapsed < INTERVAL_NS * len(known):
            self._seen = {**seen, **{pid: was for pid, was in self._seen.items() if pid in seen}}
            return None
        self._seen = seen
        return sum(_wanted_between(was, now) for now, was in known) / elapsed


def _wanted_between(was: _Look, now: _Look) -> int:
    counted_ns = sum(wanted_ns - was.wanted_ns.get(pid, 0) for pid, wanted_ns in now.wanted_ns.items())
    return max(counted_ns, now.at_ns - was.at_ns) if now.is_runnable else counted_ns


def _look(pid: int, now_ns: int) -> _Look | None:
    """None when the process is gone. One below it that has just ended is as good as none."""
    pids, wanted_ns, is_runnable = deque([pid]), dict[int, int](), False
    while pids and len(wanted_ns) < PROCESSES_MOST:
        each = pids.popleft()
        seen = _look_at(each)
        if seen is None and each == pid:
            return None
        if seen is not None:
            wanted_ns[each] = seen[0]
            is_runnable |= seen[1]
            pids.extend(_below(each))
    return _Look(now_ns, wanted_ns, is_runnable)


def _below(pid: int) -> list[int]:
    """Its children. Nothing from a kernel that does not tell."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            return [int(child) for child in children.read().split()]
    except OSError:
        return []


def _look_at(pid: int) -> tuple[int, bool] | None:
    """What one process wanted, and whether it is runnable; None when it is gone.

    The kernel counts a wait for a CPU only once it is over: one that is runnable now may have waited all the time, on a
    host that is busy with others, and is taken for one that did.
    """
    try:
        ran_ns = time.clock_gettime_ns(~pid << 3 | _SCHEDULER_CLOCK)
        with open(f"/proc/{pid}/schedstat") as counts, open(f"/proc/{pid}/stat") as about:
            wanted_ns = ran_ns + int(counts.read().split()[1])
            return wanted_ns, about.read().rpartition(")")[2].split()[0] == "R"
    except OSError:
        return None
