"""Ways to an engine: embedded or a service, each blocking, on asyncio and on uvloop; all of them blocking here."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import uvloop
from doors import DOORS, ONE_VCPU_MB
from readers import Reader, runner

import engine
import engine.sync

CODE = Path(__file__).parent / "code"
NUMBERS = count(1)
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}
REMOTE = {f"{kind} over a socket": kind for kind in DOORS}


class Way:
    """One way to an engine. What it has not of its own is the engine's, blocking."""

    def __init__(self, inside: Any, loop: asyncio.AbstractEventLoop | None, door: Any = None) -> None:
        self.inside = inside
        self.door = door
        self._run = None if loop is None else runner(loop)
        self.deployed: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inside, name)
        if self._run is None:
            return method
        run = self._run
        return lambda *arguments, **named: run(method(*arguments, **named))

    def deploy(self, handler: str, **settings: Any) -> str:
        """A handler of `code/givers.py`; the name of its function."""
        name = f"{handler}-{next(NUMBERS)}".replace("_", "-")
        given: dict[str, Any] = {"memory_mb": ONE_VCPU_MB, "timeout_s": 60, **settings}
        self.create_function(name, code=CODE, handler=f"givers.{handler}", **given)
        self.deployed.append(name)
        return name

    def stream(self, name: str, payload: object = None, **options: Any) -> Reader:
        return Reader(self.invoke_stream(name, payload, **options), self._run)

    def clear(self) -> None:
        while self.deployed:
            self.delete_function(self.deployed.pop())


def remote(kind: str, address: str, held: ExitStack, **options: Any) -> Way:
    """A way to a service."""
    if kind == "blocking":
        return Way(held.enter_context(engine.sync.connect(address, **options)), None)
    loop = LOOPS[kind]()
    thread = threading.Thread(target=loop.run_forever)
    held.callback(loop.close)
    thread.start()
    held.callback(thread.join)
    held.callback(loop.call_soon_threadsafe, loop.stop)
    client = runner(loop)(_connected(address, options))
    held.callback(lambda: runner(loop)(client.close()))
    return Way(client, loop)


async def _connected(address: str, options: dict[str, Any]) -> Any:
    return await engine.connect(address, **options)
