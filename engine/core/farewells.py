"""F3: environments with extensions end in their own time: these are told why, and have up to two seconds.

What an environment says of itself is not believed for longer than `FAREWELL_S`: then it is killed, whatever it does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from .._ext import leaving, repair
from .._ext.environment import Environment
from ..states import State
from .pools import Pool

FAREWELL_S: Final = 2.5  # the two seconds that Lambda gives, and what a busy host adds


class Farewells:
    """`after(seconds, call)` runs a call then; `knows(environment)`: whether it has not ended; `kill` ends it."""

    def __init__(
        self,
        after: Callable[[float, Callable[[], object]], object],
        knows: Callable[[Environment], bool],
        kill: Callable[[Environment], object],
    ) -> None:
        self._after, self._knows, self._kill = after, knows, kill

    def wants(self, pool: Pool, environment: Environment) -> bool:
        """Whether it is to be given time before it ends."""
        return (
            pool.started is not None
            and environment.state in (State.READY, State.RETIRING)
            and leaving.wants_farewell(pool.lane, environment)
        )

    def retire(self, pool: Pool, environment: Environment) -> None:
        """Have it end when it is idle, and not later than that."""
        leaving.retire(pool.lane, environment)
        if pool.started is not None and leaving.wants_farewell(pool.lane, environment):
            self._after(FAREWELL_S, partial(self._end_idle, pool, environment))

    def _end_idle(self, pool: Pool, environment: Environment) -> None:
        if not self._knows(environment) or environment.state is not State.RETIRING:
            return
        if environment in repair.idle_environments(pool.lane):
            self._kill(environment)
        else:  # it has an invocation, which has a limit of its own
            self._after(FAREWELL_S, partial(self._end_idle, pool, environment))

    def time_out(self, pool: Pool, environment: Environment) -> bool:
        """Its invocation is over by the clock. Whether it ends by itself now; else it is to be killed."""
        if not self.wants(pool, environment):
            return False
        leaving.dismiss(pool.lane, environment, how=leaving.TIMED_OUT)
        self.end_soon(environment)
        return True

    def note(self, pool: Pool) -> None:
        """See to those that have begun to end by themselves: nobody counts on them, and they are not frozen."""
        if pool.started is None:
            return
        for environment in leaving.leavers(pool.lane):
            self.end_soon(environment)

    def end_soon(self, environment: Environment) -> None:
        """Kill it, should it be there still when its time is over."""
        self._after(FAREWELL_S, partial(self._end, environment))

    def _end(self, environment: Environment) -> None:
        if self._knows(environment) and environment.state is not State.KILLING:
            self._kill(environment)

    def say(self, pools: list[Pool]) -> list[Environment]:
        """The engine closes: tell all that have extensions to end now. Which they are."""
        told = []
        for pool in pools:
            for environment in [each for each in pool.lane.environments if each is not None]:
                if self.wants(pool, environment):
                    leaving.retire(pool.lane, environment, how=leaving.NOW)
                    told.append(environment)
        return told
