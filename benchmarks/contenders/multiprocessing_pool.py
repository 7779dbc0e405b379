"""multiprocessing.Pool with forked workers."""

from __future__ import annotations

import multiprocessing

from ..contract import Bound, Contender, slide
from ..work import PAYLOAD, WORKERS, serve


class MultiprocessingPool(Contender):
    name = "pool"
    title = "multi-\nprocessing\nPool"

    def open(self) -> None:
        self._pool = multiprocessing.get_context("fork").Pool(WORKERS)

    def close(self) -> None:
        self._pool.close()
        self._pool.join()

    def call(self) -> bytes:
        return self._pool.apply(serve, (PAYLOAD,))

    def flood(self, outstanding: int, bound: Bound) -> int:
        submit = self._pool.apply_async
        return slide(lambda: submit(serve, (PAYLOAD,)), lambda ticket: ticket.get(), outstanding, bound)
