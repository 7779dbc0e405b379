"""Redis on a unix socket without persistence: `SET` by the load client of all servers, and by Redis's own, in C."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from ..codecs import Resp
from ..contract import Bound, NotMeasured
from ..traffic import Dialogue
from ..work import PAYLOAD
from .served import CONNECTIONS, Served

INSTALL: Final = ("apt-get", "install", "-y", "--no-install-recommends", "redis-server")
INSTALL_S: Final = 120.0
PIPELINE: Final = 64


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of traffic of the C client, which is told a number of calls and not a time."""

    key: str
    connections: int
    pipeline: int
    roughly_per_s: int


ONE: Final = Shape("sequential", 1, 1, 100_000)
MANY: Final = Shape("in_flight", CONNECTIONS, 1, 150_000)
PIPELINED: Final = Shape("pipelined", 1, PIPELINE, 1_000_000)
MANY_PIPELINED: Final = Shape("pipelined", CONNECTIONS, PIPELINE, 2_000_000)


class RedisServer(Served):
    name = "redis"
    title = "Redis, SET"

    def command(self, folder: Path, address: Path) -> list[str]:
        listen = ["--port", "0", "--unixsocket", str(address), "--unixsocketperm", "700"]
        return [found("redis-server"), *listen, "--save", "", "--appendonly", "no", "--dir", str(folder)]

    def dialogue(self) -> Dialogue:
        return Resp(PAYLOAD).dialogue()


class RedisOwnClient(RedisServer):
    """`redis-benchmark`: what the server can do when the client costs next to nothing. Figures are the client's own."""

    name = "redis-c"
    title = "Redis, SET by its own C client"
    shapes: ClassVar[tuple[Shape, ...]] = (ONE, MANY, PIPELINED)

    def own_figures(self, bound: Bound) -> dict[str, float]:
        figures: dict[str, float] = {}
        for shape in self.shapes:
            figures.update(self._figures(shape, max(1, int(shape.roughly_per_s * bound.seconds))))
        return figures

    def warm_up(self) -> None:
        self._run(ONE, 1_000)

    def timed(self, bound: Bound, pause_s: float = 0.0) -> list[int]:
        raise NotMeasured("the C client measures itself")

    def flood(self, outstanding: int, bound: Bound) -> int:
        raise NotMeasured("the C client measures itself")

    def pipeline(self, outstanding: int, bound: Bound) -> int:
        raise NotMeasured("the C client measures itself")

    def _figures(self, shape: Shape, calls: int) -> dict[str, float]:
        before_s = self.cpu_s()
        row = self._run(shape, calls)
        figures = {f"{shape.key}_cpu_us": (self.cpu_s() - before_s) * 1e6 / calls}
        if shape.connections * shape.pipeline > 1:
            return {f"{shape.key}_per_s": float(row["rps"]), **figures}
        p50_us, p99_us = (float(row[f"{share}_latency_ms"]) * 1e3 for share in ("p50", "p99"))
        return {f"{shape.key}_p50_us": p50_us, f"{shape.key}_p99_us": p99_us, **figures}

    def _run(self, shape: Shape, calls: int) -> dict[str, str]:
        """The one row of `redis-benchmark --csv`. Raises CalledProcessError where it failed."""
        command = [
            found("redis-benchmark"), "-s", str(self.address), "-t", "set", "-d", str(len(PAYLOAD)), "--csv",
            "-c", str(shape.connections), "-P", str(shape.pipeline), "-n", str(calls),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return next(csv.DictReader(done.stdout.splitlines()))


class RedisOwnClientPipelining(RedisOwnClient):
    """4,096 calls in flight: the most that the server can do at all."""

    name = "redis-c-64"
    title = "… on 64 connections, each pipelining"
    shapes = (MANY_PIPELINED,)


def found(program: str) -> str:
    """The path of one of Redis's programs, installed first where this process may. Raises FileNotFoundError."""
    if shutil.which(program) is None and os.geteuid() == 0 and shutil.which(INSTALL[0]) is not None:
        _install()
    path = shutil.which(program)
    if path is None:
        raise FileNotFoundError(f"{program} is not on the path: install Redis (Debian: apt-get install redis-server)")
    return path


def _install() -> None:
    """Debian's package, without starting the service that comes with it. Raises RuntimeError with apt's last words."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    done = subprocess.run(INSTALL, capture_output=True, text=True, timeout=INSTALL_S, env=quiet, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(INSTALL)} failed: {done.stderr.strip()[-500:]}")
