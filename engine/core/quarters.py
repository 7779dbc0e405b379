"""F3: what belongs to a function version, or a tenant of it, and not to one environment: user and network namespace."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Any, Final

from ..errors import EngineError
from ..runtimes import catalog
from ..runtimes.cache import made_cache_folder
from .pools import Pool

FIRST_UID: Final = 1_900_000_000  # above every range that distributions and systemd hand out, below 2^31
UIDS: Final = 4_096  # as many versions and tenants may have environments at once


class Quarters:
    """Gives a pool its user before its first environment, and takes back what it had when it is gone."""

    def __init__(self) -> None:
        self._free = list(range(FIRST_UID + UIDS - 1, FIRST_UID - 1, -1))
        self._lodgers: dict[int, Pool] = {}

    def lodge(self, pool: Pool) -> None:
        """See to it that the pool has a user. EngineError when none is left."""
        if pool.uid >= 0:
            return
        if not self._free:
            raise EngineError(f"{UIDS} function versions and tenants have environments: no user is left for one more")
        pool.uid = self._free.pop()
        self._lodgers[pool.uid] = pool

    def keep_namespace(self, pool: Pool, fd: int) -> None:
        """The network namespace that an environment made; later ones of its pool enter it."""
        if pool.namespace_fd >= 0 or pool.uid not in self._lodgers:
            os.close(fd)  # two environments began at once: each has its own, the next ones enter the first
        else:
            pool.namespace_fd = fd

    def leave(self, pool: Pool) -> None:
        """None of the pool's environments is left, and none will come."""
        if self._lodgers.pop(pool.uid, None) is not None:
            self._free.append(pool.uid)
        if pool.namespace_fd >= 0:
            os.close(pool.namespace_fd)
        pool.uid = pool.namespace_fd = -1

    def lodge_one(self) -> int:
        """A user for one environment that has no function yet. EngineError when none is left."""
        if not self._free:
            raise EngineError(f"all {UIDS} users are in use")
        return self._free.pop()

    def leave_one(self, uid: int) -> None:
        """That environment is no more."""
        self._free.append(uid)

    def close(self) -> None:
        """All pools leave."""
        for pool in list(self._lodgers.values()):
            self.leave(pool)


def jail_plan(wanted: str, store: Path, runtime_packages: Path) -> dict[str, Any]:
    """The fields of `sandbox.jail.Plan` for an engine on this interpreter."""
    try:
        cache_folder = str(made_cache_folder())
    except OSError:  # a user without a home: what would have to be fetched says so
        cache_folder = ""
    stdlib = sysconfig.get_path("stdlib")  # without any site-packages
    folders = [stdlib, sysconfig.get_config_var("DESTSHARED") or f"{stdlib}/lib-dynload"]
    return {
        "wanted": wanted,
        "store": os.path.realpath(store),
        "packages": {entry.name: os.path.realpath(entry) for entry in runtime_packages.iterdir()},
        "prefix": os.path.realpath(sys.base_prefix),
        "executable": os.path.realpath(sys.executable),
        "stdlib": [os.path.realpath(folder) for folder in folders],
        "uids": (FIRST_UID, UIDS),
        "bootstraps": os.path.realpath(catalog.BOOTSTRAPS),
        "cache": cache_folder,
        "homes": catalog.homes(),
    }
