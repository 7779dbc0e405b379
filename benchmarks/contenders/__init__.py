"""Contenders by name. Each lives in its own file and is imported only when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from ..contract import Contender

CONTENDERS: Final = {
    "engine": "engine_blocking:EngineBlocking",
    "engine-async": "engine_async:EngineAsync",
    "ppe": "process_pool_executor:ForkExecutor",
    "ppe-spawn": "process_pool_executor:SpawnExecutor",
    "pool": "multiprocessing_pool:MultiprocessingPool",
    "loky": "loky_executor:LokyExecutor",
    "engine-socket": "engine_socket:EngineSocket",
    "engine-http": "engine_http:EngineHttp",
    "redis": "redis_server:RedisServer",
    "redis-c": "redis_server:RedisOwnClient",
    "redis-c-64": "redis_server:RedisOwnClientPipelining",
    "uvicorn": "uvicorn_server:UvicornHello",
    "uvicorn-pool": "uvicorn_server:UvicornPool",
    "runtime-api": "runtime_api:RuntimeApi",
    "engine-runtime-api": "engine_runtime_api:EngineRuntimeApi",
    "ray": "ray_actors:RayActors",
    "eventfd": "eventfd_floor:EventfdFloor",
    "eventfd-work": "eventfd_floor:EventfdWork",
    "eventfd-across": "eventfd_floor:EventfdAcross",
}
# What a name on the command line stands for, where it is more than itself.
GROUPS: Final = {"engine": ("engine", "engine-async")}
FLOORS: Final = ("eventfd", "eventfd-work", "eventfd-across")
DEFAULT_POOLS: Final = "engine,ppe,pool,loky"
DEFAULT_PEERS: Final = (
    "engine-socket,engine-http,redis,redis-c,redis-c-64,engine,ppe,uvicorn,uvicorn-pool,"
    "engine-runtime-api,runtime-api,ray"
)


def chosen(peers: str) -> list[str]:
    """Contenders for a comma-separated list such as `DEFAULT_POOLS`, each once; at least one."""
    names: list[str] = []
    for name in filter(None, (part.strip() for part in peers.split(","))):
        if name not in CONTENDERS:
            raise ValueError(f"no contender is called {name!r}; there are {', '.join(CONTENDERS)}")
        names.extend(GROUPS.get(name, (name,)))
    if not names:
        raise ValueError(f"no contender is named; there are {', '.join(CONTENDERS)}")
    return list(dict.fromkeys(names))


def load(name: str) -> Contender:
    """A new, closed contender. Raises ImportError where its library is not installed."""
    module, kind = CONTENDERS[name].split(":")
    return cast("type[Contender]", getattr(import_module(f".{module}", __name__), kind))()
