"""Events to an alias with weights are dealt out by them; one that is tried again stays with its version."""

from __future__ import annotations

from collections import Counter

import pytest
from chance import binomial_bounds
from living import HOUR_MS, Life, living, run

from engine.core.routes import Split

EVENTS = 1_000


async def deployed(life: Life, handler: str, weight: float) -> None:
    await life.deploy("f", handler)
    for number in "12":
        await life.engine.update_function_configuration("f", description=number)
        await life.engine.publish_version("f")
    await life.engine.create_alias("f", "live", "1", routing={"2": weight})


async def runs(life: Life) -> dict[str, list[str]]:
    """Request ids by version, as often as they ran."""
    return {
        version: [
            line.request_id
            for line in await life.engine.logs("f", qualifier=version)
            if line.message.startswith("REPORT")
        ]
        for version in "12"
    }


def test_events_are_dealt_out_by_weight_and_the_receipt_says_where_to() -> None:
    async def events_run() -> None:
        async with living() as life:
            await deployed(life, "says", 0.3)
            receipts = [await life.engine.invoke("f:live", n, invocation_type="Event") for n in range(EVENTS)]
            await life.quiet()
            ran = await runs(life)
            told = {
                version: [each.request_id for each in receipts if each.executed_version == version] for version in ran
            }
            assert {version: Counter(ids) for version, ids in ran.items()} == {
                version: Counter(ids) for version, ids in told.items()
            }
            least, most = binomial_bounds(EVENTS, 0.3)
            assert least <= len(ran["2"]) <= most and len(ran["1"]) + len(ran["2"]) == EVENTS

    run(events_run)


def test_an_event_that_is_tried_again_runs_on_the_version_that_it_ran_on_before() -> None:
    async def events_run() -> None:
        async with living() as life:
            await deployed(life, "fails", 0.5)
            sent = [await life.send("f", {"times": 9}, qualifier="live") for _ in range(40)]
            await life.pass_time(HOUR_MS)
            counts = {version: Counter(ids) for version, ids in (await runs(life)).items()}
            assert counts["1"].keys() & counts["2"].keys() == set()
            assert counts["1"] + counts["2"] == Counter(dict.fromkeys(sent, 3))
            assert counts["1"] and counts["2"]

    run(events_run)


def test_events_follow_an_alias_whose_weights_are_taken_away() -> None:
    async def events_run() -> None:
        async with living() as life:
            await deployed(life, "says", 1.0)
            await life.send("f", 1, qualifier="live")
            await life.quiet()
            await life.engine.update_alias("f", "live", routing={})
            await life.send("f", 2, qualifier="live")
            await life.quiet()
            assert [len(ids) for ids in (await runs(life)).values()] == [1, 1]
            lanes = [life.engine._opened().dispatch.lane("f", version) for version in "12"]
            assert [(lane.events, lane.backlog) for lane in lanes] == [(0, 0), (0, 0)]

    run(events_run)


@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0])
def test_a_request_id_always_leads_to_the_same_lane(weight: float) -> None:
    main, other = object(), object()
    split = Split(main, other, weight)  # type: ignore[arg-type]
    ids = [bytes([first, *range(15)]) for first in range(256)]
    chosen = [split.lane_of(request_id) for request_id in ids]
    assert chosen == [split.lane_of(request_id) for request_id in ids]
    assert chosen.count(other) == -(-int(weight * 2560) // 10)
