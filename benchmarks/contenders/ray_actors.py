"""Ray: two actors on a node of its own, with a small object store, no dashboard and no usage report."""

from __future__ import annotations

import logging
import os
import tempfile
from itertools import cycle
from typing import Any, Final

import psutil
import ray

from ..contract import Bound, Contender, slide
from ..work import PAYLOAD, WORKERS, serve
from .served import search_path

OBJECT_STORE_BYTES: Final = 80 << 20  # about the least that Ray accepts


class Echo:
    """What an actor is made of."""

    def serve(self, payload: bytes) -> bytes:
        return serve(payload)


class RayActors(Contender):
    name = "ray"
    title = "Ray, 2 actors"

    def open(self) -> None:
        self._used_s: dict[psutil.Process, float] = {}
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        self._folder = tempfile.TemporaryDirectory(prefix="engine-bench-", ignore_cleanup_errors=True)
        try:
            ray.init(
                address="local", num_cpus=WORKERS, object_store_memory=OBJECT_STORE_BYTES, include_dashboard=False,
                log_to_driver=False, configure_logging=True, logging_level=logging.ERROR, _temp_dir=self._folder.name,
                runtime_env={"env_vars": dict(search_path())},
            )  # fmt: skip
            actor = ray.remote(Echo)
            self._actors: list[Any] = [actor.options(num_cpus=1).remote() for _ in range(WORKERS)]
            ray.get([each.serve.remote(PAYLOAD) for each in self._actors])
        except BaseException:
            self.close()
            raise
        self._turns = cycle(each.serve.remote for each in self._actors)

    def close(self) -> None:
        try:
            ray.shutdown()
        finally:
            self._folder.cleanup()

    def call(self) -> bytes:
        answer: bytes = ray.get(self._submit())
        return answer

    def flood(self, outstanding: int, bound: Bound) -> int:
        return slide(self._submit, ray.get, outstanding, bound)

    def cpu_s(self) -> float:
        """Ray ends idle workers at any time and counts them nowhere: what each had used when last seen is kept."""
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            self._used_s[process] = float(times.user + times.system)
        return sum(self._used_s.values())

    def _submit(self) -> Any:
        return next(self._turns)(PAYLOAD)
