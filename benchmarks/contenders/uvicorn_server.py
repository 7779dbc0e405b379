"""uvicorn with uvloop and httptools on a unix socket: the echo in its own process, without isolation, or in a pool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from ..codecs import Http
from ..contract import Bound, NotMeasured
from ..traffic import Dialogue
from ..work import PAYLOAD
from .served import Served, python


class UvicornHello(Served):
    """The handler runs in the one process that serves: what HTTP alone costs."""

    name = "uvicorn"
    title = "uvicorn, echo in process"
    app: ClassVar[str] = "benchmarks.http_apps:hello"

    def command(self, folder: Path, address: Path) -> list[str]:
        libraries = ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
        return python("-m", "uvicorn", self.app, "--uds", str(address), *libraries)

    def dialogue(self) -> Dialogue:
        return Http(PAYLOAD, json.loads(PAYLOAD)).dialogue()

    def pipeline(self, outstanding: int, bound: Bound) -> int:
        raise NotMeasured("HTTP clients keep one call in flight per connection")


class UvicornPool(UvicornHello):
    """The handler runs in ProcessPoolExecutor's workers: what one would write by hand for isolation."""

    name = "uvicorn-pool"
    title = "uvicorn + ProcessPoolExecutor"
    app = "benchmarks.http_apps:pooled"
