"""Idle environments end: after their time, or sooner when memory is short. In which order: tests/policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from doors import Door, Function, Gate, watched

Open = Callable[..., Door]
Deploy = Callable[..., Function]


class ShortMemory:
    """Stands for the host's memory: a real shortage would take the whole machine down with it."""

    short = False

    def is_short(self) -> bool:
        return self.short


@contextmanager
def short_of_memory(door: Door) -> Iterator[None]:
    memory = door.inside._supervisor._memory = ShortMemory()
    memory.short = True
    yield
    memory.short = False


def test_an_idle_environment_ends_after_keep_alive_and_the_next_start_is_cold(open_door: Open, deploy: Deploy) -> None:
    function = deploy(open_door(keep_alive_s=0.05), "tells_its_pid")
    first = function()
    with watched(*function.pids()) as wait_gone:
        wait_gone()
    second = function()
    assert (first.start, second.start) == ("cold", "cold")
    assert first.json() != second.json()


def test_a_busy_environment_outlives_keep_alive(open_door: Open, deploy: Deploy, gate: Gate, calls: Any) -> None:
    door = open_door(keep_alive_s=0.05)
    busy, idle = deploy(door, "waits"), deploy(door, "tells_its_pid")
    under_way = calls.start(busy, {"gate": gate.path})
    gate.wait_entered()
    pids = busy.pids()
    idle()
    with watched(*idle.pids()) as wait_gone:
        wait_gone()
    assert busy.pids() == pids
    gate.open()
    assert under_way[0].result().json() == pids[0]


def test_every_idle_environment_of_a_burst_ends(open_door: Open, deploy: Deploy, gate: Gate, calls: Any) -> None:
    function = deploy(open_door(keep_alive_s=0.05, scaling="lambda"), "waits")
    under_way = calls.start(function, {"gate": gate.path}, 6)
    gate.wait_entered(6)
    with watched(*function.pids()) as wait_gone:
        gate.open()
        assert len({call.result().json() for call in under_way}) == 6
        wait_gone()


def test_when_memory_is_short_the_longest_unused_environment_makes_room(open_door: Open, deploy: Deploy) -> None:
    door = open_door(eviction="least-recently-used")
    oldest, newer, newcomer = (deploy(door, "tells_its_pid", name=name) for name in ("oldest", "newer", "newcomer"))
    newer()
    oldest()
    newer()
    with watched(*oldest.pids()) as wait_gone, short_of_memory(door):
        assert newcomer().start == "cold"
        wait_gone()
    assert newer().start == "warm"
    assert oldest().start == "cold"


def test_when_memory_is_short_a_busy_function_gets_no_second_environment(
    open_door: Open, deploy: Deploy, gate: Gate, calls: Any
) -> None:
    door = open_door(scaling="lambda")
    function = deploy(door, "waits")
    first = calls.start(function, {"gate": gate.path})
    gate.wait_entered()
    with short_of_memory(door):
        second = calls.start(function, {"gate": gate.path})
        gate.open()
        gate.wait_entered()
        gate.open()
        assert first[0].result().json() == second[0].result().json()
    assert function.stats()["cold_starts"] == 1


@pytest.mark.parametrize("scaling", ["adaptive", "lambda"])
def test_nothing_is_lost_when_environments_end_between_invocations_all_the_time(
    open_door: Open, deploy: Deploy, scaling: str
) -> None:
    function = deploy(open_door(keep_alive_s=0, scaling=scaling), "echoes")
    assert [function({"n": n}).json() for n in range(100)] == [{"n": n} for n in range(100)]
    assert function.stats()["invocations"] == 100
