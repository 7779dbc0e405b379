"""The engine as its users hold it: blocking, or on an asyncio or uvloop loop. One blocking face for tests of all three.

Tests that look inside do it here: which processes an engine has, and whether they are gone.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

import psutil
import uvloop

import engine
import engine.sync
from engine import InvokeResult

T = TypeVar("T")
PATIENCE_S = 60.0  # for what must happen; it never decides how long something may take
ONE_VCPU_MB = 1_769  # so that no CPU quota slows a test


class BlockingDoor:
    """`engine.sync.Engine`."""

    def __init__(self, **settings: Any) -> None:
        self.engine = engine.sync.Engine(**settings)

    def __enter__(self) -> BlockingDoor:
        self.engine.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.engine.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    @property
    def inside(self) -> Any:
        return self.engine._engine


class LoopDoor:
    """`engine.Engine` on a loop that turns in a thread of its own."""

    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop], **settings: Any) -> None:
        self.inside = engine.Engine(**settings)
        self.loop = new_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="loop")

    def __enter__(self) -> LoopDoor:
        self._thread.start()
        try:
            self.open()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.close()
        finally:
            self._stop()

    def _stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.inside, name)

        def call(*arguments: Any, **named: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(method(*arguments, **named), self.loop).result()

        return call


Door = BlockingDoor | LoopDoor
DOORS: Mapping[str, Callable[..., Door]] = {
    "blocking": BlockingDoor,
    "asyncio": lambda **settings: LoopDoor(asyncio.SelectorEventLoop, **settings),
    "uvloop": lambda **settings: LoopDoor(uvloop.new_event_loop, **settings),
}


@dataclass
class Function:
    """A deployed function, seen through a door."""

    door: Door
    name: str
    results: list[InvokeResult] = field(default_factory=list)

    def __call__(self, payload: object = None, **options: Any) -> InvokeResult:
        result: InvokeResult = self.door.invoke(self.name, payload, **options)
        self.results.append(result)
        return result

    def log(self, result: InvokeResult) -> list[str]:
        """The lines of one invocation."""
        return [event.message for event in self.door.logs(self.name, request_id=result.request_id)]

    def whole_log(self) -> list[str]:
        return [event.message for event in self.door.logs(self.name)]

    def stats(self, version: str = "$LATEST") -> dict[str, Any]:
        told: dict[str, Any] = self.door.stats(self.name)["functions"][self.name]["versions"][version]
        return told

    def pids(self) -> list[int]:
        return environment_pids(self.door, self.name)

    def pid(self, stream: str) -> int:
        """Of the environment with this log stream."""
        return environment_pid(self.door, stream)


def environment_pids(door: Door, name: str | None = None) -> list[int]:
    """Processes of one function's environments, or of all, as the host numbers them."""
    return list(_pids_by_stream(door, name).values())


def environment_pid(door: Door, stream: str) -> int:
    """The process of the environment with this log stream: what a function knows itself by, as its own pid is 2."""
    return _pids_by_stream(door)[stream]


def _pids_by_stream(door: Door, name: str | None = None) -> dict[str, int]:
    """An environment can answer before the engine has read its own word of its pid: that is waited for."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        lanes = [pool.lane for pool in door.inside._supervisor.pools if name in (None, pool.lane.name)]
        environments = [env for lane in lanes for env in list(lane.environments) if env is not None]
        if all(env.pid > 0 for env in environments):
            return {env.stream: env.pid for env in environments}
        assert time.monotonic() < deadline, environments
        os.sched_yield()


def kill_from_outside(door: Door, pid: int) -> None:
    """SIGKILL to an environment, until it is gone.

    On cgroup v1 one that is frozen, or is being frozen at this moment, dies of it when it is thawed.
    """
    pools = door.inside._supervisor.pools
    environments = [env for pool in pools for env in list(pool.lane.environments) if env is not None]
    (cell,) = (env.cell for env in environments if env.pid == pid)
    with watched(pid) as wait_gone:
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_S
        while psutil.pid_exists(pid) and time.monotonic() < deadline:
            cell.thaw()
            os.sched_yield()
        wait_gone()


def host_pid(environment: int, own_pid: int) -> int:
    """The host's number of the process that this environment, or what it started, knows by `own_pid`."""
    family = psutil.Process(environment).parent().children(recursive=True)
    (found,) = (process.pid for process in family if _own_pid(process.pid) == own_pid)
    return found


def _own_pid(pid: int) -> int:
    """As the innermost PID namespace numbers it."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[-1]) for line in status if line.startswith("NSpid:"))


def zygote_pid(door: Door) -> int:
    pid: int = door.inside._supervisor.births.zygote.pid
    return pid


def family_pids(door: Door) -> list[int]:
    """The zygote and all that it forked, once no fork is under way: environments, their inits, blanks in stock."""
    births, deadline = door.inside._supervisor.births, time.monotonic() + PATIENCE_S
    while not all(blank.own_pid > 0 for blank in (*list(births._stock), *list(births._homes.values()))):
        assert time.monotonic() < deadline
        os.sched_yield()
    return [births.zygote.pid, *(child.pid for child in psutil.Process(births.zygote.pid).children(recursive=True))]


@contextmanager
def watched(*pids: int) -> Iterator[Callable[[], None]]:
    """Pidfds of live processes. What it gives waits until every one of them has ended."""
    pidfds = [os.pidfd_open(pid) for pid in pids]

    def wait_gone() -> None:
        for pid, pidfd in zip(pids, pidfds, strict=True):
            poll = select.poll()  # which takes descriptors of any number
            poll.register(pidfd, select.POLLIN)
            assert poll.poll(PATIENCE_S * 1_000), f"process {pid} is still there"

    try:
        yield wait_gone
    finally:
        for pidfd in pidfds:
            os.close(pidfd)


def on_loop(inside: engine.Engine, call: Callable[..., T], *arguments: Any) -> T:
    """What a call answers in the thread of the engine's loop, after all that was put off till then."""

    async def run() -> T:
        return call(*arguments)

    return asyncio.run_coroutine_threadsafe(run(), inside._loop).result(PATIENCE_S)


def descriptor_links() -> list[str]:
    """What each descriptor of this process is of."""
    links = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:  # the descriptor that listed them
            continue
    return links


class Gate:
    """Where functions say that they are running, and wait until they may go on. See `code/endings.py: waits`.

    On TCP: a sandboxed function sees no file of the host, but has its network.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.settimeout(PATIENCE_S)
        self.address = list(self._listener.getsockname())  # as it comes back from a function
        self._inside: list[socket.socket] = []

    def wait_entered(self, count: int = 1) -> None:
        """Until so many more have come."""
        for _ in range(count):
            self._inside.append(self._listener.accept()[0])

    def open(self) -> None:
        """Let all go that have come."""
        while self._inside:
            self._inside.pop().close()

    def close(self) -> None:
        self.open()
        self._listener.close()
