"""An event runs for the tenant that it was accepted for, whenever it is tried again, and holds up no other's."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from doors import Gate
from living import HOUR_MS, Life, living, run

from engine.core.events import feeder
from engine.errors import InvalidParameterValueException


@pytest.fixture(params=["in memory", "on disk"])
def data_dir(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "data" if request.param == "on disk" else None


async def deploy(life: Life, **settings: Any) -> None:
    await life.deploy("apart", "belongs", tenant_isolation="PER_TENANT", **settings)


async def send(life: Life, tenant_id: str, **event: Any) -> str:
    return await life.send("apart", {"for": tenant_id, **event}, tenant_id=tenant_id)


async def check_runs(life: Life, expected: dict[str, int]) -> None:
    told = await life.records("apart")
    assert all(each["owners"] == [each["tenant"]] == [each["for"]] for each in told)
    assert Counter(each["tenant"] for each in told) == expected


def test_events_run_for_the_tenants_that_they_were_accepted_for(data_dir: Path | None) -> None:
    async def test() -> None:
        async with living(data_dir) as life:
            await deploy(life)
            for n in range(30):
                await send(life, f"tenant-{n % 3}")
            await life.quiet()
            await check_runs(life, {"tenant-0": 10, "tenant-1": 10, "tenant-2": 10})
            counts = await life.counts("apart")
            assert (counts["AsyncEventsReceived"], counts["depth"]) == (30, 0)
            pools = life.engine._supervisor.pools
            assert [(pool.lane.events, pool.lane.backlog) for pool in pools] == [(0, 0)] * 4

    run(test)


def test_an_event_that_failed_is_tried_again_for_its_tenant(data_dir: Path | None) -> None:
    async def test() -> None:
        async with living(data_dir) as life:
            await deploy(life)
            sent = [await send(life, tenant, times=1) for tenant in ("red", "blue")]
            await life.pass_time(HOUR_MS)
            await check_runs(life, {"red": 2, "blue": 2})
            assert Counter(await life.runs("apart")) == Counter(dict.fromkeys(sent, 2))

    run(test)


def test_events_that_wait_on_disk_keep_their_tenants(tmp_path: Path) -> None:
    async def test() -> None:
        async with living(tmp_path) as life:
            await deploy(life)
            life.engine.events._feeder.resting = True
            for tenant in ("red", "blue", "red"):
                await send(life, tenant)
        async with living(tmp_path) as life:
            await life.quiet()
            await check_runs(life, {"red": 2, "blue": 1})

    run(test)


def test_a_tenant_whose_events_wait_holds_up_no_other(gate: Gate) -> None:
    async def test() -> None:
        async with living() as life:
            await deploy(life)
            await life.engine.put_function_concurrency("apart", 20)
            for _ in range(40):
                await send(life, "slow", wait_at=gate.address)
            quick = [await send(life, "quick") for _ in range(5)]
            done: set[str] = set()
            while not done.issuperset(quick):
                await asyncio.sleep(0.001)
                done.update(await life.runs("apart"))
            (queue,) = life.engine.events.queues.all()
            assert queue.events == 40 and 0 < queue.in_flight <= 20
            waiting = threading.Thread(target=let_all_go, args=(gate, 40))
            waiting.start()
            await life.quiet()
            waiting.join()
            await check_runs(life, {"slow": 40, "quick": 5})

    run(test)


def let_all_go(gate: Gate, count: int) -> None:
    for _ in range(count):
        gate.wait_entered()
        gate.open()


def test_events_that_are_passed_over_run_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeder, "PASSED_MAX", 3)

    async def test() -> None:
        async with living() as life:
            await deploy(life)
            sent = [await send(life, tenant) for tenant in ["red"] * 20 + ["blue"] * 20]
            await life.quiet()
            assert sorted(await life.runs("apart")) == sorted(sent)
            await check_runs(life, {"red": 20, "blue": 20})

    run(test)


def test_an_alias_with_weights_runs_each_event_where_its_receipt_says() -> None:
    async def test() -> None:
        async with living() as life:
            await deploy(life)
            for number in "12":
                await life.engine.update_function_configuration("apart", description=number)
                await life.engine.publish_version("apart")
            await life.engine.create_alias("apart", "live", "1", routing={"2": 0.5})
            receipts = [
                await life.engine.invoke("apart:live", {"for": tenant}, invocation_type="Event", tenant_id=tenant)
                for tenant in ["red", "blue"] * 20
            ]
            await life.quiet()
            for version in "12":
                log = await life.engine.logs("apart", qualifier=version)
                ran = [line.request_id for line in log if line.message.startswith("REPORT")]
                told = [each.request_id for each in receipts if each.executed_version == version]
                assert sorted(ran) == sorted(told) and ran

    run(test)


def test_a_destination_that_keeps_tenants_apart_gets_no_record() -> None:
    async def test() -> None:
        async with living() as life:
            await deploy(life)
            await life.deploy("says", "says")
            arn = (await life.engine.get_function("apart")).function_arn
            await life.engine.put_function_event_invoke_config("says", on_success=arn)
            await life.send("says", 1)
            await life.pass_time(3 * HOUR_MS)
            assert await life.runs("apart") == []
            assert (await life.counts("says"))["DestinationDeliveryFailures"] == 1
            with pytest.raises(InvalidParameterValueException):
                await life.send("apart", {"for": "nobody"})

    run(test)
