"""What was answered is on disk, what could not be written is undone, and no tick is lost or run twice for it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from failing_disk import Disk
from timetables import DAY, HOUR, MINUTE, START

from engine.core.schedules.written import schedule_as_text
from engine.errors import EngineClosedError, ResourceNotFoundException, ServiceException

FULL = "the disk is full"


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


@pytest.fixture
def disk() -> Disk:
    return Disk()


@on_a_loop
async def test_what_is_done_is_answered_once_it_is_on_disk(disk: Disk) -> None:
    made = await disk.after(disk.create(payload=b"1"))
    assert disk.rows == {"s": (made, START - MINUTE - 1)}
    changed = await disk.after(disk.update(description="d"))
    assert disk.rows == {"s": (changed, START - MINUTE - 1)}
    await disk.after(disk.schedules.delete("s"))
    assert disk.rows == {}


@on_a_loop
async def test_what_comes_together_is_written_together_and_one_write_follows_the_other(disk: Disk) -> None:
    first = [asyncio.ensure_future(disk.create(f"a{n}", start_ms=START + DAY)) for n in range(100)]
    await asyncio.sleep(0)
    disk.clock.advance_ms(0)
    second = [asyncio.ensure_future(disk.create(f"b{n}", start_ms=START + DAY)) for n in range(100)]
    await asyncio.sleep(0)
    disk.clock.advance_ms(0)
    assert len(disk.asked) == 1
    disk.answer()
    await asyncio.gather(*first)
    disk.answer()
    await asyncio.gather(*second)
    assert (len(disk.rows), disk.writes) == (200, 2)


@on_a_loop
async def test_large_changes_are_written_in_several_messages(disk: Disk) -> None:
    payload = b'"' + b"x" * 262_142 + b'"'
    made = [asyncio.ensure_future(disk.create(f"s{n}", payload=payload, start_ms=START + DAY)) for n in range(40)]
    while not all(task.done() for task in made):
        await asyncio.sleep(0)
        disk.answer()
    assert (len(disk.rows), disk.writes) == (40, 2)


@on_a_loop
async def test_a_creation_that_fails_leaves_nothing(disk: Disk) -> None:
    with pytest.raises(ServiceException, match=FULL):
        await disk.after(disk.create("s", "rate(1 hour)", start_ms=START + HOUR), FULL)
    assert disk.schedules.all() == []
    disk.clock.advance_ms(DAY)
    disk.answer()
    assert (disk.rows, disk.ran) == ({}, [])
    await disk.after(disk.create())
    assert set(disk.rows) == {"s"}


@on_a_loop
async def test_an_update_that_fails_is_undone(disk: Disk) -> None:
    made = await disk.after(disk.create(start_ms=START + HOUR))
    with pytest.raises(ServiceException, match=FULL):
        await disk.after(disk.update(expression="cron(30 * * * ? *)"), FULL)
    assert disk.schedules.get("s") == made
    assert disk.told() == (0, 0, HOUR)
    disk.clock.advance_ms(1_000)
    disk.answer()
    assert disk.rows["s"][0] == made


@on_a_loop
async def test_a_deletion_that_fails_is_undone_and_repeats_no_tick(disk: Disk) -> None:
    await disk.after(disk.create(payload=b"1"))
    for wait_ms in (MINUTE, HOUR, HOUR, HOUR):
        disk.clock.advance_ms(wait_ms)
        disk.answer()
    with pytest.raises(ServiceException, match=FULL):
        await disk.after(disk.schedules.delete("s"), FULL)
    disk.clock.advance_ms(MINUTE)
    disk.answer()
    assert disk.told()[2] == 4 * HOUR
    assert (len(disk.ran), disk.position()) == (4, 3 * HOUR)


@on_a_loop
async def test_of_two_changes_the_later_holds_though_the_earlier_failed(disk: Disk) -> None:
    await disk.after(disk.create(start_ms=START + DAY))
    first = asyncio.ensure_future(disk.update(description="first"))
    await asyncio.sleep(0)
    disk.clock.advance_ms(0)
    second = asyncio.ensure_future(disk.update(description="second"))
    await asyncio.sleep(0)
    disk.asked.popleft()[1](FULL, None)
    with pytest.raises(ServiceException, match=FULL):
        await first
    disk.clock.advance_ms(1_000)
    disk.answer()
    await second
    assert disk.schedules.get("s").description == disk.rows["s"][0].description == "second"


@on_a_loop
async def test_whoever_stops_waiting_stops_nothing(disk: Disk) -> None:
    task = asyncio.ensure_future(disk.create(start_ms=START + DAY))
    await asyncio.sleep(0)
    task.cancel()
    disk.answer()
    assert set(disk.rows) == {"s"}


@on_a_loop
async def test_when_the_engine_closes_what_was_asked_is_handed_over_and_nobody_waits(disk: Disk) -> None:
    await disk.after(disk.create(start_ms=START + DAY))
    first = asyncio.ensure_future(disk.update(description="first"))
    await asyncio.sleep(0)
    disk.clock.advance_ms(0)
    second = asyncio.ensure_future(disk.create("other", start_ms=START + DAY))
    await asyncio.sleep(0)
    disk.schedules.close()
    for task in (first, second):
        with pytest.raises(EngineClosedError, match="open its data_dir again"):
            await task
    disk.answer()
    assert (set(disk.rows), disk.rows["s"][0].description) == ({"s", "other"}, "first")
    assert disk.clock.next_ms is None


# --- ticks --------------------------------------------------------------------------------------------------------


@on_a_loop
async def test_a_tick_that_cannot_be_written_is_tried_again_and_its_position_comes_with_it(disk: Disk) -> None:
    await disk.after(disk.create(payload=b"1"))
    disk.clock.advance_ms(MINUTE)
    for wait_s in (1, 2, 4, 8, 16, 32, 60, 60):
        disk.answer(FULL)
        assert (disk.ran, disk.position() < 0) == ([], True)
        disk.clock.advance_ms(wait_s * 1_000 - 1)
        assert not disk.asked
        disk.clock.advance_ms(1)
        assert len(disk.asked) == 1
    disk.answer()
    assert (disk.ran, disk.position(), disk.told()) == ([b"1"], 0, (1, 0, HOUR))


@on_a_loop
async def test_the_next_tick_waits_for_the_one_that_is_written(disk: Disk) -> None:
    await disk.after(
        disk.create(expression="rate(1 minute)", start_ms=START, payload=b'"<aws.scheduler.scheduled-time>"')
    )
    disk.clock.advance_ms(MINUTE)
    disk.clock.advance_ms(MINUTE)
    assert len(disk.asked) == 1
    disk.answer()
    disk.clock.advance_ms(1_000)
    disk.answer()
    assert disk.ran == [b'"2026-01-01T00:00:00Z"', b'"2026-01-01T00:01:00Z"']
    assert (disk.told(), disk.position()) == ((2, 0, 2 * MINUTE), MINUTE)


@on_a_loop
async def test_what_is_changed_meanwhile_is_written_without_passing_the_tick_over(disk: Disk) -> None:
    await disk.after(disk.create(payload=b"1"))
    disk.clock.advance_ms(MINUTE)
    disk.answer(FULL)
    changed = await disk.after(disk.update(payload=b"2"))
    assert disk.rows["s"] == (changed, START - 1)
    disk.clock.advance_ms(1_000)
    waits = asyncio.ensure_future(disk.update(payload=b"3"))
    await asyncio.sleep(0)
    disk.clock.advance_ms(0)
    assert len(disk.asked) == 1  # the tick: the change waits for what comes of it
    disk.answer()
    disk.answer()
    await waits
    assert (disk.ran, disk.rows["s"][0].payload, disk.position()) == ([b"1"], b"3", 0)


@on_a_loop
async def test_a_tick_that_becomes_too_old_is_given_up_and_accounted_for(disk: Disk) -> None:
    queue = "arn:aws:sqs:us-east-1:000000000000:failed"
    await disk.after(disk.create(payload=b"1", maximum_event_age_s=60, dead_letter_arn=queue))
    disk.clock.advance_ms(MINUTE)
    for _ in range(60):
        disk.answer(FULL)
        disk.clock.advance_ms(1_000)
    disk.answer()
    assert (disk.told(), disk.position()) == ((0, 1, HOUR), 0)
    (parcel,) = disk.parcels
    assert (parcel["arn"], parcel["body"], parcel["dead_letter"]) == (queue, b"1", True)
    assert parcel["attributes"]["ERROR_MESSAGE"] == ["String", FULL]
    disk.clock.advance_ms(HOUR)
    disk.answer()
    assert disk.ran == [b"1"]


@on_a_loop
async def test_one_that_is_to_go_stays_on_disk_until_its_last_tick_is_there(disk: Disk) -> None:
    await disk.after(disk.create(expression="at(2026-01-01T01:00:00)", action_after_completion="DELETE"))
    disk.clock.advance_ms(HOUR + MINUTE)
    disk.answer(FULL)
    assert disk.schedules.all() == []
    disk.answer()
    assert disk.position() < 0
    disk.clock.advance_ms(1_000)
    disk.answer()
    disk.answer()
    assert (len(disk.ran), disk.rows) == (1, {})


@on_a_loop
async def test_a_tick_of_what_was_deleted_is_not_tried_again(disk: Disk) -> None:
    await disk.after(disk.create())
    disk.clock.advance_ms(MINUTE)
    disk.answer(FULL)
    await disk.after(disk.schedules.delete("s"))
    disk.clock.advance_ms(DAY)
    disk.answer()
    assert (disk.ran, disk.rows) == ([], {})


@on_a_loop
async def test_a_deletion_waits_for_a_tick_that_is_being_written(disk: Disk) -> None:
    await disk.after(disk.create())
    disk.clock.advance_ms(MINUTE)
    gone = asyncio.ensure_future(disk.schedules.delete("s"))
    await asyncio.sleep(0)
    disk.clock.advance_ms(0)
    steps, answer = disk.asked.popleft()
    assert [step[0] for step in steps] == ["position", "append"] and not disk.asked
    answer(FULL, None)
    disk.answer()
    await gone
    disk.clock.advance_ms(DAY)
    disk.answer()
    assert (disk.ran, disk.rows) == ([], {})


@on_a_loop
async def test_a_tick_whose_function_goes_while_it_is_tried_again_is_tried_on(disk: Disk) -> None:
    await disk.after(disk.create(payload=b"1"))
    disk.clock.advance_ms(MINUTE)
    disk.answer(FULL)
    disk.functions.clear()
    disk.clock.advance_ms(HOUR - 1)
    assert not disk.asked
    disk.functions.add("f")
    disk.clock.advance_ms(MINUTE)
    disk.answer()
    assert disk.ran[0] == b"1"


@on_a_loop
async def test_a_missed_ticks_position_is_written_until_it_is_there(disk: Disk) -> None:
    made = await disk.after(disk.create(start_ms=START + HOUR, end_ms=START + 2 * HOUR))
    disk.schedules.close()
    disk.clock.advance_ms(9 * DAY)
    disk.schedules = disk.opened()
    disk.schedules.begin([("s", schedule_as_text(made), START - 1)])
    disk.answer(FULL)
    assert disk.told() == (0, 2, None)
    disk.clock.advance_ms(1_000)
    disk.answer()
    assert disk.position() >= 2 * HOUR
    with pytest.raises(ResourceNotFoundException):
        await disk.schedules.delete("other")
