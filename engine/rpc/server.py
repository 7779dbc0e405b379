"""F5: listens on sockets and gives each client a connection. What a connection does with bytes is compiled.

Trust. A unix socket is the user's own: mode 0600, and the kernel says whose process is at the other end; only this
user's and root's are let in. Over TCP there is TLS, and a token before anything else.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import logging
import os
import socket
import ssl
import stat
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final

import msgpack

from .. import errors
from .._ext.connection import WRITE_BUFFER_MAX, Connection
from .._ext.exchange import Exchange
from .._ext.flow import Flow
from .._ext.stream import Stream
from ..app import Engine
from ..wire.address import PATH_MAX_BYTES
from ..wire.payload import encode_extra, event_bytes, too_large
from ..wire.peer import peer_of
from ..wire.values import error_as_map
from . import methods
from .streams import Streams
from .uploads import Uploads

CONNECTIONS_MAX: Final = 10_000  # open at once; one more is closed at once
AUTHENTICATION_S: Final = 10.0  # how long a client has for the TLS handshake, and then to show its token
ACCEPTED_MAX: Final = 64  # at once
OUT_OF_FILES_S: Final = 0.5
GOODBYE_S: Final = 1.0  # for answers on their way when the time for draining is over
BACKLOG: Final = 4_096
OPTIONS: Final = frozenset({"qualifier", "invocation_type", "client_context", "log_tail", "trace_header", "tenant_id"})
OPTIONS_REMEMBERED: Final = 256  # most callers say the same with each call
STREAMING: Final = frozenset({"invoke_stream", "more", "discard"})
INVOCATION_TYPES: Final = ("RequestResponse", "Event", "DryRun")

log = logging.getLogger("engine.rpc")


class TlsConnection(Connection):
    """A connection over TCP: strange until it has shown the token, for which it has only so long."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.exchange, trusted=False)
        self._server = server
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_MAX)
        if not self._server.lets_in(self):
            transport.abort()
        self._deadline = asyncio.get_running_loop().call_later(AUTHENTICATION_S, self.end_if_strange)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        if self._deadline is not None:
            self._deadline.cancel()

    def end_if_strange(self) -> None:
        """The time for showing a token is over."""
        if not self.trusted:
            self.close()


