"""F5: the service's side of its gateways: the port, the processes that share it, and new ones for those that die."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Final

from ..errors import EngineError

READY: Final = "ready"
BACKLOG: Final = 4_096
START_S: Final = 30.0  # for a process to serve
GOODBYE_S: Final = 5.0  # beyond the time for draining, before a process is killed
PAUSE_FIRST_S, PAUSE_MOST_S = 0.1, 5.0  # between attempts to replace one that died
WORKERS_MAX: Final = 64

log = logging.getLogger("engine.rest")


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """listener: an inherited descriptor of a socket that listens. drain_s: how long requests under way may take."""

    listener: int
    engine: str
    region: str
    account_id: str
    port: int
    loopback_only: bool
    drain_s: float
    aws_endpoint_url: str | None = None

    def as_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class HttpDoor:
    """Where to serve Lambda's REST API, by how many processes. Port 0 has the system choose."""

    host: str
    port: int
    workers: int
    region: str
    account_id: str
    drain_s: float
    aws_endpoint_url: str | None = None

    @contextlib.asynccontextmanager
    async def open(self, engine_socket: str) -> AsyncIterator[str]:
        """Serve for the length of the block, which is given the URL. Raises OSError, EngineError.

        At its end no connection is taken any more, and requests under way have `drain_s` to end.
        """
        with listen(self.host, self.port) as listener:
            port = listener.getsockname()[1]
            settings = ProcessSettings(
                listener.fileno(),
                engine_socket,
                self.region,
                self.account_id,
                port,
                is_loopback(listener.getsockname()[0]),
                self.drain_s,
                self.aws_endpoint_url,
            )
            gateways = [_Gateway(settings) for _ in range(self.workers)]
            try:
                await asyncio.gather(*(gateway.start() for gateway in gateways))
                host = f"[{self.host}]" if ":" in self.host else self.host
                yield f"http://{host}:{port}"
            finally:
                await asyncio.gather(*(gateway.let_go() for gateway in gateways))
                listener.close()  # so that who comes now is refused rather than left waiting
                await asyncio.gather(*(gateway.close() for gateway in gateways))


class _Gateway:
    """One process, and its successors."""

    def __init__(self, settings: ProcessSettings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._spawn()
        self._watch = asyncio.get_running_loop().create_task(self._replace())

    async def let_go(self) -> None:
        """It is not replaced any more."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])

    async def close(self) -> None:
        await self.let_go()
        if self._process is not None:
            await self._end(self._process, self._settings.drain_s + GOODBYE_S)

    async def _spawn(self) -> None:
        """Raises EngineError for one that does not come to serve."""
        command = [sys.executable, "-P", "-X", "utf8", "-m", "engine.rest.process", self._settings.as_json()]
        pipe = asyncio.subprocess.PIPE
        self._process = process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, pass_fds=[self._settings.listener]
        )
        assert process.stdout is not None
        try:
            said = await asyncio.wait_for(process.stdout.readline(), START_S)
        except TimeoutError:
            said = b""
        if said.decode(errors="replace").strip() != READY:
            await self._end(process, 0.0)
            raise EngineError("a gateway process did not start: what it wrote on standard error says why")

    async def _replace(self) -> None:
        pause_s = PAUSE_FIRST_S
        while self._process is not None:
            status = await self._process.wait()
            log.error("a gateway process ended with %d: another one takes its place", status)
            await asyncio.sleep(pause_s)
            pause_s = min(PAUSE_MOST_S, pause_s * 2)
            try:
                await self._spawn()
                pause_s = PAUSE_FIRST_S
            except (EngineError, OSError) as error:
                log.error("no gateway process could be started: %s", error)

    async def _end(self, process: asyncio.subprocess.Process, within_s: float) -> None:
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), within_s)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises OSError that names the address and the way out."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        way_out = "choose another address by --http HOST:PORT, or none by --http none"
        raise OSError(error.errno, f"cannot serve HTTP on {host}:{port}: {error.strerror}; {way_out}") from error
    return listener


def is_loopback(address: str) -> bool:
    """Whether only this host reaches an address."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback
