"""F3: tenants of functions that keep them apart: which have a lane of their own now, and how many may.

A tenant's lane is made with its first invocation and goes when its last environment has: tenants that nobody invokes
leave nothing behind. BOUNDS. Of one function there are ENVIRONMENTS_PER_CONCURRENCY environments for each unit of
concurrency that it may use, as in Lambda; past that its idle ones of other tenants go, least recently used first. Of
all functions together TENANTS_MAX have a lane, because each needs a user of its own; past that the lane that was
unused longest goes, and where all are busy the caller is turned away, as Lambda does at the first bound already.
https://docs.aws.amazon.com/lambda/latest/dg/tenant-isolation-troubleshooting.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .._ext.meter import Quota
from ..errors import InvalidParameterValueException, TooManyRequestsException
from .pools import Pool
from .upkeep import ENDING

ENVIRONMENTS_PER_CONCURRENCY: Final = 2.5
TENANTS_MAX: Final = 3_584  # of `quarters.UIDS`; the rest is for versions, and for tenants that are about to leave
LEAVING_MAX: Final = 256
MISSING: Final = (
    "The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and try again."
)
UNEXPECTED: Final = (
    "The invoked function is not enabled with tenancy configuration. Remove the tenant ID from your request and try "
    "again."
)


class Tenants:
    """The pools of all tenants, from their making until the last of their environments is gone."""

    def __init__(self) -> None:
        self._by_function: dict[str, set[Pool]] = {}
        self._held = 0
        self._leaving = 0

    def of(self, function: str) -> set[Pool]:
        """Those of all versions of a function: a set that changes with them, and is not empty for long."""
        return self._by_function.setdefault(function, set())

    def all(self) -> list[Pool]:
        return [pool for pools in list(self._by_function.values()) for pool in list(pools)]

    def choose_leaver(self) -> Pool | None:
        """The tenant that must leave before one more may come; None where there is room.

        Raises TooManyRequestsException where none can leave, or too many are about to.
        """
        if self._held - self._leaving < TENANTS_MAX:
            return None
        idle = [pool for pool in self.all() if pool.tenant_is_current() and pool.lane.outstanding == 0]
        if not idle or self._leaving >= LEAVING_MAX:
            raise TooManyRequestsException("Rate exceeded", reason="ConcurrentInvocationLimitExceeded")
        return min(idle, key=_used_ns)

    def admit(self, pool: Pool) -> None:
        """A tenant has a lane."""
        self.of(pool.lane.name).add(pool)
        self._held += 1

    def leaves(self, pool: Pool) -> bool:
        """Nobody finds its lane any more: whether somebody did before."""
        if pool.home is None or not pool.tenant_is_current():
            return False
        del pool.home.tenants[pool.tenant_id]
        self._leaving += 1
        return True

    def gone(self, pool: Pool) -> None:
        """The last environment of a tenant that left is no more."""
        pools = self._by_function.get(pool.lane.name, set())
        if pool in pools:
            pools.discard(pool)
            self._held -= 1
            self._leaving -= 1
            if not pools:
                del self._by_function[pool.lane.name]


def environments_left(quota: Quota, pools: Iterable[Pool]) -> int:
    """How many more environments all tenants of a function may have; those that are about to end count no more."""
    most = max(1, int(quota.most * ENVIRONMENTS_PER_CONCURRENCY))
    environments = (each for pool in pools for each in pool.lane.environments if each is not None)
    return most - sum(each.state not in ENDING for each in environments)


def missing_tenant() -> InvalidParameterValueException:
    return InvalidParameterValueException(MISSING)


def unexpected_tenant() -> InvalidParameterValueException:
    return InvalidParameterValueException(UNEXPECTED)


def _used_ns(pool: Pool) -> int:
    return max((each.used_ns for each in pool.lane.environments if each is not None), default=0)
