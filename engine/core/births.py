"""F3: has environments forked ahead of need, gives them their functions, and says how each one ended."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from .._ext import repair
from .._ext.environment import Environment
from ..errors import EngineError
from ..model import Network
from ..sandbox.contract import Limits, Mechanism
from ..sandbox.scratch import Scratch
from .blanks import Blank, Demand
from .languages import Started
from .pools import Pool
from .quarters import Quarters
from .zygotes import Facts, ZygoteLink, readable

ORDERS_IN_FLIGHT = 16  # more wait here: the socket's queue, and descriptors in flight, are bounded by the host
BARREN_MAX = 3  # zygotes in a row that end before they fork anything; then those who wait are told
PIPE_BYTES = 262_144
KILLED = signal.SIGKILL  # as a status of waitpid(2)
END_TIMEOUT_S = 5.0
REFILL_AGAIN_NS = 1_000_000_000  # after a blank ended in stock: what ends them may not be over
HOPELESS = "the interpreter that forks environments ends at once, time and again"
LOST = "the interpreter that forks environments ended before this one was whole"  # which is replaced


class Births:
    """`on_ended(pool, environment, wait status)` and `on_failed(pool, environment, why)` tell what became of each
    environment; neither is told of one twice. `give_back` takes the scratch folder of one that is no more."""

    def __init__(
        self,
        mechanism: Mechanism,
        quarters: Quarters,
        *,
        on_ended: Callable[[Pool, Environment, int], None],
        on_failed: Callable[[Pool, Environment, str], None],
        give_back: Callable[[Scratch], None],
    ) -> None:
        self._mechanism = mechanism
        self._quarters = quarters
        self._on_ended = on_ended
        self._on_failed = on_failed
        self._give_back_scratch = give_back
        self._by_key: dict[int, Blank] = {}
        self._by_fd: dict[int, Blank] = {}
        self._homes: dict[Environment, Blank] = {}
        self._stock: deque[Blank] = deque()
        self._demand = Demand()
        self._rehearse = True  # blanks have what comes next rehearsed: of no use to a copy, which has other memory
        self._last_key = 0
        self._backlog: deque[Blank] = deque()
        self._refill_from_ns = 0
        self._in_flight: set[Blank] = set()
        self._barren = 0
        self._plan: dict[str, Any] | None = None
        self._epoll = select.epoll()
        self.facts = Facts({}, {})
        self.on_new_zygote: Callable[[], None] = lambda: None
        self.on_unused: Callable[[Blank], None] = lambda blank: None  # of one that was primed, and ended so
        self.zygote = ZygoteLink(self._on_reply)

    # --- opening ------------------------------------------------------------------------------------------------------

    def open(self, plan: dict[str, Any]) -> None:
        """Have the zygote build its jail, and wait until it can fork. Raises WorkerStartError."""
        self._plan = plan
        self._greet()
        self.facts = self.zygote.wait_ready()

    def fileno(self) -> int:
        """Readable when there is something to `attend` to."""
        return self._epoll.fileno()

    def _greet(self) -> None:
        self._epoll.register(self.zygote.fileno(), select.EPOLLIN)
        try:
            self.zygote.plan(self._plan or {}, self._mechanism.thaw_after_death)
        except OSError:
            pass  # it has ended: `wait_ready`, or its closed socket, says so

    # --- ordering -----------------------------------------------------------------------------------------------------

    def knows(self, environment: Environment) -> bool:
        """Whether it was ordered and has not ended."""
        return environment in self._homes

    def order(
        self, pool: Pool, environment: Environment, scratch: Scratch | None, copied: tuple[int, ...] = ()
    ) -> None:
        """Give it a blank, at once if one is in stock. `copied`: the files of the snapshot that it is to begin from.

        `scratch`, which is to be its /tmp, is given back when it is no more; the caller's if this raises: OSError,
        EngineError at the host's bounds.
        """
        self._quarters.lodge(pool)  # before the order is written, which names its user
        self._demand.started(time.monotonic_ns())
        self._rehearse = not copied  # the next start is more likely than not to be like this one
        environment.log_fd, write_fd = _log_pipe()
        self._ring_for(pool, environment)
        try:
            while True:
                blank = self._stock.popleft() if self._stock else self._conceive()
                try:
                    self._give(blank, pool, environment, write_fd, scratch, copied)
                except ConnectionError:  # it was killed in stock, and word of that is on its way
                    continue
                return
        finally:
            os.close(write_fd)

    def prime(self, started: Started, network: Network, scratch: Scratch | None) -> Blank:
        """Have a blank start a runtime for a function to come; `order_primed` gives it one. Raises as `order` does."""
        uid = self._quarters.lodge_one()
        room = {"uid": uid, "network": network, "has_scratch": scratch is not None}
        order = json.dumps({"purpose": "prime", "runtime": started.order(), "room": room}).encode()
        try:
            blank = self._conceive()
            blank.uid = uid
        except BaseException:
            self._quarters.leave_one(uid)
            raise
        blank.log_fd, write_fd = _log_pipe()
        try:
            blank.give(order, [write_fd, *([] if scratch is None else [scratch.mount_fd])])
        except OSError:
            self.strike(blank)
            raise
        finally:
            os.close(write_fd)
        blank.scratch = scratch
        return blank

    def order_primed(self, pool: Pool, environment: Environment, blank: Blank) -> bool:
        """Give it a function. False when it has ended in the meantime; the environment is as it was then."""
        self._ring_for(pool, environment)
        blank.cell.thaw()
        fds = [pool.lane.region_fd, pool.lane.event_fd, environment.bell_fd]
        try:
            blank.give(pool.order(environment, "environment", uid=blank.uid), fds)
            blank.cell.set_limits(pool.limits())
            blank.go()
        except OSError:
            self.strike(blank)
            return False
        environment.log_fd, blank.log_fd = blank.log_fd, -1
        self._settle(blank, pool, environment)
        return True

    def order_template(
        self,
        pool: Pool,
        stream: str,
        fds: list[int],
        limits: Limits,
        scratch: Scratch | None,
        on_ended: Callable[[int, str], None],
    ) -> Blank:
        """Have a blank make a snapshot; `on_ended(wait status, failure)` follows. `scratch`, raises: see `order`."""
        self._quarters.lodge(pool)
        order = pool.template_order(stream, has_scratch=scratch is not None)
        while True:
            blank = self._stock.popleft() if self._stock else self._conceive()
            try:
                self._hand_over(blank, pool, order, fds, limits, scratch)
            except ConnectionError:
                continue
            blank.on_ended = on_ended
            return blank

    def _give(
        self,
        blank: Blank,
        pool: Pool,
        environment: Environment,
        log_fd: int,
        scratch: Scratch | None,
        copied: tuple[int, ...],
    ) -> None:
        bell = [] if environment.bell_fd < 0 else [environment.bell_fd]
        fds = [pool.lane.region_fd, pool.lane.event_fd, log_fd, *bell, *copied]
        order = pool.order(environment, "copy" if copied else "environment", has_scratch=scratch is not None)
        self._hand_over(blank, pool, order, fds, pool.limits(), scratch)
        self._settle(blank, pool, environment)

    def _settle(self, blank: Blank, pool: Pool, environment: Environment) -> None:
        """From here on it is that environment."""
        blank.pool, blank.environment = pool, environment
        environment.cell = blank.cell
        environment.pid = blank.own_pid
        environment.watch(blank.cell.gauges(), self.facts.memory_kb)
        self._homes[environment] = blank

    def _ring_for(self, pool: Pool, environment: Environment) -> None:
        """One that waits for more than its work has an eventfd to be woken by."""
        if pool.started is not None and environment.bell_fd < 0:
            environment.bell_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            repair.wake_by(pool.lane, environment, environment.bell_fd)

    def _hand_over(
        self, blank: Blank, pool: Pool, order: bytes, fds: list[int], limits: Limits, scratch: Scratch | None
    ) -> None:
        namespace = [] if pool.namespace_fd < 0 else [pool.namespace_fd]
        try:
            blank.give(order, [*fds, *namespace, *([] if scratch is None else [scratch.mount_fd])])
            blank.cell.set_limits(limits)
            blank.go()
        except OSError:
            self.strike(blank)  # it may have the order already, and is nobody's
            raise
        blank.pool, blank.scratch = pool, scratch

    def _conceive(self) -> Blank:
        """Order one more blank from the zygote. EngineError where it cannot even be asked."""
        self._last_key += 1
        blank = Blank(self._last_key, self._mechanism.open_cell(None))
        self._backlog.append(blank)
        self._send()
        if blank.failure:
            raise EngineError(f"no process could be asked for: {blank.failure}")
        return blank

    def refill(self) -> None:
        """Bring the stock to what recent demand asks for. Raises nothing: without stock a start takes longer."""
        now_ns = time.monotonic_ns()
        if now_ns < self._refill_from_ns:
            return
        missing = self._demand.wanted(now_ns) - len(self._stock)
        for _ in range(-missing):
            self.strike(self._stock.pop())
        try:
            for _ in range(missing):
                self._stock.append(self._conceive())
        except (OSError, EngineError):
            return  # the host's bounds: whoever needs a start is told

    def _send(self) -> None:
        while self._backlog and len(self._in_flight) < ORDERS_IN_FLIGHT:
            blank = self._backlog.popleft()
            self._by_key[blank.key] = blank
            self._in_flight.add(blank)
            directory = blank.cell.directory_fd()
            fds = [blank.theirs.fileno(), *(blank.cell.entry_fds() if directory is None else (directory,))]
            order = {"key": blank.key, "into_cgroup": directory is not None, "rehearse": self._rehearse}
            try:
                self.zygote.order(order, fds)
            except ConnectionError:  # the zygote has died, and word of that is on its way: its successor gets this
                del self._by_key[blank.key]
                self._in_flight.remove(blank)
                self._backlog.appendleft(blank)
                return
            except OSError as error:
                self._not_forked(blank, str(error))

    # --- what comes back ----------------------------------------------------------------------------------------------

    def attend(self) -> None:
        """Hear the zygote and everything it forked."""
        for fd, _ in self._epoll.poll(0):
            if fd == self.zygote.fileno():
                if not self.zygote.take_replies():
                    self._replace_zygote()
            elif fd in self._by_fd:
                blank = self._by_fd[fd]
                self._listen(blank)
                if fd == blank.pidfd:
                    self._ended(blank)

    def _on_reply(self, reply: dict[str, Any], fds: list[int]) -> None:
        if "forked" in reply:
            self._barren = 0
            self._forked(self._by_key[reply["forked"]], reply["pid"], fds[0])
        elif "failed" in reply:
            self._not_forked(self._by_key[reply["failed"]], reply["error"])

    def _forked(self, blank: Blank, pid: int, pidfd: int) -> None:
        blank.pid, blank.pidfd = pid, pidfd
        self._landed(blank)
        blank.cell.attach(pid)
        for fd in (pidfd, blank.socket.fileno()):
            self._by_fd[fd] = blank
            self._epoll.register(fd, select.EPOLLIN)
        if blank.killed:
            self._strike(blank)
        self._send()

    def _not_forked(self, blank: Blank, error: str) -> None:
        self._landed(blank)
        blank.failure = error
        self._ended(blank)
        self._send()

    def _landed(self, blank: Blank) -> None:
        """The zygote is done with an order: our copy of what it took goes."""
        self._in_flight.discard(blank)
        blank.theirs.close()

    def _listen(self, blank: Blank) -> None:
        while (word := blank.hear()) is not None:
            if word.kind == "B":
                blank.own_pid = word.pid
                if blank.environment is not None:
                    blank.environment.pid = word.pid
                if blank.killed:
                    self._strike(blank)
            elif word.kind == "F":
                blank.failure = word.text.decode("utf-8", "replace")
            elif word.kind == "S":
                blank.status = int.from_bytes(word.text, "little", signed=True)
            for fd in word.fds:  # of "N" alone
                if blank.pool is None:
                    os.close(fd)
                else:
                    self._quarters.keep_namespace(blank.pool, fd)

    def _ended(self, blank: Blank) -> None:
        """Its init has ended, and with it all that was in its PID namespace."""
        self._drop(blank)
        if blank.uid >= 0:
            self._quarters.leave_one(blank.uid)
        if blank.scratch is not None:
            self._give_back_scratch(blank.scratch)
        pool, environment = blank.pool, blank.environment
        if pool is None or environment is None:
            if pool is None and blank.uid >= 0:
                self.on_unused(blank)
            elif pool is None and not blank.killed:
                self._refill_from_ns = time.monotonic_ns() + REFILL_AGAIN_NS
            blank.cell.release()
            if blank.on_ended is not None:
                blank.on_ended(KILLED if blank.status is None else blank.status, blank.failure)
            return
        del self._homes[environment]
        if blank.own_pid < 0 and not blank.failure and blank.pid > 0:
            told = f"a blank ended with wait status {blank.status} before it was one"
            blank.failure = LOST if blank.status is None else told
        if blank.failure and not blank.killed:
            self._on_failed(pool, environment, blank.failure)
        else:
            self._on_ended(pool, environment, KILLED if blank.status is None else blank.status)

    def _drop(self, blank: Blank) -> None:
        """Forget all about it but what it holds."""
        self._by_key.pop(blank.key, None)
        for fd in (blank.pidfd, blank.socket.fileno()):
            if self._by_fd.pop(fd, None) is not None:
                self._epoll.unregister(fd)
        if blank in self._stock:
            self._stock.remove(blank)
        blank.close()

    # --- ending -------------------------------------------------------------------------------------------------------

    def kill(self, environment: Environment) -> None:
        """SIGKILL to it and all that it started; `on_ended` follows. Nothing for one that has ended."""
        blank = self._homes.get(environment)
        if blank is not None:
            self.strike(blank)

    def strike(self, blank: Blank) -> None:
        """SIGKILL to a blank and all that it started. Nothing for one that has ended."""
        if blank.key in self._by_key or blank in self._backlog:
            blank.killed = True
            self._strike(blank)

    def _strike(self, blank: Blank) -> None:
        """With a PID namespace its init goes first, and the kernel ends the rest; else the init must clear up."""
        blank.cell.thaw()
        blank.cell.set_cpu(None)  # dying takes CPU time too, and reclaim may have run up a debt of half a minute
        if "processes" in self.facts.enforced:
            if blank.is_forked():
                send_kill(blank.pidfd)
        elif blank.own_pid > 0:
            try:
                os.kill(blank.own_pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it has ended, and its init is about to say so
        elif blank.environment is None and blank.is_forked():
            send_kill(blank.pidfd)

    def _replace_zygote(self) -> None:
        """The zygote is gone, and the kernel ends what it forked. Start another for those that were not."""
        self._epoll.unregister(self.zygote.fileno())
        self.zygote.close()
        self.zygote = ZygoteLink(self._on_reply)
        self._greet()
        self.on_new_zygote()
        self._barren += 1
        for blank in list(self._in_flight):  # forked or not, nobody will tell
            self._landed(blank)
            blank.failure = HOPELESS if self._barren > BARREN_MAX else ""
            self._ended(blank)
        for _ in range(len(self._backlog) if self._barren > BARREN_MAX else 0):
            self._not_forked(self._backlog.popleft(), HOPELESS)
        self._send()

    def await_ends(self, environments: list[Environment], within_s: float) -> None:
        """Wait until these have ended by themselves, or that time is over."""
        until_s = time.monotonic() + within_s
        for blank in [self._homes[environment] for environment in environments if environment in self._homes]:
            readable(blank.pidfd, max(0.0, until_s - time.monotonic()))

    def close(self) -> None:
        """End the zygote and every environment, and give back all that they used."""
        forked = [blank for blank in set(self._by_fd.values()) if blank.is_forked()]
        for blank in forked:
            self._strike(blank)
        self.zygote.close()
        for blank in forked:
            readable(blank.pidfd, END_TIMEOUT_S)
        for blank in {*self._by_key.values(), *self._backlog}:
            if blank.environment is not None and blank.environment.log_fd >= 0:
                os.close(blank.environment.log_fd)
                blank.environment.log_fd = -1
            blank.close()
            blank.cell.release()
            if blank.on_ended is not None:
                blank.on_ended(KILLED, "the engine closed")
        self._by_key.clear()
        self._by_fd.clear()
        self._homes.clear()
        self._stock.clear()
        self._backlog.clear()
        self._epoll.close()
        self._quarters.close()


def _log_pipe() -> tuple[int, int]:
    """Both ends of a pipe: the core's, which never waits, and the function's, which does."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(write_fd, True)
    return read_fd, write_fd


def release(environment: Environment) -> None:
    """Give back the cell and the descriptors of an environment that is no more."""
    environment.unwatch()
    if environment.cell is not None:
        environment.cell.release()
    for fd in (environment.log_fd, environment.bell_fd):
        if fd >= 0:
            os.close(fd)
    environment.log_fd = environment.bell_fd = -1


def send_kill(pidfd: int) -> None:
    """SIGKILL to a process, or to none: it may have ended, and been reaped, before word of that came."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass


def widen(pipe_fd: int) -> None:
    """More room in a log pipe, where the host allows it: a burst of output then holds the function up less."""
    try:
        fcntl.fcntl(pipe_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass  # the user's pipe allowance is used up: the standard 64 KB do
