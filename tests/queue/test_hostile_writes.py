"""Anything, written anywhere into a region, in any order, while the engine works on it: real lane, repair, scheduler.

A crash of the interpreter fails the run loudly (see tests/conftest.py); nothing may raise; what always holds is checked
after each step, and at the end everything must have ended exactly once and the lane serve again (`Rig.finish`).
"""

from __future__ import annotations

import time

from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from kits import SLOTS, forge, word
from lanes import SECOND_NS, TIMEOUT_S, Rig
from oracle import READY_CAPACITY

from engine._ext import leaving, reclaim, repair
from engine._ext.queue import FIELDS

U64 = (1 << 64) - 1
AIMED = [name for name in FIELDS if name != "body"]
OFTEN = ("word", "ready_cell", "done_cell", "done_tail", "ready_head", "ready_tail", "finished", "out_len", "out_flags")
values = st.one_of(
    st.integers(0, 8),
    st.sampled_from([SLOTS - 1, SLOTS, SLOTS + 1, READY_CAPACITY, 0xFFFF, (1 << 32) - 1, 1 << 63, U64]),
    st.builds(word, st.integers(0, 5), st.integers(0, 5), st.integers(0, 4)),
    st.builds(lambda position, slot: position << 16 | slot, st.integers(0, 6), st.integers(0, 6)),
    st.integers(0, U64),
)
COUNTS = dict.fromkeys(("ready_tail", "ready_head", "core_asleep"), 1) | {
    **dict.fromkeys(("sleeping", "spinning", "finished"), 16),
    "ready_cell": READY_CAPACITY,
    "done_cell": 4 * SLOTS,
}
places = st.one_of(st.integers(0, 5), st.sampled_from([SLOTS, 2 * SLOTS, SLOTS + 1]))


class Attack(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.rig = Rig()
        self.lane = self.rig.lane
        self.rig.start()

    @rule(count=st.integers(1, 3), payload=st.sampled_from([b"{}", b"x" * 5000]))
    def invoke(self, count: int, payload: bytes) -> None:
        for _ in range(count):
            self.rig.invoke(payload)

    @rule()
    def start(self) -> None:
        if len(self.rig.workers) < 4:
            self.rig.start()

    @rule(pick=st.integers(0, 3), how=st.sampled_from(["claim", "write", "done", "append", "flag", "finish", "serve"]))
    def work(self, pick: int, how: str) -> None:
        """An honest step, whatever the region has become."""
        workers = list(self.rig.workers.values())
        if not workers:
            return
        worker = workers[pick % len(workers)]
        if worker.slot < 0 and how != "serve":
            worker.claim()
            return
        steps = {
            "claim": lambda: None,
            "write": worker.write,
            "done": lambda: worker.end.mark_done(worker.slot),
            "append": lambda: worker.end.append_done(worker.slot),
            "flag": worker.end.flag_finished,
            "finish": worker.finish,
            "serve": worker.serve,
        }
        steps[how]()

    @rule(name=st.one_of(st.sampled_from(OFTEN), st.sampled_from(AIMED)), at=places, value=values)
    def forge(self, name: str, at: int, value: int) -> None:
        forge(self.lane.mapping, name, value, at % COUNTS.get(name, SLOTS))

    @rule(name=st.sampled_from([*OFTEN, *FIELDS]), at=st.integers(0, 5), bit=st.integers(0, 63))
    def flip(self, name: str, at: int, bit: int) -> None:
        first, stride, width = FIELDS[name]
        offset = first + stride * at + bit // 8 % width
        self.lane.mapping.poke(offset, bytes([self.lane.mapping.peek(offset, 1)[0] ^ 1 << bit % 8]))

    @rule(offset=st.integers(0, U64), garbage=st.binary(min_size=1, max_size=600))
    def scribble(self, offset: int, garbage: bytes) -> None:
        self.lane.mapping.poke(offset % (self.lane.mapping.length - len(garbage)), garbage)

    @rule(pages=st.sampled_from([0, 1, 8, 9, 10]), seed=st.binary(min_size=8, max_size=8))
    def scribble_over_a_page(self, pages: int, seed: bytes) -> None:
        """The head, the ring, the first records."""
        self.lane.mapping.poke(pages * 4096, seed * 512)

    @rule()
    def drain(self) -> None:
        self.lane.drain_now()

    @rule(ahead_s=st.sampled_from([0, 0, 0, 1, 2 * TIMEOUT_S]))
    def tick(self, ahead_s: int) -> None:
        self.rig.tick(time.monotonic_ns() + ahead_s * SECOND_NS)

    @rule()
    def sweep_without_acting(self) -> None:
        repair.sweep(self.lane, time.monotonic_ns())

    @rule(pick=st.integers(0, 3))
    def die(self, pick: int) -> None:
        workers = list(self.rig.workers)
        if workers:
            self.rig.bury(workers[pick % len(workers)])

    @rule()
    def look(self) -> None:
        now_ns = time.monotonic_ns()
        idle = repair.idle_environments(self.lane)
        assert {env.index for env in idle} <= {env.index for env in self.rig.workers}
        assert 0 <= repair.longest_running_ns(self.lane, now_ns) <= now_ns
        for env in self.rig.workers:
            assert len(repair.init_error_type(self.lane, env)) <= 256
            repair.take_output(self.lane, env)
        repair.pump_logs(self.lane)
        repair.ring(self.lane)
        reclaim.trim(self.lane)

    @rule(pick=st.integers(0, 3))
    def retire(self, pick: int) -> None:
        workers = list(self.rig.workers)
        if workers:
            leaving.retire(self.lane, workers[pick % len(workers)])

    @rule()
    def reject(self) -> None:
        repair.reject_waiting(self.lane, RuntimeError("rejected"))

    @rule()
    def poll(self) -> None:
        self.rig.scheduler.drain()

    @rule()
    def hear(self) -> None:
        self.rig.hear()

    @invariant()
    def counters_are_true(self) -> None:
        self.rig.check()

    def teardown(self) -> None:
        try:
            self.rig.hear()
            self.rig.finish()
        finally:
            self.rig.close()


Attack.TestCase.settings = settings(max_examples=250, stateful_step_count=30, deadline=None)
TestAttack = Attack.TestCase


@settings(max_examples=300, deadline=None)
@given(values, values, values, values, values, values, st.binary(max_size=64))
@example(3, 3, 3, U64, U64, U64, b"")
def test_no_answer_does_more_than_end_its_environment(
    length: int, type_length: int, flags: int, claimed_ns: int, done_ns: int, cpu_ns: int, body: bytes
) -> None:
    rig = Rig()
    try:
        worker = rig.start()
        answer = rig.invoke()
        worker.claim()
        lies = {"out_len": length, "out_type_len": type_length, "out_flags": flags, "claimed_ns": claimed_ns}
        worker.write(body, **lies, done_ns=done_ns, cpu_ns=cpu_ns, log_end=cpu_ns)
        worker.finish()
        rig.tick()
        assert len(answer.results) == 1
        rig.check()
    finally:
        rig.close()
