"""Retries, ages and back-off as Lambda has them, with a real engine under a virtual clock: hours in milliseconds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from doors import Gate
from living import HOUR_MS, MINUTE_MS, SECOND_MS, Life, living, run

from engine.core.events import lifecycle
from engine.core.events.rules import back_off_s
from engine.errors import (
    EngineClosedError,
    InvalidParameterValueException,
    RequestTooLargeException,
    ResourceNotFoundException,
    TooManyRequestsException,
)


@pytest.fixture(params=["in memory", "on disk"])
def data_dir(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "data" if request.param == "on disk" else None


def test_an_event_is_accepted_and_run(data_dir: Path | None) -> None:
    async def test() -> None:
        async with living(data_dir) as life:
            await life.deploy("says", "says")
            request_id = await life.send("says", {"n": 1})
            await life.quiet()
            assert await life.runs("says") == [request_id]
            assert await life.records("says") == [{"n": 1}]
            counts = await life.counts("says")
            assert (counts["AsyncEventsReceived"], counts["depth"], counts["oldest_age_ms"]) == (1, 0, None)

    run(test)


def test_a_failed_event_is_tried_again_after_one_minute_and_after_two(data_dir: Path | None) -> None:
    async def test() -> None:
        async with living(data_dir) as life:
            await life.deploy("fails", "fails")
            request_id = await life.send("fails", {"times": 9})
            tries = []
            for step_ms in (0, MINUTE_MS - 1, 1, 2 * MINUTE_MS - 1, 1, 6 * HOUR_MS):
                await life.pass_time(step_ms)
                tries.append(len(await life.runs("fails")))
            assert tries == [1, 1, 2, 2, 3, 3]
            assert set(await life.runs("fails")) == {request_id}
            counts = await life.counts("fails")
            assert (counts["retries"], counts["AsyncEventsDropped"], counts["depth"]) == (2, 1, 0)

    run(test)


def test_a_retry_that_succeeds_is_the_last() -> None:
    async def test() -> None:
        async with living() as life:
            await life.deploy("fails", "fails")
            await life.send("fails", {"times": 1})
            await life.pass_time(6 * HOUR_MS)
            assert len(await life.runs("fails")) == 2
            assert (await life.counts("fails"))["AsyncEventsDropped"] == 0

    run(test)


@pytest.mark.parametrize("retries", [0, 1])
def test_as_many_retries_as_are_asked_for(retries: int) -> None:
    async def test() -> None:
        async with living() as life:
            await life.deploy("fails", "fails")
            await life.engine.put_function_event_invoke_config("fails", maximum_retry_attempts=retries)
            await life.send("fails", {"times": 9})
            await life.pass_time(6 * HOUR_MS)
            assert len(await life.runs("fails")) == retries + 1

    run(test)


def test_what_is_asked_for_an_alias_holds_for_events_sent_to_it() -> None:
    async def test() -> None:
        async with living() as life:
            await life.deploy("fails", "fails")
            await life.engine.publish_version("fails")
            await life.engine.create_alias("fails", "live", "1")
            await life.engine.put_function_event_invoke_config("fails", qualifier="live", maximum_retry_attempts=0)
            await life.send("fails", {"times": 9}, qualifier="live")
            await life.send("fails:live", {"times": 9})
            await life.pass_time(6 * HOUR_MS)
            logged = await life.engine.logs("fails", qualifier="live")
            assert sum(line.message.startswith("REPORT") for line in logged) == 2
            assert (await life.counts("fails", "live"))["AsyncEventsDropped"] == 2

    run(test)


def test_a_retry_that_would_come_too_late_is_not_waited_for() -> None:
    async def test() -> None:
        async with living() as life:
            await life.deploy("fails", "fails")
            await life.deploy("told", "says")
            arn = (await life.engine.get_function("told")).function_arn
            await life.engine.put_function_event_invoke_config("fails", maximum_event_age_s=60, on_failure=arn)
            await life.send("fails", {"times": 9})
            await life.quiet()
            (record,) = await life.records("told")
            assert record["requestContext"]["condition"] == "EventAgeExceeded"
            assert record["requestContext"]["approximateInvokeCount"] == 1
            assert len(await life.runs("fails")) == 1

    run(test)


def test_without_concurrency_events_are_tried_for_six_hours(gate: Gate, data_dir: Path | None) -> None:
    """Ever more seldom: after 1 s, 2 s, 4 s … 5 minutes. A caller has the account's only unit meanwhile."""

    async def test() -> None:
        async with living(data_dir, account_concurrency=1) as life:
            await life.deploy("waits", "waits")
            await life.deploy("says", "says")
            caller = asyncio.ensure_future(life.engine.invoke("waits", gate.address))
            await asyncio.to_thread(gate.wait_entered)
            await life.send("says", {"n": 1})
            passed, tries = 0, []
            for wait_s in [0, *(back_off_s(count) for count in range(1, 12))]:
                await life.pass_time(wait_s * SECOND_MS)
                passed += wait_s
                tries.append((await life.counts("says"))["throttles"])
            assert tries == list(range(1, 13))
            await life.pass_time(6 * HOUR_MS - passed * SECOND_MS - 1)
            counts = await life.counts("says")
            assert (counts["depth"], counts["oldest_age_ms"]) == (1, 6 * HOUR_MS - 1)
            await life.pass_time(5 * MINUTE_MS)
            counts = await life.counts("says")
            assert (counts["depth"], counts["AsyncEventsDropped"], counts["retries"]) == (0, 1, 0)
            gate.open()
            await caller
            assert await life.runs("says") == []

    run(test)


def test_once_there_is_concurrency_again_what_waited_is_run(gate: Gate) -> None:
    async def test() -> None:
        async with living(account_concurrency=1) as life:
            await life.deploy("waits", "waits")
            await life.deploy("says", "says")
            caller = asyncio.ensure_future(life.engine.invoke("waits", gate.address))
            await asyncio.to_thread(gate.wait_entered)
            for number in range(5):
                await life.send("says", {"n": number})
            await life.pass_time(10 * MINUTE_MS)
            assert await life.runs("says") == []
            gate.open()
            await caller
            await life.pass_time(5 * MINUTE_MS)
            assert await life.records("says") == [{"n": number} for number in range(5)]

    run(test)


def test_a_reservation_of_nothing_gives_events_up_at_once() -> None:
    async def test() -> None:
        async with living() as life:
            await life.deploy("says", "says")
            await life.deploy("told", "says")
            arn = (await life.engine.get_function("told")).function_arn
            await life.engine.put_function_event_invoke_config("says", on_failure=arn)
            await life.engine.put_function_concurrency("says", 0)
            await life.send("says", {"n": 1})
            await life.quiet()
            (record,) = await life.records("told")
            assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"
            assert record["requestContext"]["approximateInvokeCount"] == 0
            assert record["requestPayload"] == {"n": 1}
            assert await life.runs("says") == []

    run(test)


def test_reserved_concurrency_is_all_that_events_take(gate: Gate) -> None:
    async def test() -> None:
        async with living() as life:
            await life.deploy("waits", "waits")
            await life.engine.put_function_concurrency("waits", 2)
            for _ in range(6):
                await life.send("waits", gate.address)
            queue = life.engine.events.queues.queue("waits", None)
            for round_ in range(3):
                await asyncio.to_thread(gate.wait_entered, 2)
                await life.until(lambda left=6 - 2 * round_: queue.events == left)
                assert queue.in_flight == 2
                gate.open()
            await life.quiet()
            assert len(await life.runs("waits")) == 6
            assert (await life.counts("waits"))["throttles"] == 0

    run(test)


def test_a_backlog_of_one_function_holds_up_neither_another_nor_callers(gate: Gate) -> None:
    async def test() -> None:
        async with living(account_concurrency=4) as life:
            await life.deploy("waits", "waits")
            await life.deploy("says", "says")
            await life.engine.put_function_concurrency("waits", 0)
            await life.engine.delete_function_concurrency("waits")
            await life.send("waits", gate.address)
            await asyncio.to_thread(gate.wait_entered)
            for _ in range(50):
                await life.send("waits", gate.address)
            await life.send("says", {"n": 1})
            await life.until(lambda: life.engine.events.queues.queue("says", None).events == 0)
            assert (await life.engine.invoke("says", {"n": 2})).json() == {"said": {"n": 2}}
            assert life.engine.events.queues.queue("waits", None).events > 40
            await _let_all_go(life, gate, 51)

    run(test)


async def _let_all_go(life: Life, gate: Gate, count: int) -> None:
    """`count` have come or will come to the gate, of which one is known to be there."""
    entered = 1
    while entered < count:
        gate.open()
        await asyncio.to_thread(gate.wait_entered)
        entered += 1
    gate.open()
    await life.quiet()


def test_events_run_in_the_order_in_which_they_were_accepted(data_dir: Path | None) -> None:
    """More of them than lie in memory, and one environment."""

    async def test() -> None:
        async with living(data_dir) as life:
            await life.deploy("says", "says")
            await life.engine.put_function_concurrency("says", 1)
            await asyncio.gather(*[life.send("says", number) for number in range(2_500)])
            await life.quiet()
            assert await life.records("says") == list(range(2_500))

    run(test)


def test_a_function_that_is_deleted_takes_its_events_with_it(data_dir: Path | None) -> None:
    async def test() -> None:
        async with living(data_dir) as life:
            await life.deploy("fails", "fails")
            for _ in range(3):
                await life.send("fails", {"times": 9})
            await life.quiet()
            assert (await life.counts("fails"))["put_off"] == 3
            await life.engine.delete_function("fails")
            assert (await life.engine.stats())["events"]["depth"] == 0
            await life.deploy("fails", "says")
            await life.pass_time(HOUR_MS)
            assert await life.runs("fails") == []

    run(test)


def test_a_retry_runs_the_code_that_is_there_then(data_dir: Path | None) -> None:
    async def test() -> None:
        async with living(data_dir) as life:
            await life.deploy("changes", "fails")
            request_id = await life.send("changes", {"times": 9})
            await life.quiet()
            await life.engine.update_function_configuration("changes", handler="behaves.says")
            await life.pass_time(MINUTE_MS)
            assert await life.runs("changes") == [request_id, request_id]
            assert await life.records("changes") == [{"times": 9}]

    run(test)


def test_events_outlive_their_engine(tmp_path: Path) -> None:
    """Those that wait for a retry, too, at their time."""

    async def test() -> None:
        async with living(tmp_path) as life:
            await life.deploy("fails", "fails")
            await life.deploy("none", "says")
            await life.engine.put_function_concurrency("none", 0)
            request_id = await life.send("fails", {"times": 9})
            await life.quiet()
            now_ms = life.clock.wall_ms()
        async with living(tmp_path, start_ms=now_ms + MINUTE_MS - 1) as life:
            await life.quiet()
            assert (await life.counts("fails"))["put_off"] == 1
            await life.pass_time(1)
            assert await life.runs("fails") == [request_id]
            assert (await life.counts("fails"))["retries"] == 1

    run(test)


def test_a_million_bytes_are_the_most(data_dir: Path | None) -> None:
    async def test() -> None:
        async with living(data_dir) as life:
            await life.deploy("says", "says")
            await life.send("says", b'"' + b"x" * (1_048_576 - 2) + b'"')
            with pytest.raises(RequestTooLargeException, match="1048576 bytes"):
                await life.send("says", b'"' + b"x" * (1_048_576 - 1) + b'"')
            await life.quiet()
            assert len(await life.runs("says")) == 1

    run(test)


def test_each_64_kb_above_256_are_billed_as_one_more_request() -> None:
    async def test() -> None:
        async with living() as life:
            await life.deploy("says", "says")
            for size in (262_144, 262_145, 327_680, 327_681):
                await life.send("says", b'"' + b"x" * (size - 2) + b'"')
            await life.quiet()
            assert (await life.engine.bill()).total.requests == 4 + 0 + 1 + 1 + 2

    run(test)


def test_too_many_waiting_events_are_refused_and_half_are_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "EVENTS_MAX", 10)

    async def test() -> None:
        async with living() as life:
            await life.deploy("fails", "fails")
            await life.deploy("says", "says")
            for _ in range(5):
                await life.send("fails", {"times": 9})
            with pytest.raises(TooManyRequestsException) as refused:
                await life.send("fails", {"times": 9})
            assert refused.value.reason == "CallerRateLimitExceeded"
            await life.send("says", {})
            await life.quiet()
            await life.pass_time(HOUR_MS)
            await life.send("fails", {"times": 0})

    run(test)


@pytest.mark.parametrize("name", ["nobody", "says:nobody"])
def test_what_is_not_there_is_refused(name: str) -> None:
    async def test() -> None:
        async with living() as life:
            await life.deploy("says", "says")
            with pytest.raises(ResourceNotFoundException, match="nobody"):
                await life.send(name)
            with pytest.raises(InvalidParameterValueException, match="'Often'"):
                await life.engine.invoke("says", invocation_type="Often")  # type: ignore[arg-type]

    run(test)


def test_a_closed_engine_accepts_nothing() -> None:
    async def test() -> None:
        async with living() as life:
            await life.deploy("says", "says")
        with pytest.raises(EngineClosedError):
            await life.send("says")

    run(test)


def test_statistics_have_lambdas_names() -> None:
    async def test() -> None:
        async with living() as life:
            await life.deploy("says", "says")
            await life.send("says")
            await life.quiet()
            counts: dict[str, Any] = await life.counts("says")
            assert counts.keys() >= {
                *("AsyncEventsReceived", "AsyncEventAge", "AsyncEventsDropped", "DeadLetterErrors"),
                *("DestinationDeliveryFailures", "RecursiveInvocationsDropped"),
            }
            assert counts["AsyncEventAge"]["count"] == 1

    run(test)
