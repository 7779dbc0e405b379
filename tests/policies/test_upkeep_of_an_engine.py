"""Policies in a real engine: environments that are let go, started ahead of need, and make room for each other."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from doors import ONE_VCPU_MB, Door, Function, Gate, watched
from servers import service

from engine import errors
from engine.sync import connect

CODE = Path(__file__).parent.parent / "scheduling" / "code"
Open = Callable[..., Door]
Deploy = Callable[..., Function]
Keeps = Callable[[Door], Any]

HISTOGRAM = {"keep_alive_policy": "histogram", "keep_alive_s": 86_400.0}
PERIOD_MINUTES = 10  # expected from the 9th minute, till the 12th


@dataclass(frozen=True)
class Learned:
    """A function that was invoked six times, once every ten minutes, and let go again."""

    door: Door
    kept: Any
    function: Function


@pytest.fixture
def learn(open_door: Open, deploy: Deploy, house: Keeps) -> Callable[..., Learned]:
    def make(**settings: Any) -> Learned:
        door = open_door(**HISTOGRAM, **settings)
        kept, function = house(door), deploy(door, "periodic")
        for number in range(6):
            if number:
                kept.put_forward(PERIOD_MINUTES)
            function()
        with watched(*function.pids()) as wait_gone:
            kept.keep()
            wait_gone()
        kept.keep_until(lambda: function.stats()["environments"] == {"ready": 0, "starting": 0})
        return Learned(door, kept, function)

    return make


@pytest.fixture
def learned(learn: Callable[..., Learned]) -> Learned:
    return learn()


def test_a_function_that_is_invoked_periodically_is_let_go_and_started_ahead_of_need(learned: Learned) -> None:
    kept, function = learned.kept, learned.function
    kept.put_forward(PERIOD_MINUTES - 2)
    kept.keep()
    assert function.stats()["prewarms"] == {"started": 0, "used": 0}
    kept.put_forward(1.5)
    kept.keep_until(lambda: function.stats()["environments"]["ready"] == 1)
    assert function.stats()["prewarms"] == {"started": 1, "used": 0}
    result = function()
    assert (result.start, result.init_ms) == ("warm", None)
    assert result.json() != function.results[0].json()
    stats = function.stats()
    assert (stats["prewarms"], stats["cold_starts"]) == ({"started": 1, "used": 1}, 1)
    assert "Init Duration" not in "".join(function.log(result))


def test_what_was_started_ahead_of_need_in_vain_goes_and_is_not_started_again(learned: Learned) -> None:
    kept, function = learned.kept, learned.function
    kept.put_forward(PERIOD_MINUTES)
    kept.keep_until(lambda: function.stats()["environments"]["ready"] == 1)
    with watched(*function.pids()) as wait_gone:
        kept.put_forward(3)
        kept.keep()
        wait_gone()
    kept.keep()
    assert function.stats()["prewarms"] == {"started": 1, "used": 0}
    assert function().start == "cold"


def test_what_was_started_ahead_of_need_and_died_is_not_started_again(learned: Learned) -> None:
    kept, function = learned.kept, learned.function
    kept.put_forward(PERIOD_MINUTES)
    kept.keep_until(lambda: function.stats()["environments"]["ready"] == 1)
    for pid in function.pids():
        os.kill(pid, signal.SIGKILL)
    kept.keep_until(lambda: function.stats()["environments"]["ready"] == 0)
    kept.keep()
    assert function.stats()["prewarms"] == {"started": 1, "used": 0}


def test_a_functions_uses_count_until_it_goes_for_good(learned: Learned) -> None:
    """Greedy-dual would otherwise evict first what was started ahead of need."""
    kept, function = learned.kept, learned.function
    activity = kept.upkeep._kept["periodic", "$LATEST"].activity
    assert activity.frequency == 6
    kept.put_forward(PERIOD_MINUTES)
    kept.keep_until(lambda: function.stats()["environments"]["ready"] == 1)
    assert activity.frequency == 6
    kept.put_forward(3)
    kept.keep()
    assert activity.frequency == 0


def test_what_runs_on_old_code_is_not_taken_for_arrivals(
    open_door: Open, deploy: Deploy, house: Keeps, gate: Gate
) -> None:
    with ThreadPoolExecutor(1) as threads:
        door = open_door(**HISTOGRAM)
        kept, function = house(door), deploy(door, "waits", "waits")
        call = threads.submit(function, {"gate": gate.address})
        gate.wait_entered()
        door.update_function_configuration("waits", handler="handlers.tells_its_stream")
        function()
        for _ in range(10):
            kept.look()
        gate.open()
        assert call.result().function_error is None
        kept.look()
    assert kept.upkeep._kept["waits", "$LATEST"].activity.frequency <= 3


@pytest.mark.parametrize("why", ["memory is short", "the budget is used up", "reserved concurrency is 0"])
def test_nothing_is_started_ahead_of_need_where_it_must_not(
    learn: Callable[..., Learned], deploy: Deploy, why: str
) -> None:
    learned = learn(memory_budget_mb=ONE_VCPU_MB if "budget" in why else None)
    door, kept, function = learned.door, learned.kept, learned.function
    if "budget" in why:
        deploy(door, "other")()
    elif "concurrency" in why:
        door.put_function_concurrency("periodic", 0)
    kept.memory.short = "short" in why
    kept.put_forward(PERIOD_MINUTES)
    kept.keep()
    assert function.stats()["prewarms"] == {"started": 0, "used": 0}
    assert function.stats()["environments"] == {"ready": 0, "starting": 0}


def test_what_was_learned_outlives_an_update_and_goes_with_the_function(learned: Learned) -> None:
    door, kept, function = learned.door, learned.kept, learned.function
    door.update_function_configuration("periodic", description="changed")
    function()
    with watched(*function.pids()) as wait_gone:
        kept.keep()
        wait_gone()
    door.delete_function("periodic")
    assert (kept.upkeep._kept, kept.upkeep._keep_alive._known) == ({}, {})


def test_while_too_little_is_known_keep_alive_s_holds(open_door: Open, deploy: Deploy) -> None:
    function = deploy(open_door(keep_alive_policy="histogram", keep_alive_s=0.05), "seldom")
    function()
    with watched(*function.pids()) as wait_gone:
        wait_gone()
    assert function().start == "cold"


@pytest.mark.parametrize(("eviction", "goes"), [("greedy-dual", "cheap"), ("least-recently-used", "dear")])
def test_when_memory_is_short_the_order_says_who_makes_room(
    open_door: Open, deploy: Deploy, house: Keeps, eviction: str, goes: str
) -> None:
    door = open_door(eviction=eviction)
    kept = house(door)
    functions = {name: deploy(door, name) for name in ("dear", "cheap", "newcomer")}
    for name, cold_ms in (("dear", 2_000), ("cheap", 2)):
        functions[name]()
        next(pool for pool in kept.pools() if pool.lane.name == name).lane.cold_ns = cold_ms * 1e6
    stays = "cheap" if goes == "dear" else "dear"
    with watched(*functions[goes].pids()) as wait_gone:
        kept.memory.short = True
        assert functions["newcomer"]().start == "cold"
        wait_gone()
        assert kept.upkeep._kept[goes, "$LATEST"].activity.frequency == 0
        kept.memory.short = False
    assert functions[stays]().start == "warm"
    assert functions[goes]().start == "cold"
    assert door.stats()["evictions"] == 1


def test_a_budget_is_kept_by_making_room(open_door: Open, deploy: Deploy) -> None:
    door = open_door(memory_budget_mb=2 * ONE_VCPU_MB)
    functions = [deploy(door, name) for name in ("first", "second", "third", "fourth")]
    for function in functions:
        assert function().start == "cold"
        assert door.stats()["environments_memory_mb"] <= 2 * ONE_VCPU_MB
    assert door.stats()["evictions"] == 2
    assert functions[-1]().start == "warm"


def test_at_the_budget_a_function_gets_no_second_environment(open_door: Open, deploy: Deploy, gate: Gate) -> None:
    with ThreadPoolExecutor(2) as threads:
        door = open_door(memory_budget_mb=ONE_VCPU_MB, scaling="lambda")
        function = deploy(door, "waits", "waits")
        calls = [threads.submit(function, {"gate": gate.address})]
        gate.wait_entered()
        calls.append(threads.submit(function, {"gate": gate.address}))
        gate.open()
        gate.wait_entered()
        gate.open()
        assert calls[0].result().json() == calls[1].result().json()


def test_nobody_waits_for_a_budget_that_others_hold_busy_and_it_is_kept_again_afterwards(
    open_door: Open, deploy: Deploy, house: Keeps, gate: Gate
) -> None:
    with ThreadPoolExecutor(1) as threads:
        door = open_door(memory_budget_mb=ONE_VCPU_MB)
        kept, busy, other = house(door), deploy(door, "waits", "waits"), deploy(door, "other")
        call = threads.submit(busy, {"gate": gate.address})
        gate.wait_entered()
        assert other().start == "cold"
        gate.open()
        assert call.result().function_error is None
    kept.keep_until(lambda: door.stats()["environments_memory_mb"] <= ONE_VCPU_MB)


def test_the_service_takes_the_settings_as_options(tmp_path: Path) -> None:
    options = ["--keep-alive-policy", "histogram", "--eviction", "least-recently-used"]
    with service(tmp_path, *options, "--memory-budget", str(ONE_VCPU_MB)) as (where,), connect(where) as client:
        for name in ("first", "second"):
            client.create_function(name, code=CODE, handler="handlers.echoes", memory_mb=ONE_VCPU_MB)
            assert client.invoke(name, {"n": 1}).start == "cold"
        told = client.stats()
        assert (told["evictions"], told["environments_memory_mb"]) == (1, ONE_VCPU_MB)
        assert told["functions"]["first"]["versions"]["$LATEST"]["prewarms"] == {"started": 0, "used": 0}


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("keep_alive_policy", "clever", "choose one of 'fixed', 'histogram'"),
        ("eviction", "random", "choose one of 'least-recently-used', 'greedy-dual'"),
        ("memory_budget_mb", 127, "give at least 128"),
        ("keep_alive_s", float("inf"), "between 0 and 31,536,000"),
        ("keep_alive_s", -1, "between 0 and 31,536,000"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_with_its_value(
    open_door: Open, setting: str, value: object, says: str
) -> None:
    with pytest.raises(errors.InvalidParameterValueException, match=rf"{setting}={value!r}: .*{says}"):
        open_door(**{setting: value})
