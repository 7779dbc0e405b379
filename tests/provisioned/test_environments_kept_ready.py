"""Environments that are initialised before anyone asks: what runs on them, what replaces them, what lets them go."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from doors import Door, Gate, environment_pid, watched

from engine import errors
from engine.core.provisioned import BACK_OFF_FIRST_S

Open = Callable[..., Door]
Publish = Callable[..., Any]


@pytest.fixture
def needed() -> Iterator[socket.socket]:
    """Where nobody listens until a test does."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield nobody


def test_invocations_run_on_them_without_a_cold_start(open_door: Open, publish: Publish) -> None:
    version = publish(open_door())
    told = version.door.put_provisioned_concurrency_config("f", "1", 2)
    assert (told.requested_provisioned_concurrent_executions, told.status_reason) == (2, None)
    assert told.function_arn == "arn:aws:lambda:us-east-1:000000000000:function:f:1"
    told = version.once("READY")
    assert told.available_provisioned_concurrent_executions == told.allocated_provisioned_concurrent_executions == 2
    results = [version() for _ in range(3)]
    for result in results:
        stream, kind = result.json()
        assert (kind, result.start, result.init_ms) == ("provisioned-concurrency", "provisioned", None)
        assert environment_pid(version.door, stream) in version.pids()
        assert result.billed_ms == max(1, -(-int(result.duration_ms * 1e6) // 1_000_000))
    assert version("", qualifier="$LATEST").json()[1] == "on-demand"
    stats = version.stats()
    assert (stats["cold_starts"], stats["warm_starts"], stats["provisioned_starts"]) == (0, 0, 3)


def test_the_log_shows_the_init_of_each_and_no_init_duration(open_door: Open, publish: Publish) -> None:
    version = publish(open_door())
    version.provision(2)
    version()
    log = version.log()
    assert [line.split(" ")[0] for line in log] == [*["INIT_START", "initialising"] * 2, "START", "END", "REPORT"]
    assert "Init Duration" not in log[-1]


def test_what_is_beyond_them_spills_over_to_environments_on_demand(
    open_door: Open, publish: Publish, callers: Any, gate: Gate
) -> None:
    version = publish(open_door())
    version.provision(2)
    running = callers.start(version, gate.address, 3)
    gate.wait_entered(3)
    told = version.stats()["provisioned"]
    assert (told["requested"], told["available"], told["in_use"], told["utilization"]) == (2, 2, 2, 1.0)
    gate.open()
    results = [call.result() for call in running]
    assert sorted(result.start for result in results) == ["cold", "provisioned", "provisioned"]
    assert sorted(result.json()[1] for result in results) == ["on-demand", *["provisioned-concurrency"] * 2]
    told = version.stats()["provisioned"]
    assert (told["invocations"], told["spillover_invocations"], told["in_use"]) == (2, 1, 0)


def test_one_that_is_killed_is_replaced_whether_it_was_of_use_or_not(open_door: Open, publish: Publish) -> None:
    version = publish(open_door())
    version.provision(2)
    used = environment_pid(version.door, version().json()[0])
    (idle,) = version.pids() - {used}
    for pid in (used, idle):
        with watched(pid) as wait_gone:
            os.kill(pid, signal.SIGKILL)
            wait_gone()
        version.once_told(lambda _, gone=pid: gone not in version.pids())
        version.once("READY")
    assert len(version.pids()) == 2
    assert version().start == "provisioned"


def test_one_that_dies_within_an_invocation_is_replaced(
    open_door: Open, publish: Publish, callers: Any, gate: Gate
) -> None:
    version = publish(open_door())
    version.provision(1)
    (pid,) = version.pids()
    (running,) = callers.start(version, gate.address)
    gate.wait_entered()
    os.kill(pid, signal.SIGKILL)
    result = running.result()
    assert (result.start, result.json()["errorType"]) == ("provisioned", "Runtime.ExitError")
    version.once_told(lambda _: pid not in version.pids())
    version.once("READY")
    assert version().start == "provisioned"


def test_keep_alive_takes_those_on_demand_alone(open_door: Open, publish: Publish, callers: Any, gate: Gate) -> None:
    version = publish(open_door(keep_alive_s=0))
    version.provision(1)
    kept = version.pids()
    running = callers.start(version, gate.address, 2)
    gate.wait_entered(2)
    with watched(*(version.pids() - kept)) as wait_gone:
        gate.open()
        assert {call.result().start for call in running} == {"cold", "provisioned"}
        wait_gone()
    assert version.pids() >= kept
    again = version()
    assert (again.start, environment_pid(version.door, again.json()[0])) == ("provisioned", *kept)


def test_a_shortage_of_memory_takes_none_and_starts_none(open_door: Open, publish: Publish) -> None:
    version = publish(open_door())
    version.provision(1)
    kept = version.pids()
    publish(version.door, "other")
    version.door.inside._memory.is_short = lambda: True
    assert version.door.invoke("other").start == "cold"
    version.door.put_provisioned_concurrency_config("f", "1", 2)
    assert "short of memory" in version.once("FAILED").status_reason
    assert version.pids() == kept
    version.door.inside._memory.is_short = lambda: False
    version.once("READY")
    assert kept < version.pids()


def test_asking_for_fewer_lets_some_go_and_deleting_lets_all_go(open_door: Open, publish: Publish) -> None:
    version = publish(open_door())
    version.provision(3)
    used: str = version().json()[0]
    before = version.pids()
    version.provision(4)
    assert before < version.pids()
    version.provision(1)
    version.once_told(lambda _: len(version.pids()) == 1)
    with watched(*version.pids()) as wait_gone:
        version.door.delete_provisioned_concurrency_config("f", "1")
        wait_gone()
    with pytest.raises(errors.ProvisionedConcurrencyConfigNotFoundException, match="No Provisioned Concurrency Config"):
        version.door.get_provisioned_concurrency_config("f", "1")
    assert version.door.list_provisioned_concurrency_configs("f") == []
    assert version.stats()["provisioned"] is None
    again = version()
    assert (again.start, again.json()[1], again.json()[0] != used) == ("cold", "on-demand", True)


def test_what_runs_on_one_that_is_let_go_finishes(open_door: Open, publish: Publish, callers: Any, gate: Gate) -> None:
    version = publish(open_door())
    version.provision(1)
    (running,) = callers.start(version, gate.address)
    gate.wait_entered()
    with watched(*version.pids()) as wait_gone:
        version.door.delete_provisioned_concurrency_config("f", "1")
        gate.open()
        assert running.result().start == "provisioned"
        wait_gone()


def test_an_init_that_keeps_failing_is_tried_less_and_less_and_told(
    open_door: Open, publish: Publish, needed: socket.socket
) -> None:
    version = publish(open_door(), environment={"NEEDS": json.dumps(needed.getsockname())})
    began = time.monotonic()
    version.door.put_provisioned_concurrency_config("f", "1", 1)
    told = version.once("FAILED")
    assert (told.status_reason, told.available_provisioned_concurrent_executions) == ("FUNCTION_ERROR_INIT_FAILURE", 0)
    tried = sum(line.startswith("INIT_REPORT") for line in version.log())
    assert tried >= 3 and BACK_OFF_FIRST_S * (2 ** (tried - 1) - 1) <= time.monotonic() - began
    assert version().function_error == "Unhandled"  # on demand it is Lambda's as ever
    needed.listen()
    version.once("READY")
    assert version.stats()["provisioned"]["available"] == 1


def test_an_init_that_fails_is_not_tried_again_once_nobody_asks(
    open_door: Open, publish: Publish, needed: socket.socket
) -> None:
    version = publish(open_door(), environment={"NEEDS": json.dumps(needed.getsockname())})
    version.door.put_provisioned_concurrency_config("f", "1", 4)
    version.once("FAILED")
    version.door.delete_provisioned_concurrency_config("f", "1")
    allocations = version.door.inside._control.provisioned._allocations
    assert allocations == {}


def test_an_init_may_take_longer_than_one_that_somebody_waits_for(
    open_door: Open, publish: Publish, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.core.supervisor.INIT_TIMEOUT_S", 0)
    door = open_door()
    version = publish(door, environment={"INIT_GATE": json.dumps(gate.address)})
    door.put_provisioned_concurrency_config("f", "1", 1)
    gate.wait_entered()
    before = door.inside._supervisor._ticks
    version.once_told(lambda _: door.inside._supervisor._ticks > before + 3)
    gate.open()
    assert version.once("READY").available_provisioned_concurrent_executions == 1


def test_an_init_over_its_own_limit_is_ended_and_counts_as_failed(
    open_door: Open, publish: Publish, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.core.pools.INIT_AHEAD_TIMEOUT_S", 0)
    version = publish(open_door(), environment={"INIT_GATE": json.dumps(gate.address)}, timeout_s=1)
    version.door.put_provisioned_concurrency_config("f", "1", 1)
    assert version.once("FAILED").status_reason == "FUNCTION_ERROR_INIT_FAILURE"
    assert sum("Status: timeout" in line for line in version.log()) >= 3


def test_a_caller_does_not_wait_for_an_init_that_takes_too_long(
    open_door: Open, publish: Publish, callers: Any, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.core.pools.SOON_NS", 0)
    door = open_door()
    version = publish(door, environment={"INIT_GATE": json.dumps(gate.address)})
    door.put_provisioned_concurrency_config("f", "1", 1)
    gate.wait_entered()
    (running,) = callers.start(version, None)
    gate.wait_entered()
    gate.open()
    assert running.result().status_code == 200
    version.once("READY")
    assert sum(version.stats()["environments"].values()) == 2


def test_an_alias_that_moves_takes_them_to_its_new_version(open_door: Open, publish: Publish) -> None:
    version = publish(open_door())
    door = version.door
    door.create_alias("f", "live", "1")
    door.update_function_configuration("f", description="two")
    assert door.publish_version("f").version == "2"
    version.provision(2, "live")
    assert version("", "live").start == "provisioned"
    with watched(*version.pids()) as wait_gone:
        door.update_alias("f", "live", function_version="2")
        wait_gone()
    assert version.once("READY", "live").function_arn.endswith(":f:live")
    moved = version("", "live")
    assert (moved.start, moved.executed_version) == ("provisioned", "2")
    assert version.stats()["provisioned"] is None and version.stats("2")["provisioned"]["available"] == 2
    with watched(*version.pids("2")) as wait_gone:
        door.delete_alias("f", "live")
        wait_gone()
    assert door.list_provisioned_concurrency_configs("f") == []


def test_a_version_and_a_function_take_theirs_with_them(open_door: Open, publish: Publish) -> None:
    version = publish(open_door())
    version.provision(1)
    with watched(*version.pids()) as wait_gone:
        version.door.delete_function("f", qualifier="1")
        wait_gone()
    assert version.door.list_provisioned_concurrency_configs("f") == []
    version.door.update_function_configuration("f", description="another")
    assert version.door.publish_version("f").version == "2"
    version.provision(1, "2")
    with watched(*version.pids("2")) as wait_gone:
        version.door.delete_function("f")
        wait_gone()


def test_the_engine_closes_while_they_are_starting(open_door: Open, publish: Publish, gate: Gate) -> None:
    door = open_door()
    publish(door, environment={"INIT_GATE": json.dumps(gate.address)})
    door.put_provisioned_concurrency_config("f", "1", 20)
    gate.wait_entered()


def test_an_alias_with_weights_deals_them_out_to_its_versions(open_door: Open, publish: Publish) -> None:
    version = publish(open_door())
    version.door.update_function_configuration("f", description="2")
    version.door.publish_version("f")
    version.door.create_alias("f", "live", "1", routing={"2": 0.25})
    told = version.provision(4, "live")
    assert told.available_provisioned_concurrent_executions == 4
    assert [version.stats(number)["provisioned"]["available"] for number in "12"] == [3, 1]
    assert {version(qualifier="live").start for _ in range(20)} == {"provisioned"}
    version.door.update_alias("f", "live", function_version="2", routing={})
    told = version.once_told(lambda told: told.available_provisioned_concurrent_executions == 4, "live")
    assert told.status == "READY"
    assert (version.stats("1")["provisioned"], version.stats("2")["provisioned"]["available"]) == (None, 4)
