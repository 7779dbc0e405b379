"""What functions that want all the CPU there is get, held against what their memory is due. One thread for each."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.config import MEMORY_PER_VCPU_MB
from engine.settings import usable_cpus
from engine.sync import Engine

from .contenders.engine_settings import answer_of
from .starts import FUNCTIONS

SIZES_MB: Final = (128, 512, 1_769, 3_538)


@dataclass(frozen=True, slots=True)
class Share:
    """CPUs on average. `beside`: sizes of the functions that ran at the same time, its own among them."""

    memory_mb: int
    beside: tuple[int, ...]
    due: float
    got: float

    @property
    def off(self) -> float:
        """How far it is from what was due, as a part of that."""
        return abs(self.got / self.due - 1)

    @property
    def is_promised(self) -> bool:
        """Whether there was enough for all: how the kernel divides what is too little, nobody promises to 5 %."""
        return self.due == due_alone(self.memory_mb)


def groups(cpus: int) -> list[tuple[int, ...]]:
    """Each size alone that fits; as many at once as fit; and two sizes that are due more than there is."""
    alone = [(size,) for size in SIZES_MB if due_alone(size) <= cpus]
    together: tuple[int, ...] = ()
    for size in SIZES_MB:
        if sum(map(due_alone, (*together, size))) <= cpus:
            together += (size,)
    pair = (SIZES_MB[2], SIZES_MB[3])
    pairs = int(cpus // sum(map(due_alone, pair))) + 1
    return [*alone, together, pair * pairs]


def due_alone(memory_mb: int) -> float:
    """CPUs that Lambda gives to this much memory."""
    return memory_mb / MEMORY_PER_VCPU_MB


def due(group: Sequence[int], cpus: int) -> list[float]:
    """Of each one in a group, where all want everything: less for all alike where there is not enough."""
    wanted = [due_alone(size) for size in group]
    return [each * min(1.0, cpus / sum(wanted)) for each in wanted]


def shares(seconds: float) -> list[Share]:
    """All groups, one after the other. Raises RuntimeError where a function fails."""
    cpus = usable_cpus()
    with Engine() as engine:
        most = max(group.count(size) for group in groups(cpus) for size in group)
        for size in SIZES_MB:
            for number in range(most):
                _deploy(engine, size, number, seconds)
        return [share for group in groups(cpus) for share in _spin(engine, group, seconds, cpus)]


def _deploy(engine: Engine, size: int, number: int, seconds: float) -> None:
    engine.create_function(
        name_of(size, number), code=FUNCTIONS / "spins.py", handler="spins.handler", memory_mb=size,
        timeout_s=int(seconds * 4) + 60,
    )  # fmt: skip


def name_of(size: int, number: int) -> str:
    return f"spins-{size}-{number}"


def _spin(engine: Engine, group: tuple[int, ...], seconds: float, cpus: int) -> list[Share]:
    """Each is warm, and has its limit, before all begin at once."""
    names = [name_of(size, group[:place].count(size)) for place, size in enumerate(group)]
    for name in names:
        _used(engine, name, 1, 0.0)
    got: dict[int, float] = {}
    start = threading.Barrier(len(group))

    def spin(place: int) -> None:
        start.wait()
        got[place] = _used(engine, names[place], max(1, round(due_alone(group[place]))), seconds)

    threads = [threading.Thread(target=spin, args=(place,)) for place in range(len(group))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(got) < len(group):
        raise RuntimeError(f"of functions with {group} MB only {len(got)} have answered")
    wanted = due(group, cpus)
    return [Share(size, group, wanted[place], got[place]) for place, size in enumerate(group)]


def _used(engine: Engine, name: str, processes: int, seconds: float) -> float:
    """CPUs that it used on average."""
    result = engine.invoke(name, {"processes": processes, "seconds": seconds})
    answer_of(result)
    told = result.json()
    return float(told["cpu_s"]) / max(float(told["took_s"]), 1e-9)
