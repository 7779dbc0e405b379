"""What the engine makes of a region in which somebody else writes: the real lane, repair and scheduler, one lie each.

Every accepted invocation ends exactly once, the counters stay true, and a lane that was attacked serves again once its
supervisor has tended it. Lies in any number and order are in test_hostile_writes.py.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from kits import SLOTS, forge, word
from lanes import SECOND_NS, TIMEOUT_S, Rig

from engine._ext import repair

U32, U64 = (1 << 32) - 1, (1 << 64) - 1
OUT_SPILLED = 1


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


# --- an honest environment, so that the rest means something ----------------------------------------------------------


def test_an_honest_environment_is_believed(rig: Rig) -> None:
    worker = rig.start()
    answer = rig.invoke()
    assert worker.serve() == 1
    assert rig.lane.drain_now() == 1
    assert [result.payload for result in answer.results] == [b"[]"]
    rig.check()
    rig.finish()


# --- single lies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lie",
    [
        {"out_len": 3_969},
        {"out_len": U32},
        {"out_len": U32, "out_type_len": 1},
        {"out_len": U32 - 255, "out_type_len": 256},
        {"out_len": 6_291_557, "out_flags": OUT_SPILLED},
        {"out_len": U32, "out_flags": OUT_SPILLED},
        {"out_type_len": 257},
        {"out_type_len": U32},
        {"out_type_len": 257, "out_flags": OUT_SPILLED},
    ],
)
def test_lengths_that_no_answer_has_end_the_environment(rig: Rig, lie: dict[str, int]) -> None:
    worker = rig.start()
    answer = rig.invoke()
    worker.claim()
    worker.write(**lie)
    worker.finish()
    rig.tick()
    assert rig.seen["illegal"] == 1
    assert answer.results[0].outcome == "exit"
    rig.finish()


@pytest.mark.parametrize("name", ["claimed_ns", "done_ns", "cpu_ns", "memory_kb"])
@pytest.mark.parametrize("value", [0, 1, U64])
def test_no_stamp_makes_a_negative_or_endless_time(rig: Rig, name: str, value: int) -> None:
    worker = rig.start()
    answer = rig.invoke()
    worker.claim()
    worker.write(**{name: value})
    worker.finish()
    rig.tick()
    result = answer.results[0]
    assert 0 <= result.duration_ms < 1000 and 0 <= result.queued_ms < 1000
    assert result.billed_ms < 1000
    rig.finish()


def test_memory_is_not_reported_as_none_by_claiming_all(rig: Rig) -> None:
    worker = rig.start()
    answer = rig.invoke()
    worker.claim()
    worker.write(memory_kb=(1 << 32) - 1)
    worker.finish()
    rig.tick()
    assert answer.results[0].max_memory_mb == 128


def test_an_answer_for_a_slot_of_somebody_else_ends_the_liar(rig: Rig) -> None:
    honest, liar = rig.start(), rig.start()
    answer = rig.invoke()
    honest.claim()
    honest.write()
    liar.end.append_done(honest.slot)
    liar.end.flag_finished()
    rig.tick()
    assert rig.seen["illegal"] == 1 and answer.results == []
    honest.finish()
    rig.tick()
    assert [result.payload for result in answer.results] == [b"[]"]
    rig.finish()


def test_an_answer_given_twice_ends_the_environment_and_nothing_else(rig: Rig) -> None:
    worker = rig.start()
    answer = rig.invoke()
    worker.claim()
    slot = worker.slot
    worker.write()
    worker.finish()
    worker.end.append_done(slot)
    worker.end.flag_finished()
    rig.tick()
    assert len(answer.results) == 1 and rig.seen["illegal"] == 1
    rig.finish()


@pytest.mark.parametrize("phase", [0, 4, 255])
def test_a_word_that_nobody_writes_costs_the_region(rig: Rig, phase: int) -> None:
    rig.start()
    answer = rig.invoke()
    slot = repair.outstanding_slots(rig.lane)[0]
    forge(rig.lane.mapping, "word", word(phase, 0, 1), slot)
    rig.tick()
    assert rig.seen["poisoned"] == 1 and len(answer.results) == 1
    rig.finish()


def test_an_owner_that_is_no_environment_costs_the_region(rig: Rig) -> None:
    rig.start()
    rig.invoke()
    forge(rig.lane.mapping, "word", word(2, 900, 1), repair.outstanding_slots(rig.lane)[0])
    rig.tick()
    assert rig.seen["poisoned"] == 1
    rig.finish()


def test_an_environment_that_pops_and_forgets_loses_nothing(rig: Rig) -> None:
    rig.start().end.pop_ready()
    forgetful, honest = rig.start(), rig.start()
    answer = rig.invoke()
    assert forgetful.end.pop_ready() >= 0
    assert not honest.claim()
    rig.tick()
    assert honest.serve() == 1
    rig.tick()
    assert len(answer.results) == 1
    rig.finish()


def test_an_answer_never_announced_is_found(rig: Rig) -> None:
    worker = rig.start()
    answer = rig.invoke()
    worker.claim()
    worker.write()
    worker.end.mark_done(worker.slot)
    worker.end.append_done(worker.slot)
    worker.end.flag_finished()
    for _ in range(3):
        rig.tick()
    assert [result.payload for result in answer.results] == [b"[]"]
    rig.finish()


# --- lies about what only the core writes: found by the sweep, or nothing would ever be claimed again -----------------


@pytest.mark.parametrize("cell", [77 << 16, SLOTS, U64])
def test_a_forged_hint_does_not_hang_the_function(rig: Rig, cell: int) -> None:
    rig.start()
    rig.invoke()
    forge(rig.lane.mapping, "ready_cell", cell, 0)
    rig.tick()
    rig.finish()


@pytest.mark.parametrize("tail", [0, 5, U64])
def test_a_forged_ready_tail_does_not_hang_the_function(rig: Rig, tail: int) -> None:
    rig.start()
    rig.invoke()
    forge(rig.lane.mapping, "ready_tail", tail)
    rig.tick()
    rig.finish()


@pytest.mark.parametrize("head", [2, U64, 1 << 63])
def test_a_forged_ready_head_does_not_hang_the_function(rig: Rig, head: int) -> None:
    rig.start()
    rig.invoke()
    forge(rig.lane.mapping, "ready_head", head)
    rig.tick()
    assert rig.seen["poisoned"] == 1
    rig.finish()


# --- bounds that honest use reaches -----------------------------------------------------------------------------------


def test_what_waits_for_a_slot_gets_those_that_the_core_freed_itself(rig: Rig) -> None:
    """More invocations than slots, and every environment dies on the first that it claims."""
    answers = [rig.invoke() for _ in range(SLOTS + 6)]
    for _ in range(SLOTS + 6):
        worker = rig.start()
        assert worker.claim(), "what waited for a slot was never published"
        rig.bury(worker.env)
        rig.tick()
    assert all(len(answer.results) == 1 for answer in answers)
    rig.check()
    rig.finish()


def test_invocations_rejected_for_want_of_environments_do_not_fill_the_ring(rig: Rig) -> None:
    error = RuntimeError("no environment could be started")
    for _ in range(5_000):
        rig.invoke()
        assert repair.reject_waiting(rig.lane, error) == 1
    assert rig.seen["poisoned"] == 0
    assert all(answer.results == [error] for answer in rig.answers)
    rig.check()
    rig.finish()


def test_what_waited_for_a_slot_and_cannot_be_placed_is_told_so(rig: Rig) -> None:
    """Shared memory is full just when a large payload that waited gets its slot."""
    worker = rig.start()
    answers = [rig.invoke() for _ in range(SLOTS)]
    late = rig.invoke(b"x" * 10_000)
    last = rig.invoke()
    kept, unwritable = os.dup(rig.lane.region_fd), os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(unwritable, rig.lane.region_fd, inheritable=False)
    try:
        worker.serve()
        rig.lane.drain_now()
    finally:
        os.dup2(kept, rig.lane.region_fd, inheritable=False)
        os.close(kept)
        os.close(unwritable)
    assert all(len(answer.results) == 1 for answer in answers)
    assert isinstance(late.results[0], OSError)
    rig.check()
    worker.serve()
    rig.tick()
    assert len(last.results) == 1
    rig.finish()


def test_a_clock_read_before_an_invocation_was_accepted_gives_no_negative_wait(rig: Rig) -> None:
    now_ns = time.monotonic_ns()
    worker = rig.start()
    answer = rig.invoke()
    worker.claim()
    assert repair.sweep(rig.lane, now_ns) == []
    rig.bury(worker.env)
    assert 0 <= answer.results[0].queued_ms < 1000
    rig.check()


def test_a_clock_that_another_sweep_was_ahead_of_ends_nothing(rig: Rig) -> None:
    worker = rig.start()
    rig.invoke()
    worker.claim()
    now_ns = time.monotonic_ns()
    assert repair.sweep(rig.lane, now_ns) == []
    assert repair.sweep(rig.lane, now_ns - 1_000_000) == []


def test_an_answer_written_but_held_up_before_its_announcement_is_taken_when_that_comes(rig: Rig) -> None:
    worker = rig.start()
    answer = rig.invoke()
    worker.claim()
    worker.write()
    worker.end.mark_done(worker.slot)
    now_ns = time.monotonic_ns()
    for tick in range(100):
        repair.sweep(rig.lane, now_ns + tick * 10_000_000)
    worker.end.append_done(worker.slot)
    worker.end.flag_finished()
    rig.lane.drain_now()
    assert [result.payload for result in answer.results] == [b"[]"]
    rig.check()


def test_an_answer_that_is_never_announced_ends_its_environment_and_still_counts(rig: Rig) -> None:
    worker = rig.start()
    answer = rig.invoke()
    worker.claim()
    worker.write()
    worker.end.mark_done(worker.slot)
    now_ns = time.monotonic_ns()
    repair.sweep(rig.lane, now_ns)
    repair.sweep(rig.lane, now_ns + 6 * SECOND_NS)
    rig.hear()
    assert len(answer.results) == 1
    rig.check()


def test_an_invocation_over_its_limit_is_overdue_once(rig: Rig) -> None:
    worker = rig.start()
    answer = rig.invoke()
    worker.claim()
    rig.tick(time.monotonic_ns() + (TIMEOUT_S + 1) * SECOND_NS)
    assert answer.results[0].outcome == "timeout" and answer.results[0].duration_ms == TIMEOUT_S * 1000
    rig.finish()


# --- another thread gets in where Python code runs: it may do to the lane whatever a supervisor does ------------------


def logged(rig: Rig, text: bytes = b"x") -> int:
    """An environment with something in its log pipe and an answer that says so; its slot."""
    worker = rig.start()
    worker.env.log_fd, write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    os.write(write_fd, text)
    os.close(write_fd)
    rig.invoke()
    worker.claim()
    worker.write(log_end=len(text))
    slot = worker.slot
    worker.finish()
    return slot


def test_an_invocation_settled_while_its_environment_is_buried_ends_once(rig: Rig) -> None:
    logged(rig)
    rig.book.on_keep = lambda: [rig.bury(env) for env in list(rig.workers)]
    rig.lane.drain_now()
    rig.check()
    rig.finish()


def test_an_invocation_settled_while_the_region_is_rebuilt_ends_once(rig: Rig) -> None:
    logged(rig)
    rig.invoke()

    def rebuild() -> None:
        forge(rig.lane.mapping, "ready_head", U64 >> 1)
        rig.tick()

    rig.book.on_keep = rebuild
    rig.lane.drain_now()
    assert rig.seen["poisoned"] == 1
    rig.check()
    rig.finish()


def test_a_drain_goes_on_when_environments_it_meant_to_drain_are_gone(rig: Rig) -> None:
    logged(rig)
    others = [rig.start() for _ in range(3)]
    for worker in others:
        rig.invoke()
        worker.serve()
    rig.book.on_keep = lambda: [rig.bury(worker.env) for worker in others]
    rig.lane.drain_now()
    rig.check()
    rig.finish()


def test_an_environment_buried_while_its_init_is_noted_is_counted_once(rig: Rig) -> None:
    env = repair.admit(rig.lane, "stream")
    worker = rig.workers[env] = type(rig.start())(rig.lane, env)
    env.log_fd, write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    os.write(write_fd, b"init")
    os.close(write_fd)
    forge(rig.lane.mapping, "init_log_end", 4, env.index)
    forge(rig.lane.mapping, "init_state", 1, env.index)
    worker.end.flag_finished()
    rig.book.on_keep = lambda: rig.bury(env)
    rig.lane.drain_now()
    rig.check()
    rig.finish()


def test_an_answer_that_comes_after_the_core_gave_its_own_counts_nothing(rig: Rig) -> None:
    worker = rig.start()
    rig.invoke()
    worker.claim()
    overdue = repair.sweep(rig.lane, time.monotonic_ns() + (TIMEOUT_S + 1) * SECOND_NS)
    worker.write()
    worker.finish()
    rig.lane.drain_now()  # another thread drains before the supervisor acts on what it swept
    for env, index, generation in overdue:
        repair.fail(rig.lane, env, index, b"late", 2, "Sandbox.Timedout", hold=True, generation=generation)
    rig.check()
    rig.finish()


# --- a flood --------------------------------------------------------------------------------------------------------


def test_a_log_position_without_end_does_not_keep_the_core_reading(rig: Rig) -> None:
    worker = rig.start()
    worker.env.log_fd, write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    flooder = os.fork()
    if flooder == 0:
        os.close(worker.env.log_fd)
        os.set_blocking(write_fd, True)
        for _ in range(256):
            os.write(write_fd, b"y" * (1 << 20))
        os._exit(0)
    os.close(write_fd)
    try:
        rig.invoke()
        worker.claim()
        worker.write(log_end=U64)
        worker.finish()
        assert rig.lane.drain_now() == 1
        assert os.waitpid(flooder, os.WNOHANG) == (0, 0), "the core read until the flood was over"
    finally:
        os.kill(flooder, signal.SIGKILL)
        os.waitpid(flooder, 0)
    rig.check()
