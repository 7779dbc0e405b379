"""How many tenants there may be, and what becomes of those that nobody invokes any more."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from apart import APART, of
from doors import PATIENCE_S, Door, Function, Gate, descriptor_links, on_loop

from engine import errors
from engine.core import tenants


def until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.001)


def deployed(door: Door, source: Path) -> Function:
    door.create_function("apart", code=source, **APART)
    return Function(door, "apart")


def test_a_tenant_that_nobody_invokes_leaves_nothing_behind(opened: Callable[..., Door], source: Path) -> None:
    apart = deployed(opened(keep_alive_s=0.05), source)
    door = apart.door
    of(apart, "first")
    until(lambda: apart.stats()["tenants"] == 0)
    gc.collect()
    before = sorted(link for link in descriptor_links() if "engine-apart" in link)
    for n in range(20):
        of(apart, f"tenant-{n}")
    until(lambda: apart.stats()["tenants"] == 0)
    inside = door.inside
    until(lambda: on_loop(inside, lambda: len(inside._supervisor.pools)) == 1)
    dispatch, upkeep = inside._control.dispatch, inside._supervisor.upkeep
    assert (dispatch._tenants._by_function, dispatch._tenants._held, dispatch._tenants._leaving) == ({}, 0, 0)
    assert inside._supervisor._quarters._lodgers == {} and len(upkeep._kept) <= 1
    gc.collect()
    assert sorted(link for link in descriptor_links() if "engine-apart" in link) == before
    assert of(apart, "first")["seen"] == ["first"]


def test_past_the_bound_the_tenant_that_was_unused_longest_leaves(
    opened: Callable[..., Door], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants, "TENANTS_MAX", 3)
    apart = deployed(opened(), source)
    for tenant in ("red", "blue", "green", "red", "yellow"):  # for which blue leaves
        of(apart, tenant)
    assert apart.stats()["tenants"] == 3
    assert [of(apart, tenant)["seen"] for tenant in ("red", "green")] == [["red"] * 3, ["green"] * 2]
    assert of(apart, "blue")["seen"] == ["blue"]


def test_where_all_tenants_are_busy_one_more_is_turned_away(
    opened: Callable[..., Door], source: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants, "TENANTS_MAX", 2)
    apart = deployed(opened(), source)
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(apart, {"wait_at": gate.address}, tenant_id=tenant) for tenant in ("red", "blue")]
        gate.wait_entered(2)
        with pytest.raises(errors.TooManyRequestsException, match="Rate exceeded"):
            apart(tenant_id="green")
        gate.open()
        assert sorted(call.result().json()["tenant"] for call in calls) == ["blue", "red"]
    assert of(apart, "green")["seen"] == ["green"]


def test_a_functions_environments_are_bounded_by_its_concurrency(opened: Callable[..., Door], source: Path) -> None:
    apart = deployed(opened(), source)
    apart.door.put_function_concurrency("apart", 2)
    for n in range(12):
        of(apart, f"tenant-{n}")
        until(lambda: sum(apart.stats()["environments"].values()) <= 5)
    until(lambda: apart.stats()["tenants"] == 5)
    assert of(apart, "tenant-11")["seen"] == ["tenant-11"] * 2


def test_concurrency_is_the_functions_over_all_tenants(opened: Callable[..., Door], source: Path, gate: Gate) -> None:
    apart = deployed(opened(), source)
    apart.door.put_function_concurrency("apart", 2)
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(apart, {"wait_at": gate.address}, tenant_id=tenant) for tenant in ("red", "blue")]
        gate.wait_entered(2)
        assert apart.stats()["concurrency"] == 2
        with pytest.raises(errors.TooManyRequestsException) as refused:
            apart(tenant_id="green")
        assert refused.value.reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
        gate.open()
        assert len([call.result() for call in calls]) == 2
    assert apart.stats()["throttles"] == 1
    assert of(apart, "green")["seen"] == ["green"]


def test_tenants_that_come_and_go_all_the_time_always_get_their_answers(
    opened: Callable[..., Door], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants, "TENANTS_MAX", 8)
    apart = deployed(opened(keep_alive_s=0.001), source)

    def calls(caller: int) -> None:
        for n in range(25):
            answer = of(apart, f"{caller}-{n % 7}")
            assert set(answer["seen"]) == {f"{caller}-{n % 7}"}

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(calls, caller) for caller in range(4)]:
            done.result()
    assert apart.stats()["invocations"] == 100
    until(lambda: apart.stats()["tenants"] == 0)


def test_a_deleted_function_takes_its_tenants_with_it(opened: Callable[..., Door], source: Path) -> None:
    apart = deployed(opened(), source)
    for tenant in ("red", "blue"):
        of(apart, tenant)
    apart.door.delete_function("apart")
    inside = apart.door.inside
    until(lambda: on_loop(inside, lambda: inside._supervisor.pools) == [])
    assert inside._control.dispatch._tenants._by_function == {}
    with pytest.raises(errors.ResourceNotFoundException):
        apart(tenant_id="red")
