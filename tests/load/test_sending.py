"""Closed and open loops against targets that answer by plan: what is counted, bounded, corrected, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest
from planned import Answer, Planned, send

from engine import errors
from engine.load import arrivals
from engine.load.distribution import Counts, highest_ns
from engine.load.document import as_document
from engine.load.mix import Call, Mix
from engine.load.run import Limits
from engine.load.session import Plan

PAYLOAD = b'"x"'
SETTINGS = {"max_outstanding": 1}


def calls() -> Iterator[Call]:
    return Mix([1], [PAYLOAD], [1], 1).calls()


def closed(callers: int, number: int, duration_s: float = 60, drain_s: float = 60) -> Plan:
    return Plan(Limits(duration_s, number, callers, drain_s), SETTINGS, calls=calls())


def opened(times: Iterator[int], duration_s: float = 60, number: int = 10_000, room: int = 1_000) -> Plan:
    return Plan(Limits(duration_s, number, room, 60), SETTINGS, arrivals=zip(times, calls(), strict=False))


def at_least(counts: Counts, limit_ns: int) -> int:
    """How many were counted whose whole bucket lies at or above a time."""
    return int(sum(counts.of[bucket] for bucket in np.flatnonzero(counts.of) if highest_ns(int(bucket)) >= limit_ns))


async def echo(name: str, payload: bytes) -> Answer:
    await asyncio.sleep(0)
    return Answer(payload)


async def at_once(name: str, payload: bytes) -> Answer:
    return Answer(payload)


@pytest.mark.parametrize("invoke", [echo, at_once])
@pytest.mark.parametrize("callers", [1, 7])
def test_a_closed_loop_sends_exactly_the_count(invoke: object, callers: int) -> None:
    outcome = send(Planned(invoke), closed(callers, 5_001))  # type: ignore[arg-type]
    assert (outcome.window.sent, outcome.tally.count_answered, outcome.window.ended_by) == (5_001, 5_001, "count")
    assert outcome.tally.service.total() == 5_001


def test_a_closed_loop_has_as_many_calls_under_way_as_callers() -> None:
    now, seen = 0, set[int]()

    async def counting(name: str, payload: bytes) -> Answer:
        nonlocal now
        now += 1
        seen.add(now)
        await asyncio.sleep(0)
        now -= 1
        return Answer()

    send(Planned(counting), closed(9, 1_000))
    assert max(seen) == 9


def test_callers_take_turns_even_where_every_call_is_answered_at_once() -> None:
    tasks: list[int] = []

    async def noting(name: str, payload: bytes) -> Answer:
        tasks.append(id(asyncio.current_task()))
        return Answer()

    send(Planned(noting), closed(4, 400))
    assert {task: tasks.count(task) for task in tasks} == dict.fromkeys(set(tasks), 100)
    assert len(set(tasks)) == 4


def test_the_duration_ends_a_run_that_answers_at_once_without_ever_waiting() -> None:
    outcome = send(Planned(at_once), closed(1, 10_000_000, duration_s=0.05))
    assert outcome.window.ended_by == "duration"
    assert outcome.window.sent == outcome.tally.count_answered > 0


def test_an_open_loop_sends_every_arrival_at_its_time_or_later() -> None:
    outcome = send(Planned(echo), opened(arrivals.constant(5_000), duration_s=0.2))
    sent = outcome.window.sent  # on a host that is held up, what would have been sent after the end is not
    assert 0 < sent <= 1_000
    assert outcome.window.ended_by == "duration"
    assert outcome.tally.lateness.total() == at_least(outcome.tally.lateness, 0) == sent


def test_an_open_loop_ends_with_its_arrivals_or_its_count() -> None:
    assert send(Planned(echo), opened(iter([0, 5, 10]))).window.ended_by == "arrivals"
    by_count = send(Planned(echo), opened(arrivals.constant(1e6), number=17))
    assert (by_count.window.sent, by_count.window.ended_by) == (17, "count")


def test_what_finds_no_room_is_not_sent_and_said_loudly() -> None:
    gate: list[asyncio.Future[None]] = []

    async def held(name: str, payload: bytes) -> Answer:
        gate.append(asyncio.get_running_loop().create_future())
        if len(gate) == 2:
            asyncio.get_running_loop().call_later(0, lambda: [each.set_result(None) for each in gate])
        await gate[-1]
        return Answer()

    outcome = send(Planned(held), opened(iter([0] * 10), room=2))
    document = as_document(outcome)
    assert (document["calls"]["sent"], document["calls"]["not_sent"]) == (2, 8)
    assert document["timeline"]["rows"][0]["asked"] == 10


def test_what_is_still_due_when_the_time_is_up_is_not_sent() -> None:
    async def blocking(name: str, payload: bytes) -> Answer:
        time.sleep(0.05)  # the generator itself is held up, past its time
        return Answer()

    outcome = send(Planned(blocking), opened(iter([0, *range(1_000_000, 31_000_000, 1_000_000)]), duration_s=0.04))
    sent, not_sent = outcome.window.sent, outcome.tally.functions[0].not_sent
    assert sent + not_sent == 31
    assert not_sent > 0


def test_a_stall_of_500_ms_shows_in_the_p99_of_a_constant_rate() -> None:
    """Coordinated omission: while the 100th call stalls nothing can be sent, and 100 others were meant to be.

    Those due in the first half of the stall were at least 250 ms late, however fast the machine is: 50 of 400.
    """
    numbers = count(1)

    async def stalls_once(name: str, payload: bytes) -> Answer:
        if next(numbers) == 100:
            time.sleep(0.5)
        return Answer()

    outcome = send(Planned(stalls_once), opened(arrivals.constant(200), number=400))
    assert outcome.tally.count_answered == 400
    assert at_least(outcome.tally.latency, 250_000_000) >= 50
    assert outcome.tally.latency.percentile_ns(99) >= 250_000_000
    assert outcome.tally.latency_max_ns >= 500_000_000
    assert at_least(outcome.tally.lateness, 250_000_000) >= 49  # the stalled call itself was sent in time


def test_calls_that_queue_behind_a_stall_are_charged_with_it() -> None:
    """A target with one server: the loop goes on sending, and what waits is answered late."""
    numbers, lock = count(1), asyncio.Lock()

    async def served(name: str, payload: bytes) -> Answer:
        async with lock:
            if next(numbers) == 100:
                await asyncio.sleep(0.5)
        return Answer()

    outcome = send(Planned(served), opened(arrivals.constant(200), number=400))
    assert outcome.tally.count_answered == 400
    assert at_least(outcome.tally.latency, 250_000_000) >= 50


def test_a_closed_loop_is_corrected_by_the_interval_that_was_given() -> None:
    numbers = count(1)

    async def stalls_once(name: str, payload: bytes) -> Answer:
        await asyncio.sleep(0.5 if next(numbers) == 50 else 0)
        return Answer()

    limits = Limits(60, 100, 1, 60)
    document = as_document(send(Planned(stalls_once), Plan(limits, {}, calls=calls(), expected_interval_ns=5_000_000)))
    latency = document["latency"]
    assert (latency["corrected_from"], latency["expected_interval_us"]) == ("expected interval, given", 5_000)
    assert latency["service"]["count"] == 100
    assert latency["corrected"]["count"] >= 100 + 98  # 500 ms are 100 intervals, of which the reference rule adds 99
    assert latency["corrected"]["max_us"] == latency["service"]["max_us"] >= 499_000  # loops sleep by milliseconds


def test_errors_are_counted_by_kind_and_type_and_have_no_latency_but_the_functions_own() -> None:
    planned: list[Answer | Exception] = [
        Answer(b'{"errorType": "ValueError"}', "Unhandled"),
        Answer(b"no json", "Unhandled"),
        errors.TooManyRequestsException("Rate exceeded", reason="ConcurrentInvocationLimitExceeded"),
        errors.ResourceNotFoundException("no such function"),
        ConnectionResetError("gone"),
        Answer(start="cold"),
    ]
    answers = iter(planned)

    async def by_plan(name: str, payload: bytes) -> Answer:
        planned = next(answers)
        if isinstance(planned, Exception):
            raise planned
        return planned

    document = as_document(send(Planned(by_plan), closed(1, len(planned))))
    assert {(error["kind"], error["type"]): error["count"] for error in document["errors"]} == {
        ("function", "ValueError"): 1,
        ("function", "not JSON"): 1,
        ("throttle", "ConcurrentInvocationLimitExceeded"): 1,
        ("refusal", "ResourceNotFoundException"): 1,
        ("transport", "ConnectionResetError"): 1,
    }
    assert document["calls"] == {
        "sent": 6, "answered": 3, "ok": 1, "function_errors": 2, "throttled": 1, "refused": 1, "transport_errors": 1,
        "unanswered": 0, "not_sent": 0,
    }  # fmt: skip
    assert document["latency"]["service"]["count"] == 3
    assert document["starts"]["cold_share"] == 1 / 3
    assert sum(row["errors"] for row in document["timeline"]["rows"]) == 5


def test_error_types_beyond_the_bound_are_counted_together() -> None:
    numbers = count()

    async def ever_new(name: str, payload: bytes) -> Answer:
        return Answer(b'{"errorType": "E%d"}' % next(numbers), "Unhandled")

    outcome = send(Planned(ever_new), closed(1, 250))
    counted = outcome.tally.functions[0].errors
    assert len(counted) == 101
    assert counted["function", "(other)"] == 150


def test_bills_are_added_up_exactly_and_unknown_ones_are_not_made_up() -> None:
    async def billed(name: str, payload: bytes) -> Answer:
        return Answer(billed_ms=3, memory_mb=512)

    async def untold(name: str, payload: bytes) -> Answer:
        return Answer(start="unknown", billed_ms=None, memory_mb=None)

    known = as_document(send(Planned(billed), closed(1, 1_000)))["billing"]
    assert (known["billed_ms"], known["gb_seconds"]) == (3_000, 1.5)
    assert known["cost_usd"] == pytest.approx(1_000 * 0.20 / 1e6 + 1.5 * 0.0000166667)
    unknown = as_document(send(Planned(untold), closed(1, 10)))
    assert unknown["billing"]["billed_ms"] is unknown["billing"]["cost_usd"] is unknown["starts"]["cold_share"] is None


def test_a_fault_of_the_generator_itself_is_raised_not_counted() -> None:
    async def faulty(name: str, payload: bytes) -> Answer:
        raise ZeroDivisionError("a bug")

    for plan in (closed(3, 100), opened(arrivals.constant(1_000))):
        with pytest.raises(ZeroDivisionError, match="a bug"):
            send(Planned(faulty), plan)


def test_what_is_not_answered_in_time_is_counted_as_unanswered() -> None:
    async def silent(name: str, payload: bytes) -> Answer:
        await asyncio.get_running_loop().create_future()
        return Answer()

    for plan in (closed(5, 5, duration_s=0.01, drain_s=0.01), closed(5, 5, duration_s=60, drain_s=0.01)):
        outcome = send(Planned(silent), Plan(plan.limits, {}, arrivals=zip([0] * 5, calls(), strict=False)))
        assert (outcome.window.sent, outcome.window.unanswered) == (5, 5)
    silent_callers = send(Planned(silent), closed(5, 100, duration_s=0.01, drain_s=0.01))
    assert (silent_callers.window.sent, silent_callers.window.unanswered) == (5, 5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("is_open", [False, True])
def test_a_signal_ends_the_sending_and_what_is_under_way_is_awaited(number: signal.Signals, is_open: bool) -> None:
    numbers = count(1)

    async def signals(name: str, payload: bytes) -> Answer:
        if next(numbers) == 20:
            os.kill(os.getpid(), number)
        await asyncio.sleep(0)
        return Answer()

    plan = opened(arrivals.constant(2_000)) if is_open else closed(4, 10_000_000)
    outcome = send(Planned(signals), plan)
    assert outcome.window.ended_by == "interrupt"
    assert outcome.window.sent == outcome.tally.count_answered >= 20
    assert outcome.window.unanswered == 0


def test_a_second_signal_does_not_wait() -> None:
    numbers = count(1)

    async def silent(name: str, payload: bytes) -> Answer:
        loop = asyncio.get_running_loop()
        if next(numbers) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            loop.call_later(0.05, os.kill, os.getpid(), signal.SIGINT)
        await loop.create_future()
        return Answer()

    outcome = send(Planned(silent), closed(3, 100))
    assert (outcome.window.ended_by, outcome.window.unanswered) == ("interrupt", 3)
