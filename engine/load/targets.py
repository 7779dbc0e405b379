"""F5: what can be put under load, behind one contract: an engine of the generator's own, or one at a socket.

Lambda's REST interface is `endpoint.py`'s.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import psutil

from .. import Engine, connect, errors
from ..client.entries import choose_entry
from ..wire.address import Address
from . import cpu

FAILURES: Final = (errors.EngineError, OSError, TimeoutError)  # what a call may end with that is not an answer
NAME_MAX: Final = 64


class Answered(Protocol):
    """The part of an InvokeResult that is measured. None where a target does not tell."""

    @property
    def payload(self) -> bytes: ...

    @property
    def function_error(self) -> str | None: ...

    @property
    def start(self) -> str: ...

    @property
    def billed_ms(self) -> int | None: ...

    @property
    def memory_mb(self) -> int | None: ...


Invoke: TypeAlias = Callable[[str, bytes], Awaitable[Answered]]


class Target(Protocol):
    """An async context manager; the rest may be used within it.

    names: how the given functions are called there, in order. invoke: one call. failures: the exceptions that mean the
    call failed, as opposed to a fault of the generator. cpu_s: CPU seconds so far of all its processes, where known;
    cpu_of says of what.
    """

    title: str
    names: list[str]
    failures: tuple[type[Exception], ...]
    cpu_of: str
    invoke: Invoke

    async def __aenter__(self) -> Target: ...

    async def __aexit__(self, *_: object) -> None: ...

    def cpu_s(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Deployment:
    """How the embedded engine deploys what it is given. No runtime: what the code's language is on this host."""

    runtime: str | None
    memory_mb: int
    timeout_s: int
    environment: Mapping[str, str]
    progress: Callable[[str], None] | None = None


class Embedded:
    """An engine within the generator's own process. `functions`: PATH or PATH:HANDLER."""

    failures: tuple[type[Exception], ...] = FAILURES
    cpu_of = "the engine, its environments and the generator, which is in the engine's process"

    def __init__(self, functions: Sequence[str], deployment: Deployment) -> None:
        self._code = [split_path(function) for function in functions]
        self._deployment = deployment
        self.names = _names([path for path, _ in self._code])
        self.title = "embedded engine"

    async def __aenter__(self) -> Embedded:
        async with AsyncExitStack() as opened:
            engine = await opened.enter_async_context(Engine(progress=self._deployment.progress))
            for name, (path, handler) in zip(self.names, self._code, strict=True):
                handler, runtime = choose_entry(path, handler, self._deployment.runtime)
                await engine.create_function(
                    name,
                    code=path,
                    handler=handler,
                    runtime=runtime,
                    memory_mb=self._deployment.memory_mb,
                    timeout_s=self._deployment.timeout_s,
                    environment=self._deployment.environment,
                )
            self.invoke: Invoke = engine.invoke
            self._opened = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    def cpu_s(self) -> float | None:
        return cpu.tree_cpu_s(os.getpid())


class Socket:
    """A running engine; the functions are there already. token, tls_ca: for TCP, as `engine.connect` takes them."""

    failures: tuple[type[Exception], ...] = FAILURES

    def __init__(
        self, address: Address, functions: Sequence[str], *, token: str | None = None, tls_ca: str | None = None
    ) -> None:
        self._address = address
        self._token = token
        self._tls_ca = tls_ca
        self._pid: int | None = None
        self.names = list(functions)
        self.title = f"engine at {address}"
        self.cpu_of = "unknown: not a process of this host"

    async def __aenter__(self) -> Socket:
        self._client = await connect(str(self._address), token=self._token, tls=self._tls_ca)
        self.invoke: Invoke = self._client.invoke
        if self._address.path:
            self._pid = cpu.peer_pid(self._address.path)
        if self._pid is not None:
            self.cpu_of = f"the engine (process {self._pid}) and its environments, without the generator"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    def cpu_s(self) -> float | None:
        if self._pid is None:
            return None
        try:
            return cpu.tree_cpu_s(self._pid)
        except psutil.Error:  # it has ended, or hides from this user
            return None


def split_path(target: str) -> tuple[Path, str | None]:
    """PATH or PATH:HANDLER. Raises ValueError where nothing is there."""
    path, colon, handler = target.rpartition(":")
    if not colon or Path(target).exists():
        path, handler = target, ""
    if not Path(path).exists():
        raise ValueError(
            f"{path} does not exist: give a folder, a .zip or a source file, or name where it runs by --socket "
            "or --endpoint"
        )
    return Path(path), handler or None


def _names(paths: Sequence[Path]) -> list[str]:
    """A name for each path after its last part; the second of a kind gets a number."""
    names: list[str] = []
    for path in paths:
        plain = "".join(c if (c.isalnum() and c.isascii()) or c in "-_" else "-" for c in path.resolve().stem)
        name = base = plain[: NAME_MAX - 4] or "function"
        while name in names:
            name = f"{base}-{sum(known.startswith(base) for known in names) + 1}"
        names.append(name)
    return names


def check_local(host: str, allow_remote: bool) -> None:
    """Raises ValueError for a host that is not this one, unless that is asked for: load is not sent by mistake."""
    if allow_remote or host == "localhost" or host.endswith(".localhost"):
        return
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise ValueError(f"{host!r} is not this host: load is sent to loopback only, unless you add --allow-remote")
