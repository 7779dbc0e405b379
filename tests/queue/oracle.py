"""The shared queue in plain Python: what the compiled ends are held against. One process, no atomics, no bytes.

Written from the protocol's rules, not from its code: words are tuples, rings are dictionaries by position.
"""

from __future__ import annotations

from dataclasses import dataclass, field

NOTHING, FORGED = -2, -1
FREE, READY, CLAIMED, DONE = range(4)
SLOTS = ENVIRONMENTS = 1024
READY_CAPACITY = 4096


@dataclass
class Record:
    """What an environment and the core tell each other, outside of slots."""

    bell: int = 0
    retire: bool = False
    done_tail: int = 0
    done: dict[int, int] = field(default_factory=dict)


class OracleRegion:
    """What both ends may write: nothing here is to be trusted by either."""

    def __init__(self) -> None:
        self.words: list[tuple[int, int, int]] = [(FREE, 0, 0)] * SLOTS
        self.ready: dict[int, tuple[int, int]] = {}  # by position modulo the capacity: (position, slot)
        self.ready_head = self.ready_tail = 0
        self.records = [Record() for _ in range(ENVIRONMENTS)]
        self.sleeping: set[int] = set()
        self.spinning: set[int] = set()
        self.finished: set[int] = set()
        self.core_asleep = True
        self.spin_ns = self.spin_limit = 0


class OracleCore:
    def __init__(self, region: OracleRegion) -> None:
        self.format(region)

    def format(self, region: OracleRegion) -> None:
        self.region = region
        self.tail = 0
        self.live: set[int] = set()
        self.done_heads = [0] * ENVIRONMENTS
        self.highest = -1  # environment ever admitted

    def admit(self, env: int) -> None:
        self.forget(env)
        self.region.records[env] = Record(done=self.region.records[env].done)
        self.done_heads[env] = 0
        self.live.add(env)
        self.highest = max(self.highest, env)

    def forget(self, env: int) -> None:
        for flags in (self.live, self.region.sleeping, self.region.spinning, self.region.finished):
            flags.discard(env)

    def is_live(self, env: int) -> bool:
        return env in self.live

    def publish(self, slot: int, generation: int) -> int:
        self.region.words[slot] = (READY, 0, generation)
        return self.append(slot)

    def append(self, slot: int) -> int:
        if not 0 <= self.tail - self.region.ready_head < READY_CAPACITY:
            return FORGED
        self.region.ready[self.tail % READY_CAPACITY] = (self.tail, slot)
        self.tail += 1
        self.region.ready_tail = self.tail
        return 0

    def release(self, slot: int, generation: int) -> None:
        self.region.words[slot] = (FREE, 0, generation)

    def holds(self, slot: int) -> bool:
        unpopped = range(self.region.ready_head, self.tail)
        return len(unpopped) <= READY_CAPACITY and any(
            self.region.ready[position % READY_CAPACITY][1] == slot for position in unpopped
        )

    def word(self, slot: int) -> tuple[int, int, int]:
        return self.region.words[slot]

    def wake(self) -> int:
        sleepers = self.region.sleeping & self.live
        if not sleepers:
            return NOTHING
        self.call(min(sleepers))
        return min(sleepers)

    def call(self, env: int) -> None:
        self.region.sleeping.discard(env)
        self.region.records[env].bell += 1

    def retire(self, env: int) -> None:
        self.region.records[env].retire = True
        self.call(env)

    def arm(self) -> bool:
        self.region.core_asleep = True
        return not self.any_finished()

    def disarm(self) -> None:
        self.region.core_asleep = False

    def allow_spin(self, spin_ns: int, limit: int) -> None:
        self.region.spin_ns, self.region.spin_limit = spin_ns, limit

    def any_sleeping(self) -> bool:
        return bool(self.region.sleeping & self.live)

    def any_finished(self) -> bool:
        """Bits beyond the words in use are nobody's and are not looked at."""
        return any(env // 64 <= self.highest // 64 for env in self.region.finished)

    def take_finished(self, w: int) -> int:
        flagged = {env for env in self.region.finished if env // 64 == w}
        self.region.finished -= flagged
        return sum(1 << env % 64 for env in flagged & self.live)

    def pop_done(self, env: int) -> int:
        record, head = self.region.records[env], self.done_heads[env]
        if record.done_tail == head:
            return NOTHING
        if not 0 < record.done_tail - head <= SLOTS:
            return FORGED
        self.done_heads[env] += 1
        slot = record.done.get(head % SLOTS, 0)
        return slot if slot < SLOTS else FORGED


class OracleEnvironment:
    def __init__(self, region: OracleRegion, index: int) -> None:
        self.region = region
        self.index = index
        self.generation = 0
        self.bells_rung = 0  # of the core's

    def pop_ready(self) -> int:
        head = self.region.ready_head
        if head == self.region.ready_tail:
            return NOTHING
        position, slot = self.region.ready.get(head % READY_CAPACITY, (0, 0))
        if position != head:
            return FORGED
        self.region.ready_head = head + 1
        return slot

    def look(self, slot: int) -> int:
        phase, owner, generation = self.region.words[slot]
        return phase << 56 | owner << 40 | generation

    def claim_seen(self, slot: int, seen: int) -> bool:
        if self.look(slot) != seen or self.region.words[slot][0] != READY:
            return False
        self.generation = self.region.words[slot][2]
        self.region.words[slot] = (CLAIMED, self.index, self.generation)
        return True

    def claim_next(self) -> int:
        while (slot := self.pop_ready()) >= 0:
            if slot >= SLOTS:
                return FORGED
            if self.claim_seen(slot, self.look(slot)):
                return slot
        return slot

    def mark_done(self, slot: int) -> None:
        self.region.words[slot] = (DONE, self.index, self.generation)

    def append_done(self, slot: int) -> None:
        record = self.region.records[self.index]
        record.done[record.done_tail % SLOTS] = slot
        record.done_tail += 1

    def flag_finished(self) -> None:
        self.region.finished.add(self.index)
        self.bells_rung += self.region.core_asleep

    def finish(self, slot: int) -> None:
        self.mark_done(slot)
        self.append_done(slot)
        self.flag_finished()

    def work_waits(self) -> bool:
        return self.region.ready_tail != self.region.ready_head or self.region.records[self.index].retire

    def may_spin(self) -> bool:
        return self.region.spin_ns > 0 and len(self.region.spinning) < self.region.spin_limit
