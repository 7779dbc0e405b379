"""F5: wakes a coroutine at a nanosecond of the monotonic clock. asyncio's and uvloop's own timers know milliseconds."""

from __future__ import annotations

import asyncio
import ctypes
import os
from typing import Final

CLOCK_MONOTONIC: Final = 1
TFD_TIMER_ABSTIME: Final = 1


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class Alarm:
    """One timerfd on the running loop, for one coroutine that waits."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._loop = asyncio.get_running_loop()
        self._ring: asyncio.Future[None] | None = None
        self._fd: int = self._libc.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._loop.add_reader(self._fd, self._rings)

    async def until(self, at_ns: int) -> None:
        """Wait for that time, or for `wake`. A time that has passed rings at once."""
        seconds, nanoseconds = divmod(max(at_ns, 1), 1_000_000_000)
        spec = _TimerSpec(_TimeSpec(0, 0), _TimeSpec(seconds, nanoseconds))
        if self._libc.timerfd_settime(self._fd, TFD_TIMER_ABSTIME, ctypes.byref(spec), None):
            raise OSError(ctypes.get_errno(), f"timerfd_settime failed for {at_ns} ns")
        self._ring = self._loop.create_future()
        await self._ring

    def wake(self) -> None:
        """End the wait now."""
        if self._ring is not None and not self._ring.done():
            self._ring.set_result(None)

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _rings(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # it was set anew between the ring and this turn
            return
        self.wake()
