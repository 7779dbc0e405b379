"""F1: killing every process of a changing set, by pidfd. Which processes belong to the set is the caller's.

A pid read from a list may be another process's by the time it is signalled. So: list, open a pidfd for each, list
again, and signal only those still listed: a pidfd whose pid is listed *after* it was opened is a member, or
already dead.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Final

_AT_ONCE: Final = 64  # pidfds held at the same time
_ROUND_S: Final = 0.05  # then the set is listed again: something may have forked meanwhile


def kill_all(members: Callable[[], frozenset[int]], within_s: float, then: Callable[[], None] = lambda: None) -> bool:
    """SIGKILL until `members()` is empty; False when it is not after `within_s` seconds (something is unkillable).

    `then` is called whenever signals were sent, and before anybody waits for the dying: to thaw them.
    """
    deadline = time.monotonic() + within_s
    while pids := members():
        if time.monotonic() >= deadline:
            return False
        with _opened(islice(sorted(pids), _AT_ONCE)) as pidfds:
            _signal(pidfds, members())
            then()
            _wait(list(pidfds.values()), min(deadline, time.monotonic() + _ROUND_S))
    return True


@contextmanager
def _opened(pids: Iterator[int]) -> Iterator[dict[int, int]]:
    with ExitStack() as stack:
        pidfds: dict[int, int] = {}
        for pid in pids:
            try:
                pidfds[pid] = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            stack.callback(os.close, pidfds[pid])
        yield pidfds


def _signal(pidfds: dict[int, int], listed: frozenset[int]) -> None:
    for pid, pidfd in pidfds.items():
        if pid in listed:
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _wait(pidfds: list[int], until: float) -> None:
    """Until each has ended, a zombie counting as ended. Yields once: a dead process may be listed a moment longer."""
    for pidfd in pidfds:
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        poller.poll(max(0.0, until - time.monotonic()) * 1_000)
    os.sched_yield()
