"""F5: the engine as a service: opens it, serves, says when it is ready, and on SIGTERM ends in peace."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Protocol

import uvloop

from .. import __version__
from ..app import Engine
from .server import Server

DRAIN_S: Final = 30.0  # how long SIGTERM waits for what runs


@dataclass(frozen=True, slots=True)
class TcpDoor:
    """Where to serve TCP, and with what. Port 0 has the system choose."""

    host: str
    port: int
    tls: ssl.SSLContext
    token: str


class Gateway(Protocol):
    """A door that is a client of the service's unix socket."""

    def open(self, engine_socket: str) -> AbstractAsyncContextManager[str]:
        """Serves for the length of the block, which is given where."""


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """`engine`: arguments of `Engine`. socket_path: None serves no unix socket, and no `http`, which needs it."""

    engine: dict[str, Any]
    socket_path: str | None
    tcp: TcpDoor | None = None
    drain_s: float = DRAIN_S
    http: Gateway | None = None


def run(settings: ServiceSettings, tell: Callable[[str], None]) -> bool:
    """Serve until SIGTERM or SIGINT; `tell` gets the one line that says where. Whether all that ran was answered.

    Raises EngineError and OSError for what keeps it from serving.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, tell))


async def _serve(settings: ServiceSettings, tell: Callable[[str], None]) -> bool:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Engine(**settings.engine) as engine:
        server = Server(engine, token=settings.tcp.token if settings.tcp else None)
        gateways = AsyncExitStack()
        try:
            told = await _listen(server, settings)
            if settings.http is not None and settings.socket_path is not None:
                told.append(await gateways.enter_async_context(settings.http.open(settings.socket_path)))
            engine.listening_on(" ".join(told))
            tell(f"engine {__version__} ready, pid {os.getpid()}: {' '.join(told)}")
            notify("READY=1")
            await stop.wait()
        finally:
            notify("STOPPING=1")
            until = loop.time() + settings.drain_s
            await gateways.aclose()  # whose requests are the server's too
            left_s = max(0.0, until - loop.time())
            ended = await asyncio.gather(server.close(within_s=left_s), engine.drain(left_s))
            drained = all(ended)
    return drained


async def _listen(server: Server, settings: ServiceSettings) -> list[str]:
    told = []
    if settings.socket_path is not None:
        await server.listen_unix(settings.socket_path)
        told.append(f"unix:{settings.socket_path}")
    if settings.tcp is not None:
        port = await server.listen_tcp(settings.tcp.host, settings.tcp.port, settings.tcp.tls)
        told.append(f"tcp:{settings.tcp.host}:{port}")
    return told


def notify(state: str) -> None:
    """Tell a service manager, where one listens: sd_notify(3) of systemd."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where.startswith(("/", "@")):
        return
    address = "\0" + where[1:] if where.startswith("@") else where
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(state.encode(), address)  # a manager that is gone does not stop the service
