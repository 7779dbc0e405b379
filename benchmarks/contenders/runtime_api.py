"""AWS's own runtime client, `awslambdaric`, on a minimal Runtime API: how Lambda itself talks to a Python function."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from ..on_loop import OnLoop
from ..runtime_server import RuntimeServer
from ..work import CODE, PAYLOAD, WORKERS
from .engine_settings import FUNCTION, HANDLER, MEMORY_MB
from .served import END_S, LOG_SHOWN_BYTES, READY_S, python

# The parts of Lambda's surroundings that the client reads.
SURROUNDINGS: Final = {
    "AWS_LAMBDA_FUNCTION_NAME": FUNCTION,
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY_MB),
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "LAMBDA_TASK_ROOT": str(CODE.parent),
    "PYTHONPATH": str(CODE.parent),
    "PYTHONSAFEPATH": "1",
}


class RuntimeApi(OnLoop[bytes]):
    """Callers are coroutines beside the server; runtimes are processes."""

    name = "runtime-api"
    title = "awslambdaric, minimal Runtime API"

    async def start(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - `stop` closes it
        self._runtimes: list[subprocess.Popen[bytes]] = []
        self._server = RuntimeServer()
        try:
            address = await self._server.open()
            for _ in range(WORKERS):
                self._runtimes.append(self._start_runtime(address))
            await self._until_ready()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Runtimes wait in a request that is never answered, deaf to SIGTERM within the C client: they are killed."""
        try:
            for runtime in self._runtimes:
                runtime.kill()
                runtime.wait(END_S)
            await self._server.close()
        finally:
            self._log.close()

    def asker(self) -> Callable[[], Awaitable[bytes]]:
        return partial(self._server.invoke, PAYLOAD)

    def payload_of(self, result: bytes) -> bytes:
        return result

    def _start_runtime(self, address: str) -> subprocess.Popen[bytes]:
        surroundings = {**os.environ, **SURROUNDINGS, "AWS_LAMBDA_RUNTIME_API": address}
        command = python("-m", "awslambdaric", HANDLER)
        return subprocess.Popen(
            command, env=surroundings, cwd=Path(os.sep), stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )

    async def _until_ready(self) -> None:
        try:
            await asyncio.wait_for(self._server.wait_for_runtimes(WORKERS), READY_S)
        except TimeoutError:
            self._log.seek(0)
            said = self._log.read()[-LOG_SHOWN_BYTES:].decode(errors="replace").strip()
            raise RuntimeError(f"no {WORKERS} runtimes within {READY_S:.0f} s; they said: {said}") from None
