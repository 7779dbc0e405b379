"""F3: folders for environments' /tmp, made ahead of need and given back by one thread.

Making one takes a millisecond or two, and giving one back waits until what it holds is written: neither is for the
loop's thread, nor for whoever waits for a start. A start takes one from stock, or waits for the thread; none falls back
to memory by itself. Which way it is, for all, is settled once, when the engine opens.

Every method belongs to the loop's thread but `_work` and what that calls, and those that open and close. What both
sides touch is guarded by `_changed`; the thread speaks to the loop by `later`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

from .._ext.environment import Environment
from ..config import EPHEMERAL_MIN_MB
from ..errors import EngineError, SandboxUnavailableError
from ..sandbox.choose import Enforcement
from ..sandbox.scratch import SIZES_MAX, LoopScratchPool, Scratch, ScratchUnavailableError
from .blanks import Demand
from .pools import Pool
from .zygotes import Facts

STOCK_MAX: Final = 64  # made ahead, all sizes together; a start that finds none waits for its own
SPENT_MOST: Final = 64  # given back and not yet gone: past it they go before anybody gets one
PAUSE_NS: Final = 1_000_000_000  # after one could not be made ahead

Then = Callable[[Scratch | None, str], None]
Job = Callable[[LoopScratchPool], None]


@dataclass(slots=True, eq=False)
class Claim:
    """Who waits for a folder: an environment, or a template that is none. `then(folder, why there is none)`."""

    size_mb: int
    pool: Pool
    environment: Environment | None
    then: Then


class Scratches:
    """`later(call, *arguments)` runs a call on the loop's thread, soon."""

    def __init__(self, later: Callable[..., object]) -> None:
        self._later = later
        self._refusal = "the engine is not open yet"
        self._has_size = False
        self._thread: threading.Thread | None = None
        self._tried = threading.Event()
        self._demands = {EPHEMERAL_MIN_MB: Demand()}
        self._waiting: dict[Environment, Claim] = {}
        self._paused_until_ns = 0
        self._changed = threading.Condition()
        self._stock: dict[int, deque[Scratch]] = {}
        self._wanted = {EPHEMERAL_MIN_MB: 1}  # by size; of others none
        self._claims: deque[Claim] = deque()  # no more than environments and templates that start
        self._spent: deque[Scratch] = deque()  # no more than there were environments
        self._closing = False

    # --- opening ------------------------------------------------------------------------------------------------------

    def open(self, folder: Path | None) -> None:
        """Find out, in the thread, whether they can be had in this folder. None: nobody wants them."""
        if folder is None:
            self._refusal = "as the engine was told"
            self._tried.set()
            return
        self._thread = threading.Thread(target=self._work, args=(folder,), name="engine scratch", daemon=True)
        self._thread.start()

    def settle(self, facts: Facts, wanted: Literal["disk", "memory"] | None) -> None:
        """Wait for what the thread found out. SandboxUnavailableError when "disk" is wanted and cannot be had."""
        self._tried.wait()
        if "files" not in facts.enforced:
            self._refusal = f"no root directory of its own: {facts.missing.get('files', 'not tried')}"
        self._has_size = "files" in facts.enforced
        if self._refusal:
            self.close()
            if wanted == "disk":
                raise SandboxUnavailableError(
                    f'ephemeral_storage="disk" cannot be had here: {self._refusal}; give None or "memory"'
                )

    def enforcement(self) -> Enforcement:
        """The size of /tmp, and whether it is memory."""
        if not self._refusal:
            return Enforcement("tmp", "ext4", "on loop devices: not charged to the function's memory")
        if self._has_size:
            return Enforcement("tmp", "tmpfs", f"charged to the function's memory ({self._refusal})")
        return Enforcement("tmp", None, f"the host's own ({self._refusal})")

    # --- taking and giving back ---------------------------------------------------------------------------------------

    def claim(self, pool: Pool, environment: Environment | None, then: Then) -> None:
        """Have `then` called with a folder of the pool's size: now if one is in stock, else once the thread made one.

        With None where /tmp is memory. With None and a reason where none could be made.
        """
        if self._refusal:
            then(None, "")
            return
        size_mb = pool.configuration.ephemeral_storage_mb
        self._note_demand(size_mb)
        with self._changed:
            in_stock = self._stock.get(size_mb)
            scratch = in_stock.popleft() if in_stock else None
        if scratch is not None:
            then(scratch, "")
            return
        claim = Claim(size_mb, pool, environment, then)
        if environment is not None:
            self._waiting[environment] = claim
        with self._changed:
            self._claims.append(claim)
            self._changed.notify()

    def spare(self) -> Scratch | None:
        """One of the usual size, if one is in stock; for a start that is not to wait. See `are_used`."""
        with self._changed:
            in_stock = self._stock.get(EPHEMERAL_MIN_MB)
            return in_stock.popleft() if in_stock else None

    def are_used(self) -> bool:
        """Whether an environment's /tmp is one of them, rather than memory."""
        return not self._refusal

    def forsake(self, environment: Environment) -> Pool | None:
        """Take it off those that wait. Its pool when it did."""
        claim = self._waiting.pop(environment, None)
        return None if claim is None else claim.pool

    def give_back(self, scratch: Scratch) -> None:
        """Nobody will use it any more."""
        with self._changed:
            self._spent.append(scratch)
            self._changed.notify()

    def refill(self) -> None:
        """Have the thread bring the stock to what recent demand asks for."""
        now_ns = time.monotonic_ns()
        if self._refusal or now_ns < self._paused_until_ns:
            return
        room, wanted = STOCK_MAX, {}
        for size_mb, demand in list(self._demands.items()):
            wanted[size_mb] = min(demand.wanted(now_ns), room)
            room -= wanted[size_mb]
            if wanted[size_mb] == 0 and size_mb != EPHEMERAL_MIN_MB:
                del self._demands[size_mb]
        with self._changed:
            self._wanted = wanted
            if self._surplus() is not None or self._missing() is not None:
                self._changed.notify()

    def _note_demand(self, size_mb: int) -> None:
        """Of a size that is rare nothing is kept; of one too many to remember, nothing either."""
        demand = self._demands.get(size_mb)
        if demand is None:
            if len(self._demands) >= SIZES_MAX:
                return
            demand = self._demands[size_mb] = Demand(least=0)
        demand.started(time.monotonic_ns())

    def _deliver(self, claim: Claim, scratch: Scratch | None, failure: str) -> None:
        if claim.environment is not None and self._waiting.pop(claim.environment, None) is None:
            if scratch is not None:
                self.give_back(scratch)
            return
        claim.then(scratch, failure)

    def _pause(self) -> None:
        self._paused_until_ns = time.monotonic_ns() + PAUSE_NS

    def close(self) -> None:
        """Let go of all of them, and wait until that is done. Those who wait hear nothing more. Idempotent."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _work(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            pool = LoopScratchPool(folder)
        except (OSError, EngineError) as error:
            self._refusal = str(error)
            self._tried.set()
            return
        try:
            self._try_out(pool)
            while (job := self._next_job()) is not None:
                job(pool)
        finally:
            pool.close()

    def _try_out(self, pool: LoopScratchPool) -> None:
        try:
            self._stock[EPHEMERAL_MIN_MB] = deque([pool.take(EPHEMERAL_MIN_MB)])
            self._refusal = ""
        except ScratchUnavailableError as error:
            self._refusal = str(error)
        finally:
            self._tried.set()

    def _next_job(self) -> Job | None:
        """What is to be done next, once there is something; None at the end."""
        with self._changed:
            while not self._closing:
                if self._spent and (not self._claims or len(self._spent) > SPENT_MOST):
                    return partial(_release, self._spent.popleft())
                if self._claims:
                    return partial(self._fulfil, self._claims.popleft())
                if (size_mb := self._surplus()) is not None:
                    return partial(_release, self._stock[size_mb].popleft())
                if (size_mb := self._missing()) is not None:
                    return partial(self._stock_up, size_mb)
                self._changed.wait()
            return None

    def _surplus(self) -> int | None:
        return next((size for size, stock in self._stock.items() if len(stock) > self._wanted.get(size, 0)), None)

    def _missing(self) -> int | None:
        return next((size for size, count in self._wanted.items() if len(self._stock.get(size, ())) < count), None)

    def _fulfil(self, claim: Claim, pool: LoopScratchPool) -> None:
        scratch, failure = None, ""
        try:
            scratch = pool.take(claim.size_mb)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is told to who waits, and the next one served
            failure = str(error) or repr(error)
        self._later(self._deliver, claim, scratch, failure)

    def _stock_up(self, size_mb: int, pool: LoopScratchPool) -> None:
        try:
            scratch = pool.take(size_mb)
        except EngineError:  # a start that needs one will be told why
            with self._changed:
                self._wanted = {size: len(stock) for size, stock in self._stock.items()}
            self._later(self._pause)
            return
        with self._changed:
            self._stock.setdefault(size_mb, deque()).append(scratch)


def _release(scratch: Scratch, _: LoopScratchPool) -> None:
    scratch.release()
