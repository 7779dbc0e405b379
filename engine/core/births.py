"""F3: orders to the zygote, and what came of them: every environment process that there is, by its order's key."""

from __future__ import annotations

import fcntl
import os
import signal
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from .._ext.environment import Environment
from ..sandbox.contract import Mechanism
from ..states import State
from .pools import Pool
from .zygotes import ZygoteLink, readable

ORDERS_IN_FLIGHT = 16  # more wait here: the socket's queue, and descriptors in flight, are bounded by the host
BARREN_MAX = 3  # zygotes in a row that end before they fork anything; then those who wait are told
PIPE_BYTES = 262_144
KILLED = signal.SIGKILL  # as a status of waitpid(2)


class Order(NamedTuple):
    """A fork that was asked for. `theirs` are all descriptors it takes, `ours` those to close once it has."""

    pool: Pool
    environment: Environment
    theirs: list[int]
    ours: list[int]


class Births:
    """Has environments forked. `on_ended(pool, environment, wait status)` and `on_failed(pool, environment, why)` tell
    what became of them; neither is told of an environment twice."""

    def __init__(
        self,
        mechanism: Mechanism,
        *,
        on_ended: Callable[[Pool, Environment, int], None],
        on_failed: Callable[[Pool, Environment, str], None],
    ) -> None:
        self._mechanism = mechanism
        self._on_ended = on_ended
        self._on_failed = on_failed
        self._by_key: dict[int, Order] = {}
        self._known: set[Environment] = set()
        self._last_key = 0
        self._backlog: deque[Order] = deque()
        self._in_flight: set[int] = set()
        self._barren = 0
        self.zygote = ZygoteLink(self._on_reply)

    def knows(self, environment: Environment) -> bool:
        """Whether it was ordered and has not ended."""
        return environment in self._known

    def order(self, pool: Pool, environment: Environment) -> None:
        """Give it a log pipe, a cell and a place among the orders. Raises OSError, EngineError at the host's bounds."""
        environment.cell = self._mechanism.open_cell(pool.limits())
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read_fd, False)
        _widen(write_fd)
        environment.log_fd = read_fd
        fds = [pool.lane.region_fd, pool.lane.event_fd, write_fd, *environment.cell.entry_fds()]
        self._known.add(environment)
        self._backlog.append(Order(pool, environment, fds, [write_fd]))
        self._send()

    def _send(self) -> None:
        while self._backlog and len(self._in_flight) < ORDERS_IN_FLIGHT:
            order = self._backlog.popleft()
            self._last_key += 1
            key = self._last_key
            self._by_key[key] = order
            self._in_flight.add(key)
            try:
                self.zygote.order(order.pool.order(order.environment, key), order.theirs)
            except ConnectionError:  # the zygote has died, and word of that is on its way: its successor gets this
                del self._by_key[key]
                self._in_flight.remove(key)
                self._backlog.appendleft(order)
                return
            except OSError as error:
                self._not_forked(key, str(error))

    def _on_reply(self, reply: dict[str, Any], fds: list[int]) -> None:
        if "forked" in reply:
            self._forked(reply["forked"], reply["pid"], fds[0])
        elif "ended" in reply:
            self._ended(reply["ended"], reply["status"])
        elif "failed" in reply:
            self._not_forked(reply["failed"], reply["error"])

    def _forked(self, key: int, pid: int, pidfd: int) -> None:
        self._barren = 0
        environment = self._landed(key).environment
        environment.pid, environment.pidfd = pid, pidfd
        environment.cell.attach(pid)
        if environment.state is State.KILLING:
            send_kill(pidfd)
        self._send()

    def _not_forked(self, key: int, error: str) -> None:
        order = self._landed(key)
        self._forget(key)
        self._on_failed(order.pool, order.environment, error)
        self._send()

    def _ended(self, key: int, status: int) -> None:
        order = self._forget(key)
        self._on_ended(order.pool, order.environment, status)

    def _landed(self, key: int) -> Order:
        """The zygote is done with an order: our copies of what it took go."""
        order = self._by_key[key]
        if key in self._in_flight:
            self._in_flight.remove(key)
            for fd in order.ours:
                os.close(fd)
        return order

    def _forget(self, key: int) -> Order:
        order = self._by_key.pop(key)
        self._known.discard(order.environment)
        return order

    def replace_zygote(self) -> None:
        """The zygote is gone, and the kernel ends what it forked: all of it has ended, then start another."""
        self.zygote.close()
        self.zygote = ZygoteLink(self._on_reply)
        self._barren += 1
        hopeless = "the interpreter that forks environments ends at once, time and again"
        for key, order in list(self._by_key.items()):
            self._landed(key)
            if order.environment.pidfd >= 0:
                send_kill(order.environment.pidfd)
                readable(order.environment.pidfd, 1.0)
            elif self._barren > BARREN_MAX:
                self._not_forked(key, hopeless)
                continue
            self._ended(key, KILLED)
        for _ in range(len(self._backlog) if self._barren > BARREN_MAX else 0):
            order = self._backlog.popleft()
            for fd in order.ours:
                os.close(fd)
            self._known.discard(order.environment)
            self._on_failed(order.pool, order.environment, hopeless)
        self._send()

    def close(self) -> None:
        """End the zygote and every environment, and give back all that they used."""
        self.zygote.close()
        for key in list(self._in_flight):
            self._landed(key)
        for order in self._backlog:
            for fd in order.ours:
                os.close(fd)
        for order in (*self._backlog, *self._by_key.values()):
            release(order.environment)
        self._backlog.clear()
        self._by_key.clear()
        self._known.clear()


def release(environment: Environment) -> None:
    """Give back the cell and the descriptors of an environment that is no more."""
    if environment.cell is not None:
        environment.cell.kill()
        environment.cell.release()
    for fd in (environment.log_fd, environment.pidfd):
        if fd >= 0:
            os.close(fd)
    environment.log_fd = environment.pidfd = -1


def send_kill(pidfd: int) -> None:
    """SIGKILL to a process, or to none: it may have ended, and been reaped, before word of that came."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _widen(pipe_fd: int) -> None:
    """More room in a log pipe, where the host allows it: a burst of output then holds the function up less."""
    try:
        fcntl.fcntl(pipe_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass  # the user's pipe allowance is used up: the standard 64 KB do
