"""concurrent.futures.ProcessPoolExecutor: forked workers (Linux's default before 3.14, its best case), or spawned."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor
from typing import ClassVar

from ..contract import Bound, Contender, slide
from ..work import PAYLOAD, WORKERS, serve


class ForkExecutor(Contender):
    name = "ppe"
    title = "ProcessPool\nExecutor"
    start_method: ClassVar[str] = "fork"

    def open(self) -> None:
        context = multiprocessing.get_context(self.start_method)
        self._executor = ProcessPoolExecutor(WORKERS, mp_context=context)

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)

    def call(self) -> bytes:
        return self._executor.submit(serve, PAYLOAD).result()

    def flood(self, outstanding: int, bound: Bound) -> int:
        return slide(lambda: self._executor.submit(serve, PAYLOAD), Future.result, outstanding, bound)


class SpawnExecutor(ForkExecutor):
    name = "ppe-spawn"
    title = "ProcessPool\nExecutor,\nspawn"
    start_method = "spawn"
