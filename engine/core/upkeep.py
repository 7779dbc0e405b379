"""F3: idle environments of all pools: which are let go, which are started ahead of need, and who makes room for whom.

Decides by a keep-alive policy and an eviction order (`keep_alive/`); how environments start and end is the
supervisor's. All of it runs on the loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from .._ext import repair
from .._ext.environment import Environment
from .._ext.result import STARTS
from ..clock import Clock
from ..states import State
from .keep_alive.activity import Activity
from .keep_alive.contract import Candidate, Eviction, KeepAlive, Key
from .keep_alive.eviction import victims
from .pools import Pool, is_provisioned

HOUSEKEEPING_NS: Final = 50_000_000  # between two looks at idle environments, at least
REST_NS: Final = 600_000_000_000  # where nothing is due: whatever comes has us look again
PREWARMS_STARTING_MAX: Final = 4  # a further one waits: they must not hold cold starts up that somebody waits for
WARM: Final = STARTS.index("warm")
ENDING: Final = frozenset({State.RETIRING, State.KILLING, State.FAILED, State.GONE})


@dataclass(slots=True)
class Kept:
    """What is remembered of a function version while it is deployed, over changes of its code."""

    activity: Activity = field(default_factory=Activity)
    prewarms: int = 0
    prewarms_used: int = 0
    prewarmed: Environment | None = None  # that nobody has used yet
    prewarmed_for_ns: int | None = None  # the end of the busy time after which it was started


class Hands(NamedTuple):
    """What the supervisor does for us. `is_short`: whether the host's memory is."""

    start: Callable[[Pool], Environment]
    retire: Callable[[Pool, Environment], None]
    is_short: Callable[[], bool]


