"""How many environments real invocations get, and which one gets the next."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest
from doors import Door, Function, Gate

Open = Callable[..., Door]
Deploy = Callable[..., Function]


def environments(function: Function) -> int:
    """How many there are: one that an invocation has reached may still count as starting."""
    return sum(function.stats()["environments"].values())


@pytest.mark.parametrize("count", [1, 8])
def test_lambda_scaling_gives_each_invocation_under_way_an_environment_of_its_own(
    open_door: Open, deploy: Deploy, gate: Gate, calls: Any, count: int
) -> None:
    function = deploy(open_door(scaling="lambda"), "waits")
    under_way = calls.start(function, {"gate": gate.address}, count)
    gate.wait_entered(count)
    assert environments(function) == count
    gate.open()
    results = [call.result() for call in under_way]
    streams = {result.json() for result in results}
    assert len(streams) == count
    assert {result.start for result in results} == {"cold"}
    again = calls.start(function, {"gate": gate.address}, count)
    gate.wait_entered(count)
    gate.open()
    warm = [call.result() for call in again]
    assert {result.json() for result in warm} == streams
    assert {result.start for result in warm} == {"warm"}
    assert environments(function) == count


def test_lambda_scaling_starts_another_only_when_all_are_busy(
    open_door: Open, deploy: Deploy, gate: Gate, calls: Any
) -> None:
    function = deploy(open_door(scaling="lambda"), "waits")
    for count in (1, 2, 3):
        under_way = calls.start(function, {"gate": gate.address}, count)
        gate.wait_entered(count)
        assert environments(function) == count
        gate.open()
        starts = sorted(call.result().start for call in under_way)
        assert starts == ["cold"] + ["warm"] * (count - 1)


def test_invocations_one_after_the_other_stay_on_one_environment(open_door: Open, deploy: Deploy) -> None:
    for scaling in ("adaptive", "lambda"):
        function = deploy(open_door(scaling=scaling), "tells_its_stream")
        assert len({function().json() for _ in range(200)}) == 1
        assert function.stats()["cold_starts"] == 1


def test_a_burst_of_short_invocations_stays_on_few_environments(open_door: Open, deploy: Deploy, calls: Any) -> None:
    function = deploy(open_door(scaling="adaptive"), "tells_its_stream")
    streams = {call.result().json() for call in calls.start(function, count=2_000)}
    assert len(streams) <= max(8, 4 * (os.cpu_count() or 1)) < 64  # 64 callers at once: Lambda would start 64


def test_invocations_that_wait_get_further_environments(
    open_door: Open, deploy: Deploy, gate: Gate, calls: Any
) -> None:
    function = deploy(open_door(scaling="adaptive"), "waits")
    under_way = calls.start(function, {"gate": gate.address}, 12)
    gate.wait_entered(12)
    assert environments(function) == 12
    gate.open()
    assert len({call.result().json() for call in under_way}) == 12


def test_invocations_that_wait_get_further_environments_even_where_earlier_ones_used_the_cpu(
    open_door: Open, deploy: Deploy, gate: Gate, calls: Any
) -> None:
    function = deploy(open_door(scaling="adaptive"), "spins_or_waits")
    for _ in range(20):
        function({"us": 2_000})
    under_way = calls.start(function, {"gate": gate.address}, 12)
    gate.wait_entered(12)
    gate.open()
    assert len({call.result().json() for call in under_way}) == 12


def test_no_more_environments_than_the_reservation(open_door: Open, deploy: Deploy, gate: Gate, calls: Any) -> None:
    door = open_door(scaling="lambda")
    function = deploy(door, "waits")
    door.put_function_concurrency("waits", 3)
    calls.start(function, {"gate": gate.address}, 3)
    gate.wait_entered(3)
    assert environments(function) == 3


def test_more_outstanding_than_the_region_has_slots_are_all_answered_once(deploy: Deploy) -> None:
    from doors import DOORS

    with DOORS["uvloop"](account_concurrency=6_000) as door:
        function = deploy(door, "echoes")

        async def flood() -> list[Any]:
            return await asyncio.gather(*(door.inside.invoke("echoes", {"n": n}) for n in range(5_000)))

        results = asyncio.run_coroutine_threadsafe(flood(), door.loop).result()
        assert [result.json() for result in results] == [{"n": n} for n in range(5_000)]
        assert len({result.request_id for result in results}) == 5_000
        assert function.stats()["invocations"] == 5_000
        assert function.stats()["concurrency"] == 0


def test_large_payloads_that_wait_for_a_slot_are_all_answered_with_their_own(deploy: Deploy) -> None:
    from doors import DOORS

    with DOORS["asyncio"](account_concurrency=2_000) as door:
        deploy(door, "echoes")

        async def flood() -> list[Any]:
            texts = (b'"%d%s"' % (n, b"x" * 5_000) for n in range(1_500))
            return await asyncio.gather(*(door.inside.invoke("echoes", text) for text in texts))

        results = asyncio.run_coroutine_threadsafe(flood(), door.loop).result()
        assert [result.json() for result in results] == [f"{n}" + "x" * 5_000 for n in range(1_500)]
