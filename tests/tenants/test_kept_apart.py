"""Tenants of one function share nothing but its code, and everything that is counted and logged of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from apart import APART, of
from doors import Door, Function, Gate, kill_from_outside

from engine import errors

MISSING = "enabled with tenancy configuration. Add a valid tenant ID"
UNEXPECTED = "not enabled with tenancy configuration. Remove the tenant ID"


def test_no_tenant_sees_another_in_memory_in_tmp_or_as_a_process(apart: Function) -> None:
    answers = [of(apart, tenant) for tenant in ("red", "blue", "red", "blue", "red")]
    assert [each["seen"] for each in answers] == [
        ["red"],
        ["blue"],
        ["red", "red"],
        ["blue", "blue"],
        ["red", "red", "red"],
    ]
    assert [each["kept"] for each in answers] == [[], [], ["1-red"], ["1-blue"], ["1-red", "2-red"]]
    assert len({each["me"] for each in answers}) == len({each["stream"] for each in answers}) == 2
    assert [each.start for each in apart.results] == ["cold", "cold", "warm", "warm", "warm"]


def test_each_tenant_has_a_user_and_a_network_of_its_own(opened: Callable[..., Door], source: Path) -> None:
    door = opened()
    limits = {line["limit"]: line["mechanism"] for line in door.stats()["limits"]}
    door.create_function("apart", code=source, network="none", **APART)
    red, blue, again = (of(Function(door, "apart"), tenant) for tenant in ("red", "blue", "red"))
    assert red["uid"] == again["uid"] and red["network"] == again["network"]
    if limits["users"]:
        assert red["uid"] != blue["uid"]
    if limits["network"]:
        assert red["network"] != blue["network"]


def test_two_environments_of_one_tenant_are_both_its_own(apart: Function, gate: Gate) -> None:
    waits = {"wait_at": gate.address}
    with ThreadPoolExecutor(4) as threads:
        calls = [
            threads.submit(apart.door.invoke, "apart", waits, tenant_id=tenant)
            for tenant in ("red", "blue", "red", "blue")
        ]
        gate.wait_entered(2)
        gate.open()
        gate.wait_entered(2)
        gate.open()
        answers = [call.result().json() for call in calls]
    assert all(set(each["seen"]) == {each["tenant"]} for each in answers)


@pytest.mark.parametrize("kind", ["RequestResponse", "Event", "DryRun"])
def test_a_missing_or_unexpected_tenant_is_refused_in_lambdas_words(apart: Function, source: Path, kind: str) -> None:
    apart.door.create_function("together", code=source, handler="app.handler")
    with pytest.raises(errors.InvalidParameterValueException, match=MISSING):
        apart(invocation_type=kind)
    with pytest.raises(errors.InvalidParameterValueException, match=UNEXPECTED):
        apart.door.invoke("together", tenant_id="red", invocation_type=kind)
    with pytest.raises(errors.ResourceNotFoundException):
        apart.door.invoke("neither", tenant_id="red", invocation_type=kind)
    for tenant, constraint in (("", "length greater than"), ("ünlike", "pattern"), ("x" * 257, "length less than")):
        with pytest.raises(errors.ValidationException, match=f"'tenantId' failed to satisfy.*{constraint}"):
            apart(tenant_id=tenant, invocation_type=kind)
    assert apart.stats()["tenants"] == 0


def test_a_dry_run_for_a_tenant_is_only_checked(apart: Function) -> None:
    assert apart(tenant_id="r/e.d_:=+-@ 1", invocation_type="DryRun").status_code == 204
    assert (apart.stats()["tenants"], apart.pids()) == (0, [])


def test_streamed_answers_are_one_tenants_too(opened: Callable[..., Door], source: Path) -> None:
    door = opened()
    door.create_function("apart", code=source, **{**APART, "handler": "app.streams"})
    for tenant in ("red", "blue", "red"):
        door.invoke("apart", tenant_id=tenant)
    assert door.invoke("apart", tenant_id="red").payload == b"red red red "
    with pytest.raises(errors.InvalidParameterValueException, match=MISSING):
        door.invoke_stream("apart")


def test_an_environment_that_dies_takes_nobody_elses_along(apart: Function) -> None:
    red, blue = of(apart, "red"), of(apart, "blue")
    assert apart("die", tenant_id="red").json()["errorType"] == "Runtime.ExitError"
    kill_from_outside(apart.door, apart.pid(blue["stream"]))
    again = of(apart, "red"), of(apart, "blue")
    assert [each["seen"] for each in again] == [["red"], ["blue"]]
    assert {red["me"], blue["me"]}.isdisjoint(each["me"] for each in again)


def test_what_is_counted_and_logged_is_the_versions_over_all_tenants(apart: Function) -> None:
    for tenant in ("red", "blue", "green", "red"):
        of(apart, tenant)
    apart("fail", tenant_id="blue")
    told = apart.stats()
    assert (told["invocations"], told["errors"], told["cold_starts"], told["warm_starts"]) == (5, 1, 3, 2)
    assert (told["tenants"], told["environments"], told["concurrency"]) == (3, {"ready": 3, "starting": 0}, 0)
    reports = [line for line in apart.whole_log() if line.startswith("REPORT")]
    assert len(reports) == 5 and not any("tenant" in line for line in reports)
    points = {each.metric: each.points for each in metrics(apart)}
    assert points["Invocations"][0].sum == 5


def metrics(function: Function) -> Any:
    return function.door.metric_series(["Invocations"], function="apart", start_ms=0, end_ms=1 << 45, period_s=3_600)


def test_of_a_log_that_is_json_each_line_names_the_tenant(opened: Callable[..., Door], source: Path) -> None:
    door = opened()
    door.create_function("apart", code=source, log_format="JSON", **APART)
    for tenant in ("red", "blue"):
        result = door.invoke("apart", tenant_id=tenant)
        lines = [json.loads(event.message) for event in door.logs("apart", request_id=result.request_id)]
        platform = {line["type"]: line["record"].get("tenantId") for line in lines if "type" in line}
        assert platform == {"platform.initStart": None, "platform.start": tenant, "platform.report": tenant}
        assert [line["tenantId"] for line in lines if line.get("message") == "tenant said so"] == [tenant]


def test_aliases_weights_and_versions_lead_tenants_where_they_lead_anybody(apart: Function) -> None:
    for number in "12":
        apart.door.update_function_configuration("apart", description=number)
        apart.door.publish_version("apart")
    apart.door.create_alias("apart", "live", "1")
    assert of(apart, "red", qualifier="live")["version"] == "1"
    assert of(apart, "red", qualifier="2")["version"] == "2"
    apart.door.update_alias("apart", "live", routing={"2": 0.5})
    answers = [of(apart, tenant, qualifier="live") for tenant in ("red", "blue") for _ in range(40)]
    assert {(each["tenant"], each["version"]) for each in answers} == {
        (tenant, version) for tenant in ("red", "blue") for version in "12"
    }
    assert all(set(each["seen"]) == {each["tenant"]} for each in answers)


def test_new_code_ends_every_tenants_environments(apart: Function, tmp_path: Path) -> None:
    for tenant in ("red", "blue"):
        of(apart, tenant)
    (tmp_path / "app.py").write_text("def handler(event, context):\n    return f'new for {context.tenant_id}'\n")
    apart.door.update_function_code("apart", code=tmp_path / "app.py")
    assert [of(apart, tenant) for tenant in ("red", "blue")] == ["new for red", "new for blue"]
    assert apart.stats()["tenants"] == 2


def test_isolation_is_said_at_creation_and_for_good(apart: Function, source: Path, tmp_path: Path) -> None:
    door = apart.door
    assert door.get_function("apart").tenant_isolation == "PER_TENANT"
    for mode in (None, "PER_TENANT"):
        with pytest.raises(errors.InvalidParameterValueException, match="cannot be modified"):
            door.update_function_configuration("apart", tenant_isolation=mode)
    with pytest.raises(errors.ValidationException, match="tenantIsolationMode' failed to satisfy"):
        door.create_function("odd", code=source, **{**APART, "tenant_isolation": "PER_USER"})
    door.publish_version("apart")
    with pytest.raises(errors.InvalidParameterValueException, match="Provisioned concurrency is not supported"):
        door.put_provisioned_concurrency_config("apart", "1", 1)
    with pytest.raises(errors.InvalidParameterValueException, match="SnapStart is not supported"):
        door.update_function_configuration("apart", snap_start=True)
    with pytest.raises(errors.InvalidParameterValueException, match="SnapStart is not supported"):
        door.create_function("odd", code=source, snap_start=True, **APART)
    with pytest.raises(errors.ValidationException, match="keeps its tenants apart"):
        door.create_schedule("hourly", "rate(1 hour)", "apart")
