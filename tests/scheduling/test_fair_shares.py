"""Functions beside each other: none waits for another's queue, and what is not invoked costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from doors import DOORS, Door, Function, descriptor_links

from engine import errors

Open = Callable[..., Door]
Deploy = Callable[..., Function]


def regions() -> int:
    """Shared regions that this process holds."""
    return sum("memfd:engine-" in link for link in descriptor_links())


def test_a_queue_of_two_hundred_thousand_does_not_hold_another_function_up(deploy: Deploy) -> None:
    outstanding = 200_000
    with DOORS["uvloop"](account_concurrency=outstanding + 100) as door:
        hog, other = deploy(door, "spins"), deploy(door, "echoes")
        other({"n": -1})

        async def compare() -> tuple[list[Any], int]:
            loop, payload = asyncio.get_running_loop(), b'{"us":100}'
            flood = [loop.create_task(door.inside.invoke("spins", payload)) for _ in range(outstanding)]
            results = [(await door.inside.invoke("echoes", {"n": n})).json() for n in range(200)]
            left = sum(not call.done() for call in flood)
            await door.inside.close()
            ends = await asyncio.gather(*flood, return_exceptions=True)
            assert all(
                isinstance(end, errors.EngineClosedError) or end.function_error is None  # type: ignore[union-attr]
                for end in ends
            )
            return results, left

        results, left = asyncio.run_coroutine_threadsafe(compare(), door.loop).result()  # type: ignore[union-attr]
        assert results == [{"n": n} for n in range(200)]
        assert left > 0
        assert hog.name == "spins"


def test_a_long_queue_does_not_hold_another_function_up_on_the_blocking_door(deploy: Deploy) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(200) as threads, DOORS["blocking"](scaling="adaptive") as door:
        hog, other = deploy(door, "spins"), deploy(door, "echoes")
        flood = [threads.submit(hog, b'{"us":20000}') for _ in range(2_000)]
        assert [other({"n": n}).json() for n in range(200)] == [{"n": n} for n in range(200)]
        assert sum(not call.done() for call in flood) > 0
        for call in flood:
            call.cancel()


def test_two_engines_side_by_side_know_nothing_of_each_other(open_door: Open, deploy: Deploy) -> None:
    first, second = open_door(account_concurrency=1), open_door(account_concurrency=2)
    one, two = deploy(first, "tells_its_stream"), deploy(second, "tells_its_stream", name="other")
    assert one().json() != two().json()
    with pytest.raises(errors.ResourceNotFoundException):
        first.invoke("other")
    assert [configuration.function_name for configuration in second.list_functions()] == ["other"]
    first.delete_function("tells-its-stream")
    assert two().start == "warm"
    assert set(second.stats()["functions"]) == {"other"}


def test_an_engine_works_on_when_another_has_closed(open_door: Open, deploy: Deploy) -> None:
    door = open_door()
    function = deploy(door, "tells_its_stream")
    before = function().json()
    with DOORS["blocking"]() as other:
        deploy(other, "tells_its_stream")()
    after = function()
    assert (after.json(), after.start) == (before, "warm")


def test_two_hundred_functions_each_answer_with_their_own(open_door: Open, deploy: Deploy) -> None:
    door = open_door()
    functions = [deploy(door, "echoes", name=f"function-{n}") for n in range(200)]
    results = [function({"n": n}) for n, function in enumerate(functions)]
    assert [result.json() for result in results] == [{"n": n} for n in range(200)]
    assert {result.start for result in results} == {"cold"}
    told = door.stats()["functions"]
    assert {name: about["versions"]["$LATEST"]["invocations"] for name, about in told.items()} == {
        function.name: 1 for function in functions
    }


def test_a_thousand_functions_cost_no_region_until_they_are_invoked(deploy: Deploy) -> None:
    with DOORS["blocking"]() as door:
        before = regions()
        functions = [deploy(door, "echoes", name=f"function-{n}") for n in range(1_000)]
        assert regions() == before
        assert functions[500]({"n": 500}).json() == {"n": 500}
        assert regions() == before + 1
