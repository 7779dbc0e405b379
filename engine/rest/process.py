"""F5: a gateway process: `python -m engine.rest.process SETTINGS`, started by `launch`, a client of the core.

Standard input is the lifeline: it closes when the service wants this process to end, or is itself gone. Standard
output says one line once requests are served.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Final

import uvicorn
import uvloop

from ..client.asynchronous import connect
from .application import Application
from .call import Place
from .connection import Connection, sweep
from .launch import BACKLOG, READY, ProcessSettings

KEEP_ALIVE_S: Final = 60
CONNECTIONS_MAX: Final = 10_000
SWEEP_TICKS: Final = 10  # uvicorn's, of a tenth of a second


class _Server(uvicorn.Server):
    """Signals are the service's to handle: a terminal's Ctrl-C reaches this process too, and must not end it first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(READY, flush=True)  # noqa: T201 - what `launch` waits for

    async def on_tick(self, counter: int) -> bool:
        if counter % SWEEP_TICKS == 0:
            sweep(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)


async def serve(settings: ProcessSettings) -> None:
    """Serve until standard input ends."""
    place = Place(settings.region, settings.account_id, settings.port, settings.aws_endpoint_url)
    async with connect(f"unix:{settings.engine}") as client:
        application = Application(client, place, loopback_only=settings.loopback_only)
        server = _Server(
            uvicorn.Config(
                application,
                http=Connection,
                ws="none",
                lifespan="off",
                interface="asgi3",
                access_log=False,
                log_level="error",
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, round(settings.drain_s)),
            )
        )
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _read_lifeline, server)
        with socket.socket(fileno=settings.listener) as listener:
            await server.serve([listener])


def _read_lifeline(server: uvicorn.Server) -> None:
    if not os.read(sys.stdin.fileno(), 64):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        server.should_exit = True


def main() -> None:
    """The process from its arguments."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    settings = ProcessSettings(**json.loads(sys.argv[1]))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))


if __name__ == "__main__":
    main()
