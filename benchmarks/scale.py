"""A thousand functions, two hundred environments: what one warm function costs among them, and what all cost idle.

Two engines of the same kind are open at once, one with one function, one with the crowd; they are measured in turn.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Final, Protocol

from rich.console import Console
from rich.table import Table

from engine.load.cpu import tree_cpu_s
from engine.sync import Engine, connect

from .codecs import MessagePackRpc
from .comparison import Verdict
from .contenders.engine_settings import HANDLER, MEMORY_MB, Answered, answer_of
from .contenders.engine_socket import EngineSocket
from .contract import Bound
from .figures import percentile
from .report import Stamp, show_stamp, targets_table
from .traffic import Connection, one_after_the_other
from .work import CODE, PAYLOAD, check

SLOWER_ALLOWED: Final = 1.2
IDLE_SHARE_ALLOWED: Final = 0.005  # of one CPU
SETTLE_S: Final = 3.0  # until an engine takes it for granted that nothing comes
WARM_UP_SHARE: Final = 0.2

Timed = Callable[[Bound], list[int]]


@dataclass(frozen=True, slots=True)
class Settings:
    """`idle_environments` are awake first, while the idle service is watched for `idle_s`; then all."""

    functions: int = 1_000
    environments: int = 200
    idle_environments: int = 100
    idle_s: float = 12.0
    rounds: int = 7
    seconds: float = 0.4


SMOKE: Final = Settings(functions=12, environments=4, idle_environments=2, idle_s=0.5, rounds=1, seconds=0.1)


@dataclass(slots=True)
class Paired:
    """Median latencies of one warm function, round by round, in µs: as the only one, and in the crowd."""

    alone_us: list[float] = field(default_factory=list)
    crowded_us: list[float] = field(default_factory=list)
    walked_us: list[float] = field(default_factory=list)  # in the crowd, each call to the next function

    @property
    def ratio(self) -> float:
        return median(self.crowded_us) / median(self.alone_us)


@dataclass(slots=True)
class Scaled:
    doors: dict[str, Paired] = field(default_factory=dict)
    idle_cpu_share: float = 0.0


class Surface(Protocol):
    """The part of `engine.sync.Engine` and its client that is used here."""

    def create_function(self, name: str, *, code: Any, handler: str, memory_mb: int = ...) -> object: ...

    def invoke(self, name: str, payload: object = ...) -> Answered: ...

    def stats(self, name: str | None = ...) -> dict[str, Any]: ...


def name_of(number: int) -> str:
    return f"echo-{number:04d}"


def deploy(engine: Surface, functions: int) -> None:
    for number in range(functions):
        engine.create_function(name_of(number), code=CODE, handler=HANDLER, memory_mb=MEMORY_MB)


def awaken(engine: Surface, numbers: range) -> None:
    """Have each of these functions get an environment."""
    for number in numbers:
        check(answer_of(engine.invoke(name_of(number), PAYLOAD)))


def check_alive(engine: Surface, environments: int) -> None:
    """Raises RuntimeError unless there are at least that many environments: else less was measured than is claimed."""
    functions = engine.stats()["functions"].values()
    versions = [version for function in functions for version in function["versions"].values()]
    ready = sum(version["environments"]["ready"] for version in versions)
    if ready < environments:
        raise RuntimeError(f"{ready} environments are alive, not {environments}")


def in_turn(settings: Settings, alone: Timed, crowded: Timed, walked: Timed) -> Paired:
    """All three in each round, in rotating order, each after a glance that has the environment awake."""
    paired = Paired()
    shapes = [(alone, paired.alone_us), (crowded, paired.crowded_us), (walked, paired.walked_us)]
    for number in range(settings.rounds):
        first = number % len(shapes)
        for timed, kept in shapes[first:] + shapes[:first]:
            timed(Bound(settings.seconds * WARM_UP_SHARE))
            kept.append(percentile(timed(Bound(settings.seconds)), 0.50) / 1e3)
    return paired


# --- embedded ---------------------------------------------------------------------------------------------------------


def embedded(settings: Settings) -> Paired:
    with Engine() as alone, Engine() as crowd:
        deploy(alone, 1)
        deploy(crowd, settings.functions)
        awaken(alone, range(1))
        awaken(crowd, range(settings.environments))
        middle, everyone = settings.environments // 2, range(settings.environments)
        paired = in_turn(
            settings,
            lambda bound: _calls(alone, range(1), bound),
            lambda bound: _calls(crowd, range(middle, middle + 1), bound),
            lambda bound: _calls(crowd, everyone, bound),
        )
        check_alive(crowd, settings.environments)
    return paired


def _calls(engine: Engine, numbers: range, bound: Bound) -> list[int]:
    names, samples, clock, invoke = (
        [name_of(number) for number in numbers],
        list[int](),
        time.perf_counter_ns,
        engine.invoke,
    )
    deadline_ns = clock() + int(bound.seconds * 1e9)
    while len(samples) < bound.count and clock() < deadline_ns:
        for name in names:
            began_ns = clock()
            result = invoke(name, PAYLOAD)
            samples.append(clock() - began_ns)
            answer_of(result)
    return samples


# --- over the socket --------------------------------------------------------------------------------------------------


class Alone(EngineSocket):
    """A service without functions, until it is told."""

    def prepare(self, folder: object) -> None:
        pass

    def door(self) -> Any:
        return connect(f"unix:{self.address}")


@contextmanager
def opened(service: Alone) -> Iterator[Alone]:
    service.open()
    try:
        yield service
    finally:
        service.close()


def over_socket(settings: Settings, say: Callable[[str], None]) -> tuple[Paired, float]:
    """As `embedded`; and the share of one CPU that the crowded service used while it had nothing to do."""
    with ExitStack() as held:
        alone, crowd = held.enter_context(opened(Alone())), held.enter_context(opened(Alone()))
        one, many = held.enter_context(alone.door()), held.enter_context(crowd.door())
        deploy(one, 1)
        deploy(many, settings.functions)
        awaken(many, range(settings.idle_environments))
        say(f"{settings.idle_environments} environments idle for {settings.idle_s:g} s")
        idle_share = _idle_share(crowd, settings)
        check_alive(many, settings.idle_environments)
        awaken(one, range(1))
        awaken(many, range(settings.idle_environments, settings.environments))
        middle = settings.environments // 2
        walk = [held.enter_context(_speaking(crowd, number)) for number in range(settings.environments)]
        paired = in_turn(
            settings,
            _timed([held.enter_context(_speaking(alone, 0))]),
            _timed([walk[middle]]),
            _timed(walk),
        )
        check_alive(many, settings.environments)
    return paired, idle_share


def _idle_share(service: Alone, settings: Settings) -> float:
    time.sleep(min(SETTLE_S, settings.idle_s))
    cpu_s, began = tree_cpu_s(service.pid), time.monotonic()
    time.sleep(settings.idle_s)
    return (tree_cpu_s(service.pid) - cpu_s) / (time.monotonic() - began)


@contextmanager
def _speaking(service: Alone, number: int) -> Iterator[Connection]:
    """A connection that calls one function."""
    with service.connect() as connected:
        yield Connection(connected, MessagePackRpc(name_of(number), PAYLOAD, json.loads(PAYLOAD)).dialogue())


def _timed(connections: list[Connection]) -> Timed:
    """Calls on these connections in turn."""
    once = Bound(60.0, 1)

    def timed(bound: Bound) -> list[int]:
        if len(connections) == 1:
            return one_after_the_other(connections[0], bound)
        samples, deadline_ns = list[int](), time.perf_counter_ns() + int(bound.seconds * 1e9)
        while len(samples) < bound.count and time.perf_counter_ns() < deadline_ns:
            for connection in connections:
                samples += one_after_the_other(connection, once)
        return samples

    return timed


# --- the whole --------------------------------------------------------------------------------------------------------


def scale(settings: Settings, say: Callable[[str], None]) -> Scaled:
    scaled = Scaled()
    say("embedded")
    scaled.doors["embedded"] = embedded(settings)
    say("over the socket")
    scaled.doors["socket"], scaled.idle_cpu_share = over_socket(settings, say)
    return scaled


def verdicts(scaled: Scaled, settings: Settings) -> list[Verdict]:
    """The share of the CPU is counted by the kernel's tick of 10 ms: below a second of watching it says nothing."""
    crowd = f"one of {settings.environments} warm among {settings.functions:,} functions"
    told = [
        Verdict(
            f"{door}, p50 of {crowd}",
            f"≤ {SLOWER_ALLOWED}x the only function's",
            f"{paired.ratio:.2f}x ({median(paired.crowded_us):.1f} / {median(paired.alone_us):.1f} µs)",
            paired.ratio <= SLOWER_ALLOWED,
        )
        for door, paired in scaled.doors.items()
    ]
    idle = Verdict(
        f"CPU of the service and {settings.idle_environments} idle environments",
        f"< {IDLE_SHARE_ALLOWED:.1%} of one",
        f"{scaled.idle_cpu_share:.2%} over {settings.idle_s:g} s",
        scaled.idle_cpu_share < IDLE_SHARE_ALLOWED if settings.idle_s >= 10 else None,
    )
    return [*told, idle]


def as_json(scaled: Scaled, stamp: Stamp, settings: Settings) -> dict[str, Any]:
    return {
        "stamp": stamp,
        "settings": asdict(settings),
        **asdict(scaled),
        "targets": [asdict(verdict) for verdict in verdicts(scaled, settings)],
    }


def show(scaled: Scaled, settings: Settings, stamp: Stamp, console: Console) -> None:
    table = Table(title="p50 of a warm call, µs: median over rounds (lowest–highest)")
    for heading in ("", "the only function", "one of the crowd", "another of the crowd each time"):
        table.add_column(heading, justify="right")
    for door, paired in scaled.doors.items():
        shapes = (paired.alone_us, paired.crowded_us, paired.walked_us)
        table.add_row(door, *(f"{median(us):.1f} ({min(us):.1f}–{max(us):.1f})" for us in shapes))
    console.print(table)
    console.print(targets_table(verdicts(scaled, settings)))
    show_stamp(stamp, console)
