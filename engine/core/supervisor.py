"""F3: starts environments, watches over them, ends them, and puts right what they leave behind.

All of it runs on the loop's thread. Lanes report from whichever thread drains them; those reports are put off to the
loop (`later`), because a lane is in the middle of something when it makes them.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from .._ext import leaving, reclaim, repair
from .._ext.environment import Environment
from .._ext.lane import Lane
from .._ext.result import uuid_text
from .._ext.scheduler import Scheduler
from ..clock import Clock, HostClock
from ..config import ENVIRONMENTS_MAX, INIT_TIMEOUT_S
from ..errors import EngineError, ServiceException
from ..model import Network
from ..sandbox import choose
from ..sandbox.choose import Enforcement
from ..sandbox.contract import Mechanism
from ..sandbox.scratch import Scratch
from ..states import Event, State, step
from . import outcomes
from .births import LOST, Births, release, widen
from .cpu_demand import INTERVAL_NS
from .farewells import FAREWELL_S, Farewells
from .keep_alive.contract import Eviction, KeepAlive
from .languages import Started
from .memory import HostMemory
from .pools import PROVISIONED, SNAPSHOT, Pool, is_provisioned
from .primed import PrimedStock
from .quarters import Quarters
from .scaling import LEAST_CPU_SHARE, Load, Scaling, environments_to_start
from .scratches import Scratches
from .snapshots import After, Snapshots, Timer
from .tenants import environments_left
from .upkeep import Hands, Upkeep

SPAWN_RETRIES = 3
CPU_SAMPLES = 32  # environments of one function whose use of CPU is looked at: a look takes 20 µs
MEMORY_TICKS = 10  # how many ticks lie between two looks at an environment's memory

Later = Callable[..., object]


class Supervisor:
    """Environments of all pools. `later(call, *arguments)` runs a call on the loop's thread, soon."""

    def __init__(
        self,
        scheduler: Scheduler,
        mechanism: Mechanism,
        *,
        later: Later,
        after: After,
        scaling: Scaling,
        cpus: int,
        memory: HostMemory,
        keep_alive: KeepAlive,
        eviction: Eviction,
        memory_budget_mb: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`after(seconds, call)` runs a call on the loop's thread then. `clock` is what idle times are measured by, for
        the policy; deadlines are kept by the host's own."""
        self._scheduler = scheduler
        self._mechanism = mechanism
        self._run_later = later
        self._run_after = after
        self._closing = False
        self._scaling: Scaling = scaling
        self._cpus = cpus
        self._memory = memory
        hands = Hands(self.start, self.retire, lambda: self._memory.is_short())
        self.upkeep = Upkeep(keep_alive, eviction, hands, memory_budget_mb=memory_budget_mb, clock=clock or HostClock())
        self._pools: dict[Lane, Pool] = {}
        self._quarters = Quarters()
        self.scratches = Scratches(self._later)
        self.births = Births(
            mechanism,
            self._quarters,
            on_ended=self._ended,
            on_failed=self._give_up,
            give_back=self.scratches.give_back,
        )
        self.snapshots = Snapshots(self.births, self.scratches, on_settled=self._snapshot_settled, after=self._after)
        self.births.on_new_zygote = self.snapshots.forget_all
        self.primed = PrimedStock(self.births, self.scratches, after=self._after, is_short=self._memory.is_short)
        self._farewells = Farewells(self._after, self.births.knows, self.kill)
        self.on_vacant: Callable[[Pool], object] = lambda pool: None  # see `Pool.is_vacant`; what it is told of may go
        self.on_room: Callable[[Lane], object] = lambda lane: None  # a lane with a backlog has one environment more
        self.deaths = 0
        self._ticks = 0

    def open(
        self,
        jail_plan: dict[str, Any],
        scratch_folder: Path | None,
        ephemeral_storage: Literal["disk", "memory"] | None,
    ) -> None:
        """Start what forks environments and what makes folders for their /tmp.

        Raises WorkerStartError, and SandboxUnavailableError where what is asked of /tmp cannot be had.
        """
        self.scratches.open(scratch_folder)
        self.births.open(jail_plan)
        self.scratches.settle(self.births.facts, ephemeral_storage)

    # --- pools --------------------------------------------------------------------------------------------------------

    @property
    def pools(self) -> list[Pool]:
        return list(self._pools.values())

    def adopt(self, pool: Pool) -> None:
        """Watch over a new pool."""
        self._pools[pool.lane] = pool
        pool.lane.on_event = self._on_lane_event
        self._scheduler.watch(pool.lane)

    def supersede(self, pool: Pool) -> None:
        """Let a pool's environments go once its last invocation has ended."""
        pool.superseded = True
        if pool.lane.outstanding == 0:
            for environment in self._members(pool):
                self.retire(pool, environment)
            self._forget_if_empty(pool)

    def prime_soon(self, started: Started, network: Network) -> None:
        """A function was deployed: have what it needs started before anybody calls it. From any thread."""
        self._later(self.primed.want, started, network)

    def supersede_soon(self, pool: Pool) -> None:
        """As `supersede`, from any thread."""
        self._later(self.supersede, pool)

    def _forget_if_empty(self, pool: Pool) -> None:
        if pool.is_vacant and not pool.superseded and not pool.late_init:
            self.on_vacant(pool)
            return
        if pool.superseded and pool.lane.outstanding == 0 and not self._members(pool) and pool.lane in self._pools:
            if not self._scheduler.rest(pool.lane):
                return  # somebody came in this instant
            del self._pools[pool.lane]
            pool.lane.close()
            self.snapshots.forget(pool)
            self._quarters.leave(pool)
            self.upkeep.left(pool)
            if pool.on_gone is not None:
                pool.on_gone()

    def _members(self, pool: Pool) -> list[Environment]:
        return [environment for environment in pool.lane.environments if environment is not None]

    def enforcement(self) -> list[Enforcement]:
        """Which limit is enforced by what."""
        facts = self.births.facts
        return [*choose.lines(self._mechanism, facts.enforced, facts.missing), self.scratches.enforcement()]

    # --- starting -----------------------------------------------------------------------------------------------------

    def demand(self, lane: Lane) -> None:
        """A lane has invocations that its environments will not get to soon."""
        pool = self._pools.get(lane)
        if pool is not None:
            self.scale(pool, time.monotonic_ns())

    def scale(self, pool: Pool, now_ns: int) -> None:
        """Start as many environments as this pool's load asks for."""
        lane = pool.lane
        lane.demanded = False
        if lane.closed or lane.poisoned:
            return
        self._farewells.note(pool)
        longest_ns = repair.longest_running_ns(lane, now_ns)
        load = Load(
            outstanding=_demand(lane),
            ready=lane.ready,
            starting=pool.starting_soon(now_ns),
            service_ns=max(lane.service_ns, longest_ns if longest_ns >= INTERVAL_NS else 0.0),  # less may be a lost CPU
            cold_ns=lane.cold_ns,
            cpu_share=self._cpu_share(pool, longest_ns, now_ns),
            cpus=self._cpus,
            ceiling=min(ENVIRONMENTS_MAX, max(1, lane.quota.most)),
        )
        wanted = environments_to_start(load, self._scaling)
        if wanted and pool.home is not None:
            wanted = self._among_tenants(pool, wanted)
        for _ in range(self.upkeep.make_room(pool, wanted, self.pools) if wanted else 0):
            self.start(pool)

    def _among_tenants(self, pool: Pool, wanted: int) -> int:
        """How many of these a tenant may have; idle ones of its function's other tenants make room for them."""
        neighbours = list(pool.neighbours)
        left = environments_left(pool.lane.quota, neighbours)
        if left < wanted:
            self.upkeep.evict([each for each in neighbours if each is not pool], count=wanted - left)
            left = environments_left(pool.lane.quota, neighbours)
        return min(wanted, max(left, 1 if pool.lane.ready + pool.lane.starting == 0 else 0))

    def _cpu_share(self, pool: Pool, longest_ns: int, now_ns: int) -> float:
        """CPUs that one busy environment uses: as learned, or less where invocations hold up a queue by waiting."""
        lane = pool.lane
        is_asked_for = self._scaling == "adaptive" and _demand(lane) > lane.ready + lane.starting
        if longest_ns < INTERVAL_NS or not is_asked_for:
            pool.cpu_demand.forget()
            return lane.cpu_share
        idle = set(repair.idle_environments(lane))  # what these want says nothing of one that has work
        running = [env.pid for env in self._members(pool) if env.is_ready and env.pid > 0 and env not in idle]
        share = pool.cpu_demand.share(running[:CPU_SAMPLES], now_ns)
        return lane.cpu_share if share is None else min(lane.cpu_share, max(share, LEAST_CPU_SHARE))

    def start_ahead(self, pool: Pool) -> Environment | None:
        """Order a provisioned environment. None where the host has no memory for it, or the version has its most."""
        if self._memory.is_short() or pool.lane.ready + pool.lane.starting >= ENVIRONMENTS_MAX:
            return None
        return self.start(pool, provisioned=True)

    def start(self, pool: Pool, *, provisioned: bool = False) -> Environment:
        """Order one more environment from the zygote."""
        stream = pool.new_stream()
        environment = repair.admit(pool.lane, stream, pool.late_init and not provisioned)
        if provisioned:
            environment.start_code = PROVISIONED
        environment.state = State.STARTING
        pool.book.open_stream(environment.serial, stream, pool.style, pool.tenant_id)
        self._scheduler.rouse(pool.lane)
        if not self.snapshots.must_wait(pool, environment):
            self._order(pool, environment)
        return environment

    def prepare_snapshot(self, lane: Lane) -> None:
        """Have the snapshot of a lane's version made before anybody needs it."""
        self.snapshots.prepare(self._pools[lane])

    def _order(self, pool: Pool, environment: Environment) -> None:
        """Order it: from a process that is started already, else once there is a folder for its /tmp, which is at once
        where one is in stock."""
        if self.primed.order(pool, environment):
            return
        self.scratches.claim(pool, environment, partial(self._order_with, pool, environment))

    def _order_with(self, pool: Pool, environment: Environment, scratch: Scratch | None, failure: str) -> None:
        if environment.state is not State.STARTING:  # it was retired while it waited
            if scratch is not None:
                self.scratches.give_back(scratch)
            self._let_go(pool, environment)
            return
        try:
            if failure:
                raise EngineError(f"no folder for its /tmp could be made: {failure}")
            self.births.order(pool, environment, scratch, self.snapshots.copy_for(pool, environment))
        except (OSError, EngineError) as error:
            if scratch is not None:
                self.scratches.give_back(scratch)
            self._give_up(pool, environment, str(error))

    def _snapshot_settled(self, pool: Pool, waiting: list[Environment]) -> None:
        """Those that waited for a snapshot begin now: from it, or by their init."""
        now_ns = time.monotonic_ns()
        for environment in waiting:
            environment.spawned_ns = now_ns
            if environment.state is State.STARTING:
                self._order(pool, environment)
            else:
                self._let_go(pool, environment)
        self._forget_if_empty(pool)

    # --- what became of them ------------------------------------------------------------------------------------------

    def _give_up(self, pool: Pool, environment: Environment, error: str) -> None:
        """An environment could not be started. After `SPAWN_RETRIES` in a row whoever waits for one is told.

        Those that were lost with their zygote are not counted: one that is killed takes many with it.
        """
        pool.retries += error != LOST
        if pool.retries > SPAWN_RETRIES:
            pool.retries = 0
            refusal = ServiceException(f"no environment of {pool.lane.name} could be started: {error}")
            repair.reject_waiting(pool.lane, refusal)
        self._let_go(pool, environment)

    def _ended(self, pool: Pool, environment: Environment, status: int) -> None:
        """An environment is gone, and with it all that it left behind: settle what it held."""
        lane = pool.lane
        self.deaths += environment.state is not State.RETIRING
        started = environment.is_ready or environment.init_seen
        if environment.init_seen and not environment.is_ready and environment.state in (State.STARTING, State.RETIRING):
            self._init_failed(pool, environment)  # the lane's word of it is on its way, and would find nobody
        error_type = repair.init_error_type(lane, environment) or "Runtime.ExitError"
        lost = repair.bury(lane, environment)
        repair.inspect(lane)  # before anyone is told: who calls again at once must not get into a forged region
        for index in lost:
            self._end_on_exit(pool, environment, index, status)
        if not started and environment.start_code == SNAPSHOT and environment.state is State.STARTING:
            self.snapshots.distrust(pool, environment, "an environment that began from it ended at once: see its log")
        elif not started and (environment.state is not State.KILLING or environment.serial in pool.killed_for_memory):
            self._note_init(pool, environment, "error", error_type)
        self._note_output(pool, environment)
        self._let_go(pool, environment)

    def _let_go(self, pool: Pool, environment: Environment) -> None:
        """Give back what an environment that is no more had, and see to those who wait."""
        repair.bury(pool.lane, environment)
        environment.state = step(environment.state, Event.ENDED)
        if not pool.lane.closed:
            reclaim.reclaim(pool.lane)
        release(environment)
        if not pool.lane.closed:
            now_ns = time.monotonic_ns()
            repair.sweep(pool.lane, now_ns)
            repair.ring(pool.lane)
            self.scale(pool, now_ns)
        self._forget_if_empty(pool)
        if pool.on_environment is not None:
            pool.on_environment(environment)

    def _end_on_exit(self, pool: Pool, environment: Environment, index: int, status: int) -> None:
        starved = environment.cell.oom_kills() > 0 or environment.serial in pool.killed_for_memory
        request_id = uuid_text(repair.request_id(pool.lane, index))
        ending = outcomes.exited(request_id, status, out_of_memory=starved)
        memory_kb = pool.configuration.memory_mb * 1024 if starved else self._memory_kb(environment)
        repair.fail(
            pool.lane, environment, index, ending.payload, ending.outcome.value, ending.error_type, memory_kb=memory_kb
        )

    def _memory_kb(self, environment: Environment) -> int:
        """The most that an environment held: its cell's peak, and the zygote's pages that it shares."""
        peak_mb = environment.cell.memory_peak_mb()
        return _peak_memory_kb(environment.pid) if peak_mb is None else peak_mb * 1024 + self.births.facts.memory_kb

    # --- what lanes report --------------------------------------------------------------------------------------------

    def _on_lane_event(self, lane: Lane, environment: Environment | None, event: str, index: int) -> None:
        if event == "overdue":
            self._answer_overdue(self._pools[lane], environment, index)
        else:
            self._later(self._lane_event, lane, environment, event)

    def _lane_event(self, lane: Lane, environment: Environment | None, event: str) -> None:
        pool = self._pools.get(lane)
        if pool is None or (environment is not None and not self.births.knows(environment)):
            return
        if event == "poisoned":
            self._rebuild(pool)
        elif environment is None:
            raise RuntimeError(f"a lane reported {event!r} of no environment")
        elif event == "ready":
            self._ready(pool, environment)
        elif event == "init_failed":
            self._init_failed(pool, environment)
        elif event == "illegal":
            self.kill(environment)

    def _ready(self, pool: Pool, environment: Environment) -> None:
        environment.state = step(environment.state, Event.INIT_DONE)
        environment.cell.seal()
        environment.cell.set_cpu(pool.cpu_share)
        widen(environment.log_fd)
        pool.retries = 0
        if not environment.late:
            pool.late_init = False
            took_ns = environment.used_ns - environment.spawned_ns
            pool.lane.cold_ns += 0.3 * (took_ns - pool.lane.cold_ns)
        if pool.on_environment is not None:
            pool.on_environment(environment)
        if pool.lane.backlog:
            self.on_room(pool.lane)

    def _init_failed(self, pool: Pool, environment: Environment) -> None:
        environment.state = step(environment.state, Event.INIT_FAILED)
        self._note_init(pool, environment, "error", repair.init_error_type(pool.lane, environment) or None)

    def _note_init(self, pool: Pool, environment: Environment, status: str, error_type: str | None) -> None:
        """An init went wrong: log it, and have the next one run within an invocation, as Lambda does."""
        pool.late_init = pool.late_init or not is_provisioned(environment)
        if environment.late:
            return
        now_ns = time.monotonic_ns()
        before = pool.lane.meter.ledger.appended
        self._note_output(pool, environment)
        pool.book.note_failed_init(before, now_ns, environment, status, error_type)

    def _note_output(self, pool: Pool, environment: Environment) -> None:
        """Keep what was printed outside any invocation and would go with the environment."""
        pool.note(environment.stream, repair.take_output(pool.lane, environment).decode("utf-8", "replace"))

    def _rebuild(self, pool: Pool) -> None:
        """The region can no longer be read: end what was in it, end its environments, start afresh."""
        lane = pool.lane
        if not lane.poisoned:
            return
        for index in repair.outstanding_slots(lane):
            ending = outcomes.exited(uuid_text(repair.request_id(lane, index)), signal.SIGKILL, out_of_memory=False)
            repair.fail(lane, None, index, ending.payload, ending.outcome.value, ending.error_type)
        for environment in repair.reset(lane):
            self.kill(environment)
        self.scale(pool, time.monotonic_ns())

    # --- ending -------------------------------------------------------------------------------------------------------

    def kill(self, environment: Environment) -> None:
        """SIGKILL; word that it is gone does the rest."""
        environment.state = step(environment.state, Event.KILL)
        waiting_in = self.snapshots.forsake(environment) or self.scratches.forsake(environment)
        if waiting_in is not None:
            self._later(self._let_go, waiting_in, environment)
        self.births.kill(environment)

    def retire(self, pool: Pool, environment: Environment) -> None:
        """Have it end when it is idle."""
        if environment.state not in (State.GONE, State.RETIRING):
            environment.state = step(environment.state, Event.RETIRE)
            self._farewells.retire(pool, environment)

    def time_out(self, pool: Pool, environment: Environment, index: int, generation: int) -> None:
        """Its invocation ran over the function's time limit: answer for it, and end it; extensions are told first."""
        if environment.state is State.KILLING or not repair.is_outstanding(pool.lane, index, generation):
            return
        memory_kb = self._memory_kb(environment)
        if self._farewells.time_out(pool, environment):
            environment.state = step(environment.state, Event.RETIRE)
        else:
            leaving.retire(pool.lane, environment)
            self.kill(environment)
        self._answer_overdue(pool, environment, index, generation, hold=True, memory_kb=memory_kb)

    def _answer_overdue(
        self,
        pool: Pool,
        environment: Environment | None,
        index: int,
        generation: int | None = None,
        *,
        hold: bool = False,
        memory_kb: int = 0,
    ) -> None:
        request_id = uuid_text(repair.request_id(pool.lane, index))
        ending = outcomes.timed_out(request_id, pool.configuration.timeout_s)
        repair.fail(
            pool.lane, environment, index, ending.payload, ending.outcome.value, ending.error_type,
            hold=hold, whole_timeout=True, memory_kb=memory_kb, generation=generation,
        )  # fmt: skip

    # --- the clock's work ---------------------------------------------------------------------------------------------

    def tick(self) -> bool:
        """Look over every lane that has something to do. False when all have been quiet for a while."""
        now_ns = time.monotonic_ns()
        self._ticks += 1
        for lane in list(self._scheduler.active):
            self._tend(self._pools[lane], now_ns)
        self.refill()  # here, so that nobody's start waits for it
        self._scheduler.release_old()
        return bool(self._scheduler.active)

    def refill(self) -> None:
        """Bring the stocks of what starts need to what recent demand asks for."""
        self.births.refill()
        self.scratches.refill()
        self.primed.refill()

    def _tend(self, pool: Pool, now_ns: int) -> None:
        lane = pool.lane
        self._farewells.note(pool)
        repair.freeze_idle(lane)
        self.upkeep.look(pool)
        if lane.outstanding == 0 and lane.starting == 0:
            self._quieten(pool)
            return
        pool.quiet_ticks = 0
        lane.drain_now()
        for environment, index, generation in repair.sweep(lane, now_ns):
            self.time_out(pool, environment, index, generation)
        repair.pump_logs(lane)
        for environment in self._members(pool):
            self._check_init(pool, environment, now_ns)
            if self._ticks % MEMORY_TICKS == 0:
                self._check_memory(pool, environment)
        self.scale(pool, now_ns)

    def _check_memory(self, pool: Pool, environment: Environment) -> None:
        """End an environment over its memory, or that lost a child to the kernel for it."""
        if environment.pid > 0 and (environment.cell.overdrawn() or environment.cell.oom_kills() > 0):
            is_news = environment.serial not in pool.killed_for_memory
            pool.killed_for_memory.add(environment.serial)
            if environment.cell.overdrawn() or not self._farewells.wants(pool, environment):
                self.kill(environment)
            elif is_news:  # its runtime is gone, or an extension: it ends by itself
                self._farewells.end_soon(environment)

    def _check_init(self, pool: Pool, environment: Environment, now_ns: int) -> None:
        limit_s = pool.init_ahead_limit_s if is_provisioned(environment) else INIT_TIMEOUT_S
        over = now_ns - environment.spawned_ns > limit_s * 1_000_000_000
        begun = self.births.knows(environment) and environment.state is State.STARTING
        if over and begun and not environment.init_seen:
            self._note_init(pool, environment, "timeout", None)
            self.kill(environment)

    def _quieten(self, pool: Pool) -> None:
        pool.quiet_ticks += 1
        if pool.superseded:
            self.supersede(pool)
        elif pool.quiet_ticks > 100:
            repair.pump_logs(pool.lane)
            reclaim.trim(pool.lane)
            self._scheduler.rest(pool.lane)
            if pool.is_vacant:
                self.on_vacant(pool)
            self.upkeep.trim(self.pools)

    def keep_house(self) -> int:
        """See `Upkeep.keep_house`. Stocks that a burst made large shrink again."""
        self.refill()
        for pool in self.pools:
            if pool.is_vacant and not pool.lane.active and not pool.superseded:
                self.on_vacant(pool)
        return self.upkeep.keep_house(self.pools)

    def _later(self, call: Callable[..., object], *arguments: object) -> None:
        self._run_later(self._unless_closing, call, *arguments)

    def _after(self, seconds: float, call: Callable[[], object]) -> Timer:
        return self._run_after(seconds, partial(self._unless_closing, call))

    def _unless_closing(self, call: Callable[..., object], *arguments: object) -> None:
        """What was put off would meet `close` half done in its thread: zygote, cells and folders go without it."""
        if not self._closing:
            call(*arguments)

    def abandon(self, error: BaseException) -> None:
        """The engine closes: whoever still waits gets this exception, and what was put off is not done any more."""
        self._closing = True
        for pool in self.pools:
            repair.abandon(pool.lane, error)
        self._scheduler.ring()  # a thread may be asleep over one of them

    def close(self) -> None:
        """End every environment and the zygote, and give back all that they used. `abandon` goes before: this may be
        another thread than the loop's."""
        self.snapshots.close()  # first: a template that is ended now is nobody's
        self.births.await_ends(self._farewells.say(self.pools), FAREWELL_S)
        self.births.close()
        self.scratches.close()
        for pool in self.pools:
            pool.lane.close()
        self._pools.clear()


def _peak_memory_kb(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status") as status:
            return next((int(line.split()[1]) for line in status if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0


def _demand(lane: Lane) -> int:
    """Invocations that environments are to be found for.

    Of events, which nobody waits for, as many as there are environments; once all of those have begun, twice as many.
    So a backlog has their number grow only as fast as the host can start them.
    """
    events = lane.events + lane.backlog
    if not events:
        return lane.outstanding
    most = lane.ready + lane.starting if lane.starting else 2 * max(1, lane.ready)
    return lane.outstanding - lane.events + min(events, most)
