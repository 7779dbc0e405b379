"""What the shim waits with: descriptors and times, one epoll, no threads."""

from __future__ import annotations

import heapq
import select
import time
from collections.abc import Callable
from itertools import count

READ, WRITE = select.EPOLLIN, select.EPOLLOUT


class Timer:
    """A call at a time. Nothing once it is cancelled."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        self.call = None


class Loop:
    """Calls whoever watches a descriptor with the events of epoll(7). `turn`: how often it has waited."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[int], object]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self.turn = 0

    def watch(self, fd: int, call: Callable[[int], object], events: int = READ) -> None:
        self._calls[fd] = call
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """Wait for these events of a descriptor that is watched already."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Nothing for one that nobody watches. To be called before it is closed."""
        if self._calls.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def after(self, seconds: float, call: Callable[[], object]) -> Timer:
        timer = Timer(call)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), timer))
        return timer

    def run_once(self, *, wait: bool = True) -> bool:
        """Wait until something happens, at most until the next time comes, and make the calls. Whether it did."""
        self.turn += 1
        happened = self._epoll.poll((self._until_next() if self._timers else None) if wait else 0.0)
        for fd, events in happened:
            call = self._calls.get(fd)
            if call is not None:  # an earlier call may have closed it
                call(events)
        if self._timers:
            self._call_timers()
        return bool(happened)

    def _call_timers(self) -> None:
        now = time.monotonic()
        while self._timers and (self._timers[0][0] <= now or self._timers[0][2].call is None):
            timer = heapq.heappop(self._timers)[2]
            call_now, timer.call = timer.call, None
            if call_now is not None:
                call_now()

    def _until_next(self) -> float | None:
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def close(self) -> None:
        """Nothing is waited for any more."""
        self._epoll.close()
