"""loky's reusable executor, the pool under joblib."""

from __future__ import annotations

from concurrent.futures import Future
from typing import cast

from loky import ProcessPoolExecutor

from ..contract import Bound, Contender, slide
from ..work import PAYLOAD, WORKERS, serve


class LokyExecutor(Contender):
    name = "loky"
    title = "loky"

    def open(self) -> None:
        self._executor = ProcessPoolExecutor(max_workers=WORKERS)

    def close(self) -> None:
        self._executor.shutdown(wait=True)

    def call(self) -> bytes:
        return self._submit().result()

    def flood(self, outstanding: int, bound: Bound) -> int:
        return slide(self._submit, Future.result, outstanding, bound)

    def _submit(self) -> Future[bytes]:
        return cast("Future[bytes]", self._executor.submit(serve, PAYLOAD))
