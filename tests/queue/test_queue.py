"""The queue's promises, step by step: against the compiled ends, the oracle, and both at once in random order.

What needs several processes is in test_stress.py; what the engine makes of a hostile region in test_hostile_region.py.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kits import SLOTS, BothKit, Kit, new_mapping, word
from oracle import CLAIMED, DONE, FORGED, FREE, NOTHING, READY, READY_CAPACITY

from engine._ext import queue as compiled
from engine._ext.queue import CoreEnd

ENVIRONMENTS = 1024


def test_both_speak_of_the_same_numbers() -> None:
    assert (compiled.NOTHING, compiled.FORGED, compiled.READY_CAPACITY) == (NOTHING, FORGED, READY_CAPACITY)


# --- what honest ends do ----------------------------------------------------------------------------------------------


def test_one_invocation_goes_there_and_back(kit: Kit) -> None:
    core, env = kit.core, kit.environment(3)
    core.admit(3)
    assert core.publish(7, 1) == 0
    assert core.word(7) == (READY, 0, 1)
    assert env.work_waits() and env.claim_next() == 7
    assert core.word(7) == (CLAIMED, 3, 1)
    env.finish(7)
    assert core.word(7) == (DONE, 3, 1)
    assert core.take_finished(0) == 1 << 3
    assert [core.pop_done(3), core.pop_done(3)] == [7, NOTHING]
    core.release(7, 1)
    assert core.word(7) == (FREE, 0, 1)
    assert not env.work_waits() and not core.any_finished()


def test_claims_come_in_the_order_of_publishing(kit: Kit) -> None:
    kit.core.admit(0)
    for slot in (5, 900, 0, 17):
        kit.core.publish(slot, 1)
    env = kit.environment(0)
    assert [env.claim_next() for _ in range(5)] == [5, 900, 0, 17, NOTHING]


def test_a_hint_given_twice_is_claimed_once(kit: Kit) -> None:
    first, second = kit.environment(0), kit.environment(1)
    kit.core.publish(4, 1)
    kit.core.append(4)
    assert (first.claim_next(), second.claim_next()) == (4, NOTHING)
    assert kit.core.word(4) == (CLAIMED, 0, 1)


def test_a_claim_with_an_old_generation_loses(kit: Kit) -> None:
    slow, quick = kit.environment(0), kit.environment(1)
    kit.core.publish(4, 1)
    kit.core.append(4)
    assert slow.pop_ready() == 4
    seen = slow.look(4)
    assert quick.claim_next() == 4
    quick.finish(4)
    kit.core.release(4, 1)
    assert not slow.claim_seen(4, seen)
    kit.core.publish(4, 2)
    assert not slow.claim_seen(4, seen)
    assert kit.core.word(4) == (READY, 0, 2)


def test_the_ring_tells_which_hints_are_unpopped(kit: Kit) -> None:
    kit.core.publish(8, 1)
    assert kit.core.holds(8) and not kit.core.holds(9)
    kit.environment(0).pop_ready()
    assert not kit.core.holds(8)


def test_the_rings_go_round(kit: Kit) -> None:
    kit.core.admit(1)
    env = kit.environment(1)
    for turn in range(READY_CAPACITY + SLOTS + 3):
        slot = turn % SLOTS
        assert kit.core.publish(slot, turn) == 0
        assert env.claim_next() == slot
        env.finish(slot)
        assert kit.core.pop_done(1) == slot
        kit.core.release(slot, turn)
    assert kit.core.pop_done(1) == NOTHING


def test_every_slot_may_be_outstanding_at_one_environment(kit: Kit) -> None:
    kit.core.admit(0)
    env = kit.environment(0)
    for slot in range(SLOTS):
        kit.core.publish(slot, 1)
        assert env.claim_next() == slot
        env.finish(slot)
    assert [kit.core.pop_done(0) for _ in range(SLOTS + 1)] == [*range(SLOTS), NOTHING]


def test_the_last_environment_is_as_good_as_the_first(kit: Kit) -> None:
    kit.core.admit(ENVIRONMENTS - 1)
    env = kit.environment(ENVIRONMENTS - 1)
    kit.core.publish(SLOTS - 1, 1)
    assert env.claim_next() == SLOTS - 1
    env.finish(SLOTS - 1)
    assert kit.core.take_finished(15) == 1 << 63
    assert kit.core.pop_done(ENVIRONMENTS - 1) == SLOTS - 1


def test_a_number_used_again_starts_with_an_empty_ring(kit: Kit) -> None:
    kit.core.admit(2)
    env = kit.environment(2)
    kit.core.publish(1, 1)
    env.claim_next()
    env.finish(1)
    kit.core.retire(2)
    kit.core.forget(2)
    assert not kit.core.is_live(2) and not kit.core.any_finished()
    kit.core.admit(2)
    assert kit.core.pop_done(2) == NOTHING and not env.work_waits()


def test_an_environment_asked_to_retire_has_something_to_wake_for(kit: Kit) -> None:
    kit.core.admit(0)
    assert not kit.environment(0).work_waits()
    kit.core.retire(0)
    assert kit.environment(0).work_waits()


def test_the_core_may_not_sleep_on_an_answer(kit: Kit) -> None:
    kit.core.admit(0)
    assert kit.core.arm()
    kit.core.disarm()
    kit.environment(0).flag_finished()
    assert not kit.core.arm()


def test_nobody_spins_unless_allowed(kit: Kit) -> None:
    env = kit.environment(0)
    assert not env.may_spin()
    kit.core.allow_spin(1000, 1)
    assert env.may_spin()
    kit.core.allow_spin(0, 1)
    assert not env.may_spin()


def test_nobody_is_woken_where_nobody_sleeps(kit: Kit) -> None:
    kit.core.admit(0)
    assert kit.core.wake() == NOTHING and not kit.core.any_sleeping()


def test_an_index_out_of_range_is_refused() -> None:
    core = CoreEnd(new_mapping())
    for call in (core.admit, core.forget, core.pop_done, core.call, core.retire):
        for number in (-1, ENVIRONMENTS):
            with pytest.raises(IndexError, match=f"environment {number} is outside"):
                call(number)
    assert not core.is_live(-1) and not core.is_live(ENVIRONMENTS)


def test_a_region_can_be_replaced_while_a_thread_looks_at_it() -> None:
    core = CoreEnd(new_mapping())
    mappings = [core.mapping]
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            core.watch(2_000_000)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(300):
            core.admit(1023)  # sixteen words are looked at, so that the pointer is read often
            mappings.append(new_mapping())
            core.format(mappings[-1])
    finally:
        stop.set()
        watcher.join()


# --- what no honest environment writes --------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", [SLOTS + 1, 1 << 40, (1 << 64) - 1])
def test_a_completion_tail_beyond_the_ring_is_illegal(kit: Kit, tail: int) -> None:
    kit.core.admit(0)
    kit.forge("done_tail", tail, 0)
    assert kit.core.pop_done(0) == FORGED


def test_a_completion_tail_that_goes_back_is_illegal(kit: Kit) -> None:
    kit.core.admit(0)
    env = kit.environment(0)
    for slot in (0, 1):
        kit.core.publish(slot, 1)
        env.finish(env.claim_next())
        kit.core.pop_done(0)
    kit.forge("done_tail", 1, 0)
    assert kit.core.pop_done(0) == FORGED


@pytest.mark.parametrize("slot", [SLOTS, 0x7FFF, 0xFFFF])
def test_an_index_that_is_no_slot_is_illegal(kit: Kit, slot: int) -> None:
    kit.core.admit(5)
    kit.forge("done_cell", slot, 5 * SLOTS)
    kit.forge("done_tail", 1, 5)
    assert kit.core.pop_done(5) == FORGED


@pytest.mark.parametrize("head", [2, READY_CAPACITY, (1 << 64) - 1])
def test_a_ready_head_beyond_the_tail_is_illegal(kit: Kit, head: int) -> None:
    kit.core.publish(0, 1)
    kit.forge("ready_head", head)
    assert kit.core.append(1) == FORGED
    assert not kit.core.holds(0)


def test_a_ready_head_that_never_moves_is_illegal_once_the_ring_is_full(kit: Kit) -> None:
    for turn in range(READY_CAPACITY):
        assert kit.core.append(turn % SLOTS) == 0
    assert kit.core.append(0) == FORGED


def test_a_forged_hint_stops_its_consumers_and_nothing_else(kit: Kit) -> None:
    kit.core.publish(0, 1)
    kit.forge("ready_cell", 77 << 16, 0)
    assert kit.environment(0).claim_next() == FORGED
    assert kit.core.publish(1, 1) == 0


def test_a_hint_at_no_slot_is_illegal(kit: Kit) -> None:
    kit.core.publish(0, 1)
    kit.forge("ready_cell", SLOTS, 0)
    assert kit.environment(0).claim_next() == FORGED


@pytest.mark.parametrize("phase", [FREE, CLAIMED, DONE, 4, 255])
def test_only_a_ready_slot_is_claimed(kit: Kit, phase: int) -> None:
    kit.core.publish(0, 1)
    kit.forge("word", word(phase, 9, 1), 0)
    assert kit.environment(0).claim_next() == NOTHING
    assert kit.core.word(0) == (phase, 9, 1)


def test_bits_of_the_dead_and_of_strangers_are_not_taken(kit: Kit) -> None:
    kit.core.admit(1)
    kit.forge("finished", (1 << 64) - 1, 0)
    assert kit.core.take_finished(0) == 1 << 1
    assert kit.core.take_finished(0) == 0


# --- both at once, in any order, with death between any two steps -----------------------------------------------------


@dataclass
class Consumer:
    """Where one environment is. `step` names the last thing it did."""

    end: object
    step: str = "idle"  # idle, popped, looked, claimed, done, appended
    slot: int = -1
    seen: int = 0


class Lifecycle(RuleBasedStateMachine):
    """The core's table and each environment's step are known here; the region must never say anything else."""

    @initialize()
    def begin(self) -> None:
        self.kit = BothKit()
        self.core = self.kit.core
        self.consumers: dict[int, Consumer] = {}
        self.outstanding: dict[int, int] = {}  # slot: request
        self.generations = [0] * SLOTS
        self.requests = 0
        self.ended: dict[int, str] = {}

    # --- the core

    @precondition(lambda self: len(self.outstanding) < 6)
    @rule(pick=st.integers(0, 5))
    def publish(self, pick: int) -> None:
        free = [slot for slot in (0, 1, 2, 500, 1022, 1023) if slot not in self.outstanding]
        slot = free[pick % len(free)]
        self.generations[slot] += 1
        self.requests += 1
        self.outstanding[slot] = self.requests
        assert self.core.publish(slot, self.generations[slot]) == 0
        self.core.wake()

    @precondition(lambda self: self.outstanding)
    @rule(pick=st.integers(0, 5))
    def publish_again(self, pick: int) -> None:
        slot = sorted(self.outstanding)[pick % len(self.outstanding)]
        if self.core.word(slot)[0] == READY:
            assert self.core.append(slot) == 0

    @rule()
    def drain(self) -> None:
        for w in (0, 15):
            bits = self.core.take_finished(w)
            for env in [w * 64 + bit for bit in range(64) if bits >> bit & 1]:
                assert env in self.consumers, "a bit of nobody"
                self.drain_one(env)

    def drain_one(self, env: int) -> None:
        while (slot := self.core.pop_done(env)) != NOTHING:
            assert slot != FORGED
            self.settle(env, slot)

    def settle(self, env: int, slot: int) -> None:
        assert self.core.word(slot) == (DONE, env, self.generations[slot])
        self.end(slot, "answered")

    def end(self, slot: int, how: str) -> None:
        request = self.outstanding.pop(slot)
        assert request not in self.ended, f"request {request} ended twice"
        self.ended[request] = how
        self.core.release(slot, self.generations[slot])

    @rule()
    def sweep(self) -> None:
        for slot in self.outstanding:
            if self.core.word(slot)[0] == READY and not self.core.holds(slot):
                assert self.core.append(slot) == 0

    # --- environments

    @rule(env=st.sampled_from([0, 1, 63, 1023]))
    def start(self, env: int) -> None:
        if env not in self.consumers:
            self.core.admit(env)
            self.consumers[env] = Consumer(self.kit.environment(env))

    @precondition(lambda self: self.consumers)
    @rule(pick=st.integers(0, 3), steps=st.integers(1, 6))
    def step(self, pick: int, steps: int) -> None:
        env = sorted(self.consumers)[pick % len(self.consumers)]
        for _ in range(steps):
            getattr(self, f"after_{self.consumers[env].step}")(self.consumers[env])

    def after_idle(self, consumer: Consumer) -> None:
        consumer.slot = consumer.end.pop_ready()
        if consumer.slot >= 0:
            consumer.step = "popped"
        else:
            assert consumer.slot == NOTHING

    def after_popped(self, consumer: Consumer) -> None:
        consumer.seen = consumer.end.look(consumer.slot)
        consumer.step = "looked"

    def after_looked(self, consumer: Consumer) -> None:
        now = consumer.end.look(consumer.slot)
        won = consumer.end.claim_seen(consumer.slot, consumer.seen)
        assert won == (now == consumer.seen == word(READY, 0, self.generations[consumer.slot]))
        consumer.step = "claimed" if won else "idle"

    def after_claimed(self, consumer: Consumer) -> None:
        consumer.end.mark_done(consumer.slot)
        consumer.step = "done"

    def after_done(self, consumer: Consumer) -> None:
        consumer.end.append_done(consumer.slot)
        consumer.step = "appended"

    def after_appended(self, consumer: Consumer) -> None:
        consumer.end.flag_finished()
        consumer.step = "idle"

    @precondition(lambda self: self.consumers)
    @rule(pick=st.integers(0, 3))
    def die(self, pick: int) -> None:
        """At whatever step it is; then the core does what it does on a death."""
        env = sorted(self.consumers)[pick % len(self.consumers)]
        consumer = self.consumers.pop(env)
        self.drain_one(env)
        for slot in list(self.outstanding):
            phase, owner, generation = self.core.word(slot)
            if phase in (CLAIMED, DONE) and owner == env:
                assert generation == self.generations[slot] and slot == consumer.slot
                assert consumer.step == {CLAIMED: "claimed", DONE: "done"}[phase]
                self.end(slot, "answered" if phase == DONE else "failed")
        self.core.forget(env)
        self.sweep()

    # --- what always holds

    @invariant()
    def every_request_is_under_way_or_ended_once(self) -> None:
        assert sorted([*self.outstanding.values(), *self.ended]) == list(range(1, self.requests + 1))

    @invariant()
    def every_claimed_slot_has_the_one_owner_that_knows_of_it(self) -> None:
        holders = {
            consumer.slot: (env, consumer.step)
            for env, consumer in self.consumers.items()
            if consumer.step in ("claimed", "done")
        }
        for slot in self.outstanding:
            phase, owner, generation = self.core.word(slot)
            assert generation == self.generations[slot]
            assert phase in (READY, CLAIMED, DONE)
            if phase == READY:
                assert slot not in holders
            elif phase == CLAIMED:
                assert holders[slot] == (owner, "claimed")
            else:
                assert owner in self.consumers
                assert holders.get(slot, (owner, "done")) == (owner, "done")

    def teardown(self) -> None:
        """The dead are buried, one last environment takes what is left: nothing is lost."""
        for _ in list(self.consumers):
            self.die(0)
        self.start(1)
        while self.outstanding:
            for _ in range(6):
                self.step(0, 1)
            self.drain()
        assert sorted(self.ended) == list(range(1, self.requests + 1))


Lifecycle.TestCase.settings = settings(max_examples=120, stateful_step_count=60, deadline=None)
TestLifecycle = Lifecycle.TestCase
