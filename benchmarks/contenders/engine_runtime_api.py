"""This engine with AWS's own runtime client, `awslambdaric`, unmodified, as a custom runtime."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from engine import Engine, InvokeResult

from ..work import CODE, PAYLOAD, WORKERS
from .engine_async import EngineAsync
from .engine_settings import FUNCTION, HANDLER, MEMORY_MB
from .served import LOOK_EVERY_S, READY_S

VERSION: Final = "1"
CLIENT: Final = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")
BOOTSTRAP: Final = '#!/bin/sh\nexec /var/lang/bin/python3 -m awslambdaric "$_HANDLER"\n'


class EngineRuntimeApi(EngineAsync):
    """Sandbox, limits, logs and bill on; as many environments as its peer has processes."""

    name = "engine-runtime-api"
    title = "awslambdaric,\nengine"

    async def start(self) -> None:
        with tempfile.TemporaryDirectory(prefix="engine-bench-") as folder:
            bundle(Path(folder))
            self._engine = await Engine().__aenter__()
            try:
                await self._engine.create_function(
                    FUNCTION, code=folder, handler=HANDLER, runtime="provided.al2023", memory_mb=MEMORY_MB
                )
                await self._engine.publish_version(FUNCTION)
                await self._engine.put_provisioned_concurrency_config(FUNCTION, VERSION, WORKERS)
                await asyncio.wait_for(self._until_ready(), READY_S)
            except BaseException:
                await self.stop()
                raise

    def asker(self) -> Callable[[], Awaitable[InvokeResult]]:
        return partial(self._engine.invoke, FUNCTION, PAYLOAD, qualifier=VERSION)

    async def _until_ready(self) -> None:
        """Its scaling would not start a second one for calls that are this short."""
        while (await self._engine.get_provisioned_concurrency_config(FUNCTION, VERSION)).status != "READY":
            await asyncio.sleep(LOOK_EVERY_S)


def bundle(folder: Path) -> None:
    """The function with its runtime. Raises ModuleNotFoundError where the client is not installed."""
    for name in CLIENT:
        found = find_spec(name)
        if found is None or found.origin is None:
            raise ModuleNotFoundError(f"{name}, a part of AWS's runtime client, is not installed")
        origin = Path(found.origin)
        if origin.name == "__init__.py":
            shutil.copytree(origin.parent, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, folder)
    shutil.copy(CODE, folder)
    bootstrap = folder / "bootstrap"
    bootstrap.write_text(BOOTSTRAP)
    os.chmod(bootstrap, 0o755)