class Server:
    """The protocol's side of an engine that is open on the running loop."""

    def __init__(self, engine: Engine, *, token: str | None = None) -> None:
        self._engine = engine
        self._token = token
        door = self._door = engine.doorway()
        self.exchange = Exchange(
            door.scheduler,
            lane_of=door.lane_of,
            tenant_lane_of=door.tenant_lane_of,
            control=self._control,
            options=_options,
            receipt=door.receipt,
            accept=door.accept,
            traced=door.traced,
            error_answer=_error_answer,
            refusal=too_large,
            left=self._left,
            failed=_failed,
        )
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.exchange.fileno(), self.exchange.readable)
        self._listeners: list[asyncio.Server] = []
        self._paths: list[tuple[str, int]] = []  # of unix sockets, with the inode that is ours
        self._unix: list[socket.socket] = []
        self._clients: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._closing = False

    # --- listening ----------------------------------------------------------------------------------------------------

    async def listen_unix(self, path: str) -> None:
        """Serve this user on a unix socket. Raises OSError, EngineError where another process serves there."""
        listener = _bind_unix(path)
        self._paths.append((path, os.stat(path).st_ino))
        self._unix.append(listener)
        self._loop.add_reader(listener.fileno(), self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        """Take in who waits at the door; a bounded number, so that others have their turn."""
        for _ in range(ACCEPTED_MAX):
            try:
                opened, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    log.error("no client can be taken in for %s s: %s", OUT_OF_FILES_S, error.strerror)
                    self._loop.remove_reader(listener.fileno())
                    self._loop.call_later(OUT_OF_FILES_S, self._accept_again, listener)
                    return
                continue  # that one is gone already
            self._take_in(opened)

    def _take_in(self, opened: socket.socket) -> None:
        if peer_of(opened).uid not in (os.geteuid(), 0):
            opened.close()
            return
        opened.setblocking(False)
        try:
            stream = Stream(self.exchange, opened, trusted=True)
        except OSError as error:
            log.error("a client cannot be taken in: %s", error.strerror)
            opened.close()
            return
        if not self.lets_in(stream):
            stream.abort()

    def _accept_again(self, listener: socket.socket) -> None:
        if not self._closing:
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    async def listen_tcp(self, host: str, port: int, tls: ssl.SSLContext) -> int:
        """Serve whoever has the token, over TLS. The port listened on: port 0 has the system choose."""
        if not self._token:
            raise errors.InvalidParameterValueException("serving TCP takes a token, which clients must show")
        listener = await self._loop.create_server(
            lambda: TlsConnection(self), host, port, ssl=tls, backlog=BACKLOG, ssl_handshake_timeout=AUTHENTICATION_S
        )
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    async def close(self, *, within_s: float = 0.0) -> bool:
        """Take no more clients and requests; wait that long for what runs, then close. Whether all of it ended."""
        self._closing = True
        for listener in self._listeners:
            listener.close()
        for door in self._unix:
            self._loop.remove_reader(door.fileno())
            door.close()
        for path, inode in self._paths:
            if _inode(path) == inode:
                os.unlink(path)
        for client in list(self._clients):
            client.drain()
        drained = await self._emptied(within_s)
        for client in list(self._clients):
            client.close()
        for task in self._tasks:
            task.cancel()
        if not drained and not await self._emptied(GOODBYE_S):
            for client in list(self._clients):
                client.abort()
        self._loop.remove_reader(self.exchange.fileno())
        self.exchange.close()
        return drained

    async def _emptied(self, within_s: float) -> bool:
        if not self._clients:
            return True
        try:
            await asyncio.wait_for(self._empty.wait(), within_s)
        except TimeoutError:
            return False
        return True

    # --- clients ------------------------------------------------------------------------------------------------------

    def lets_in(self, client: Connection) -> bool:
        """Whether a client that has just come may stay."""
        self._clients.add(client)
        self._empty.clear()
        return not self._closing and len(self._clients) <= CONNECTIONS_MAX

    def _left(self, client: Connection) -> None:
        self._clients.discard(client)
        if client.peer is not None:
            client.peer.close()
        if not self._clients:
            self._empty.set()

    def _control(self, client: Connection, number: int | None, method: str, packed: bytes) -> None:
        """A request that is no `invoke`: it runs as a task of its own; answers come as they are ready.

        A token is looked at here and now: what comes behind it, even in the same bytes, is a trusted client's.
        """
        if method == "authenticate":
            self._authenticate(client, number, packed)
            return
        if client.trusted and method in STREAMING:
            self._stream(client, number, method, packed)
            return
        task = asyncio.get_running_loop().create_task(self._carry_out(client, number, method, packed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, client: Connection, number: int | None, method: str, packed: bytes) -> None:
        try:
            if not client.trusted:
                raise errors.AccessDeniedException(f"{method}: show the token first, with authenticate [token]")
            if client.peer is None:
                client.peer = Uploads()
            value = await methods.call(self._engine, client.peer, method, methods.parameters(packed))
            answer = None if number is None else msgpack.packb([1, number, None, value])
        except Exception as error:
            if not isinstance(error, errors.EngineError):
                log.exception("%s failed", method)
            answer = None if number is None else _error_answer(number, error)
        client.respond(answer)
        if not client.trusted:
            client.close()

    def _stream(self, client: Connection, number: int | None, method: str, packed: bytes) -> None:
        """A new stream, or what the client says of one that is open: here and now, in the order in which it comes."""
        try:
            given = methods.parameters(packed)
            streams = client.streams or Streams(client)
            if method == "invoke_stream":
                if number is None:
                    raise errors.InvalidParameterValueException("invoke_stream is a request: what it gives has its id")
                streams.open(number, self._streamed(given))
                return
            methods.of_stream(streams, method, given)
            answer = None if number is None else msgpack.packb([1, number, None, {}])
        except Exception as error:
            if not isinstance(error, errors.EngineError):
                log.exception("%s failed", method)
            answer = None if number is None else _error_answer(number, error)
        client.respond(answer)

    def _streamed(self, given: list[Any]) -> Callable[[Flow], None]:
        """What begins the invocation that these parameters ask for. Raises as `invoke` does."""
        function, payload, options = methods.invocation(given)
        qualifier, kind, extra, wants_tail, trace, tenant = _options(msgpack.packb(options))
        if kind != "RequestResponse":
            raise errors.InvalidParameterValueException(
                f"invocation_type={kind!r}: an answer is streamed as it is given"
            )
        if tenant is None:
            lane = self._door.lane_of(function, qualifier)
        else:
            lane = self._door.tenant_lane_of(function, qualifier, tenant, kind)
        if trace is not None:
            extra = self._door.traced(lane, extra, trace, kind)
        return partial(self._door.stream, lane, event_bytes(payload), extra, wants_tail)

    def _authenticate(self, client: Connection, number: int | None, packed: bytes) -> None:
        try:
            given = methods.parameters(packed)
            if len(given) != 1 or not isinstance(given[0], str):
                raise errors.InvalidParameterValueException("authenticate takes [token]")
            if self._token and not hmac.compare_digest(given[0].encode(), self._token.encode()):
                raise errors.AccessDeniedException("this is not the server's token")
            client.trusted = True
            answer: bytes = msgpack.packb([1, number, None, {}])
        except errors.EngineError as error:
            answer = _error_answer(number or 0, error)
        client.respond(None if number is None else answer)
        if not client.trusted:
            client.close()


@lru_cache(OPTIONS_REMEMBERED)
def _options(packed: bytes) -> tuple[str | None, str, bytes, bool, str | None, str | None]:
    """The options of an `invoke`: qualifier, invocation type, what goes beside the event, whether the log is wanted,
    the caller's trace header, and for which tenant it is."""
    try:
        given = msgpack.unpackb(packed, raw=False)
    except (ValueError, msgpack.UnpackException) as error:
        raise errors.InvalidParameterValueException(f"options cannot be read: {error}") from error
    if not isinstance(given, dict) or not given.keys() <= OPTIONS:
        raise errors.InvalidParameterValueException(f"options are a map with {', '.join(sorted(OPTIONS))}: {given!r}")
    qualifier, kind = given.get("qualifier"), given.get("invocation_type") or "RequestResponse"
    context, wants_tail = given.get("client_context"), given.get("log_tail") or False
    if not isinstance(qualifier, str | None) or not isinstance(wants_tail, bool):
        raise errors.InvalidParameterValueException(f"qualifier is a string, log_tail true or false: {given!r}")
    if kind not in INVOCATION_TYPES:
        raise errors.InvalidParameterValueException(f"invocation_type={kind!r}: one of {', '.join(INVOCATION_TYPES)}")
    if not isinstance(context, str | dict | None):
        raise errors.InvalidParameterValueException(f"client_context is a map, or base64 of one: {context!r}")
    trace = given.get("trace_header")
    if not isinstance(trace, str | None):
        raise errors.InvalidParameterValueException(f"trace_header is an X-Amzn-Trace-Id: {trace!r}")
    tenant = given.get("tenant_id")
    if not isinstance(tenant, str | None):
        raise errors.InvalidParameterValueException(f"tenant_id is a string: {tenant!r}")
    extra = b"" if context is None and tenant is None else encode_extra(context, tenant)
    return qualifier, kind, extra, wants_tail, trace, tenant


def _failed(client: Connection, error: Exception) -> None:
    log.error("a connection is ended for a fault of the engine's own", exc_info=error)
    client.abort()


def _error_answer(number: int, error: BaseException) -> bytes:
    answer: bytes = msgpack.packb([1, number, error_as_map(error), None])
    return answer


def _bind_unix(path: str) -> socket.socket:
    """A listening socket at `path` that only this user can open; one that a dead process left there is replaced."""
    if len(os.fsencode(path)) > PATH_MAX_BYTES:
        raise errors.InvalidParameterValueException(
            f"{path} is too long for a unix socket: {PATH_MAX_BYTES} bytes are allowed"
        )
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        os.fchmod(listener.fileno(), 0o600)  # before bind(2), so that it never appears with more
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {path}: {error.strerror}") from error
    return listener


def _clear(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise errors.EngineError(f"{path} is there and is no socket: choose another path, or remove it")
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError as error:
            if error.errno != errno.ECONNREFUSED:
                raise
        else:
            raise errors.EngineError(f"process {peer_of(probe).pid} serves on {path} already: choose another --socket")
    os.unlink(path)


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return -1