class Upkeep:
    """`memory_budget_mb`: what all environments together may hold, by their functions' memory; None: what the host has.

    At the budget, as when the host is short, idle environments make room. A function that has none gets one all the
    same, so that nobody waits for ever: by that much the budget can be passed while every environment is busy.
    """

    def __init__(
        self, keep_alive: KeepAlive, eviction: Eviction, hands: Hands, *, memory_budget_mb: int | None, clock: Clock
    ) -> None:
        self._keep_alive = keep_alive
        self._eviction = eviction
        self._hands = hands
        self._budget_mb = memory_budget_mb
        self._clock = clock
        self._kept: dict[Key, Kept] = {}
        self._starting: list[Environment] = []
        self.evictions = 0

    @property
    def look_every_ns(self) -> int:
        """How soon after something has become busy `keep_house` wants to be called."""
        return max(self._keep_alive.look_every_ns, HOUSEKEEPING_NS)

    # --- what is seen -------------------------------------------------------------------------------------------------

    def look(self, pool: Pool) -> Kept:
        """Learn from what came to a pool since the last look.

        One that is superseded counts into its successor's meter, and takes nothing new: there is nothing to learn.
        """
        key, lane = key_of(pool), pool.lane
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = Kept()
        if pool.superseded:
            return kept
        ended = lane.meter.invocations if pool.home is None else _served(pool)
        accepted = ended + lane.outstanding
        came = kept.activity.look(accepted, lane.outstanding, self._clock.monotonic_ns())
        if came is not None:
            self._note_use(kept)
            if pool.home is not None:
                return kept  # of a tenant nothing is learned: it is forgotten when it has left
            if came.idle_ns is not None:
                self._keep_alive.observe(key, came.idle_ns, came.others)
            elif came.others:
                self._keep_alive.observe(key, 0, came.others - 1)
        return kept

    def _note_use(self, kept: Kept) -> None:
        if kept.prewarmed is not None and kept.prewarmed.served:
            kept.prewarms_used += 1
            kept.prewarmed = None

    def forget(self, name: str, version: str | None = None) -> None:
        """A function, or one version of it, was deleted."""
        for key in [key for key in self._kept if key[0] == name and version in (None, key[1])]:
            del self._kept[key]
            self._keep_alive.forget(key)

    def left(self, pool: Pool) -> None:
        """A pool is no more. A version stays what it was; a tenant's place is nobody's."""
        if pool.home is not None:
            self._kept.pop(key_of(pool), None)

    def prewarms(self, key: Key) -> tuple[int, int]:
        """How many environments were started ahead of need, and how many of them were used."""
        kept = self._kept.get(key)
        if kept is None:
            return 0, 0
        self._note_use(kept)
        return kept.prewarms, kept.prewarms_used

    def held_mb(self, pools: Iterable[Pool]) -> int:
        """The memory of all environments that are not about to end, as their functions' settings have it."""
        return sum(
            pool.configuration.memory_mb
            for pool in pools
            for environment in pool.lane.environments
            if environment is not None and environment.state not in ENDING
        )

    # --- time passes --------------------------------------------------------------------------------------------------

    def keep_house(self, pools: list[Pool]) -> int:
        """Let go what was kept long enough, and start what will be wanted. Returns when to come again, in ns."""
        now_ns = self._clock.monotonic_ns()
        due_ns = self.look_every_ns if any(pool.lane.active for pool in pools) else REST_NS
        for pool in pools:
            if not pool.superseded:  # such a one is on its way out already
                due_ns = min(due_ns, self._look_over(pool, pools, now_ns))
        return max(due_ns, HOUSEKEEPING_NS)

    def _look_over(self, pool: Pool, pools: list[Pool], now_ns: int) -> int:
        kept, windows = self.look(pool), self._keep_alive.windows(key_of(pool))
        idle = self._idle(pool)
        busy_ns = kept.activity.busy_ns
        if windows.prewarm_ns == 0 or pool.lane.outstanding or busy_ns is None:
            return self._retire_old(pool, kept, idle, windows.end_ns, now_ns)
        idle_ns = now_ns - busy_ns
        if not windows.holds(idle_ns):
            self._retire_all(pool, kept, idle)
            if idle and idle_ns >= windows.end_ns:
                self._forget_uses(pool, kept)
        elif pool.lane.ready + pool.lane.starting == 0 and kept.prewarmed_for_ns != busy_ns:
            if self._starts_in_hand():
                return HOUSEKEEPING_NS
            kept.prewarmed_for_ns = busy_ns
            self._prewarm(pool, kept, pools)
        change_ns = windows.next_change_ns(idle_ns)
        return REST_NS if change_ns is None else change_ns

    def _retire_old(self, pool: Pool, kept: Kept, idle: list[Environment], keep_alive_ns: int, now_ns: int) -> int:
        """By the last use of each: what a burst left behind goes while the function goes on."""
        left = [(environment.used_ns + keep_alive_ns - now_ns, environment) for environment in idle]
        old = [environment for left_ns, environment in left if left_ns <= 0]
        self._retire_all(pool, kept, old)
        if old:
            self._forget_uses(pool, kept)
        return min((left_ns for left_ns, _ in left if left_ns > 0), default=REST_NS)

    def _retire_all(self, pool: Pool, kept: Kept, going: list[Environment]) -> None:
        for environment in going:
            self._note_use(kept)
            if environment is kept.prewarmed:
                kept.prewarmed = None
            self._hands.retire(pool, environment)

    def _forget_uses(self, pool: Pool, kept: Kept) -> None:
        """After an environment went for good: where it was the last, its function's uses count no more."""
        if not any(env is not None and env.state not in ENDING for env in pool.lane.environments):
            kept.activity.restart()

    def _idle(self, pool: Pool) -> list[Environment]:
        """What may be let go, which provisioned ones may not; least recently used first."""
        idle = repair.idle_environments(pool.lane)
        return [env for env in idle if env.state not in ENDING and not is_provisioned(env)]

    # --- ahead of need ------------------------------------------------------------------------------------------------

    def _starts_in_hand(self) -> bool:
        self._starting = [env for env in self._starting if env.state is State.STARTING and not env.is_ready]
        return len(self._starting) >= PREWARMS_STARTING_MAX

    def _prewarm(self, pool: Pool, kept: Kept, pools: list[Pool]) -> None:
        """Start an environment for an invocation that is expected, where nobody must make room for it.

        An init that failed is done again within the next invocation, so there is nothing to do ahead of that.
        """
        lane, memory_mb = pool.lane, pool.configuration.memory_mb
        if pool.late_init or lane.closed or lane.poisoned or lane.quota.limit == 0:
            return
        over = self._budget_mb is not None and self.held_mb(pools) + memory_mb > self._budget_mb
        if over or self._hands.is_short():
            return
        environment = self._hands.start(pool)
        environment.start_code = WARM
        kept.prewarms += 1
        kept.prewarmed = environment
        self._starting.append(environment)

    # --- memory is short ----------------------------------------------------------------------------------------------

    def make_room(self, pool: Pool, wanted: int, pools: list[Pool]) -> int:
        """How many of the environments that a pool wants may be started. Others make room where memory is short."""
        least = 1 if pool.lane.ready + pool.lane.starting == 0 else 0
        if self._hands.is_short():
            self.evict(pools, count=wanted)
            return least
        if self._budget_mb is None:
            return wanted
        memory_mb, free_mb = pool.configuration.memory_mb, self._budget_mb - self.held_mb(pools)
        if free_mb < wanted * memory_mb:
            free_mb += self.evict(pools, memory_mb=wanted * memory_mb - free_mb)
        return min(wanted, max(free_mb // memory_mb, least))

    def trim(self, pools: list[Pool]) -> None:
        """Come back to the budget, after somebody got an environment although there was no room."""
        if self._budget_mb is not None:
            over_mb = self.held_mb(pools) - self._budget_mb
            if over_mb > 0:
                self.evict(pools, memory_mb=over_mb)

    def evict(self, pools: list[Pool], *, count: int = 0, memory_mb: int = 0) -> int:
        """Retire idle environments of any function. Returns their memory in MB.

        Those that a function's own invocations are about to take are not idle for long: they stay.
        """
        found: dict[tuple[Key, int], tuple[Pool, Environment]] = {}
        candidates = []
        for pool in pools:
            spare = max(0, pool.lane.ready - pool.lane.outstanding)
            for environment in self._idle(pool)[:spare]:
                candidate = self._candidate(pool, environment)
                candidates.append(candidate)
                found[candidate.key, candidate.serial] = pool, environment
        going = victims(self._eviction, candidates, self._clock.monotonic_ns(), count=count, memory_mb=memory_mb)
        for candidate in going:
            pool, environment = found[candidate.key, candidate.serial]
            kept = self.look(pool)
            self._retire_all(pool, kept, [environment])
            self._forget_uses(pool, kept)
        self.evictions += len(going)
        return sum(candidate.memory_mb for candidate in going)

    def _candidate(self, pool: Pool, environment: Environment) -> Candidate:
        return Candidate(
            key_of(pool),
            environment.serial,
            environment.used_ns,
            self.look(pool).activity.frequency,
            pool.lane.cold_ns,
            pool.configuration.memory_mb,
        )


def key_of(pool: Pool) -> Key:
    version = pool.lane.name, pool.lane.version
    return version if pool.home is None else (*version, pool.tenant_id)


def _served(pool: Pool) -> int:
    return sum(environment.served for environment in pool.lane.environments if environment is not None)
