"""The floor: a byteless round trip between two processes by two eventfds, both sides asleep while they wait."""

from __future__ import annotations

import mmap
import os
from typing import ClassVar

from ..contract import Contender
from ..work import PAYLOAD, serve

STOP = 1 << 32


class EventfdFloor(Contender):
    """No payload, no JSON, no handler: what any design that sleeps while idle has to pay."""

    name = "eventfd"
    title = "eventfd\n(floor)"
    across: ClassVar[bool] = False

    def open(self) -> None:
        self._there, self._back = os.eventfd(0), os.eventfd(0)
        self._cpus = os.sched_getaffinity(0)
        self._pid = os.fork()
        if self._pid == 0:
            self._echo()
        if self.across:
            os.sched_setaffinity(0, {min(self._cpus)})

    def close(self) -> None:
        os.sched_setaffinity(0, self._cpus)
        os.eventfd_write(self._there, STOP)
        os.waitpid(self._pid, 0)
        os.close(self._there)
        os.close(self._back)

    def call(self) -> bytes:
        os.eventfd_write(self._there, 1)
        os.eventfd_read(self._back)
        return PAYLOAD

    def _work(self) -> None:
        """What the far side does between being woken and waking."""

    def _echo(self) -> None:
        """The child: answers until it is told to stop, and never returns into the parent's code."""
        status = 1
        try:
            if self.across:
                os.sched_setaffinity(0, {max(self._cpus)})
            while os.eventfd_read(self._there) < STOP:
                self._work()
                os.eventfd_write(self._back, 1)
            status = 0
        finally:
            os._exit(status)


class EventfdWork(EventfdFloor):
    """The same with the work of an invocation on the far side, through shared memory: no queue, no bill, no log."""

    name = "eventfd-work"
    title = "eventfd,\nsame work"

    def open(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        super().open()

    def close(self) -> None:
        super().close()
        self._page.close()

    def call(self) -> bytes:
        self._put(PAYLOAD)
        super().call()
        return self._get()

    def _work(self) -> None:
        self._put(serve(self._get()))

    def _put(self, body: bytes) -> None:
        self._page[0] = len(body)
        self._page[1 : 1 + len(body)] = body

    def _get(self) -> bytes:
        return self._page[1 : 1 + self._page[0]]


class EventfdAcross(EventfdFloor):
    """The same with each side held on its own CPU: the cost whenever the kernel does not place them together."""

    name = "eventfd-across"
    title = "eventfd,\ntwo CPUs"
    across = True
