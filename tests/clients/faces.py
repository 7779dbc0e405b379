"""Both clients behind one blocking face: the blocking one, and the other on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import uvloop

import engine
import engine.sync


class BlockingFace:
    """`engine.sync.connect`."""

    def __init__(self, address: str | None, **options: Any) -> None:
        self.inside = engine.sync.connect(address, **options)
        self._threads = ThreadPoolExecutor(64)

    def __enter__(self) -> BlockingFace:
        return self

    def __exit__(self, *_: object) -> None:
        self.inside.close()
        self._threads.shutdown()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inside, name)

    def start(self, method: str, *arguments: Any, **named: Any) -> Future[Any]:
        """A call under way."""
        return self._threads.submit(getattr(self.inside, method), *arguments, **named)


class LoopFace:
    """`engine.connect`."""

    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop], address: str | None, **options: Any) -> None:
        self._loop = new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        try:
            self.inside = self._run(_opened(address, options)).result()
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> LoopFace:
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self.inside.close()).result()
        self._stop()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name == "statistics":
            return self.inside.statistics
        return lambda *arguments, **named: self.start(name, *arguments, **named).result()

    def start(self, method: str, *arguments: Any, **named: Any) -> Future[Any]:
        """A call under way."""
        return self._run(getattr(self.inside, method)(*arguments, **named))

    def _run(self, work: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


async def _opened(address: str | None, options: dict[str, Any]) -> Any:
    return await engine.connect(address, **options)


Face = BlockingFace | LoopFace
FACES: Mapping[str, Callable[..., Face]] = {
    "blocking": BlockingFace,
    "asyncio": lambda address, **options: LoopFace(asyncio.SelectorEventLoop, address, **options),
    "uvloop": lambda address, **options: LoopFace(uvloop.new_event_loop, address, **options),
}
