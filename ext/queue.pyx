"""The shared queue's two ends as Python objects, step by step, for tests, benchmarks and post-mortems.

Nothing of the engine calls this. The protocol, its orders and what happens when somebody dies are in queue.pxd; a load
that runs over it without the interpreter is in queue_load.pyx.
"""

from libc.stdint cimport uint32_t, uint64_t
from engine._ext.kernel cimport monotonic_ns
from engine._ext.layout cimport *
from engine._ext.linux cimport Mapping
from engine._ext.queue cimport *

NOTHING = NONE
FORGED = ILLEGAL
READY_CAPACITY = READY_CAP

# Where each field lies: (offset of the first, distance to the next, bytes). For tests that play a hostile environment.
FIELDS = {
    "ready_tail": (<size_t>&(<region_t*>NULL).ready_tail, 0, 8),
    "ready_head": (<size_t>&(<region_t*>NULL).ready_head, 0, 8),
    "core_asleep": (<size_t>&(<region_t*>NULL).core_asleep, 0, 4),
    "sleeping": (<size_t>&(<region_t*>NULL).sleeping, 8, 8),
    "spinning": (<size_t>&(<region_t*>NULL).spinning, 8, 8),
    "finished": (<size_t>&(<region_t*>NULL).finished, 8, 8),
    "ready_cell": (READY_OFFSET, 8, 8),
    "done_tail": (ENVS_OFFSET + <size_t>&(<env_t*>NULL).done_tail, sizeof(env_t), 8),
    "log_read": (ENVS_OFFSET + <size_t>&(<env_t*>NULL).log_read, sizeof(env_t), 8),
    "init_start_ns": (ENVS_OFFSET + <size_t>&(<env_t*>NULL).init_start_ns, sizeof(env_t), 8),
    "init_end_ns": (ENVS_OFFSET + <size_t>&(<env_t*>NULL).init_end_ns, sizeof(env_t), 8),
    "init_log_end": (ENVS_OFFSET + <size_t>&(<env_t*>NULL).init_log_end, sizeof(env_t), 8),
    "init_state": (ENVS_OFFSET + <size_t>&(<env_t*>NULL).init_state, sizeof(env_t), 4),
    "flow_slot": (ENVS_OFFSET + <size_t>&(<env_t*>NULL).flow_slot, sizeof(env_t), 4),
    "init_type_len": (ENVS_OFFSET + <size_t>&(<env_t*>NULL).init_type_len, sizeof(env_t), 4),
    "done_cell": (RINGS_OFFSET, 2, 2),
    "word": (SLOTS_OFFSET + <size_t>&(<slot_t*>NULL).word, SLOT_STRIDE, 8),
    "out_len": (SLOTS_OFFSET + <size_t>&(<slot_t*>NULL).out_len, SLOT_STRIDE, 4),
    "out_type_len": (SLOTS_OFFSET + <size_t>&(<slot_t*>NULL).out_type_len, SLOT_STRIDE, 4),
    "out_flags": (SLOTS_OFFSET + <size_t>&(<slot_t*>NULL).out_flags, SLOT_STRIDE, 4),
    "memory_kb": (SLOTS_OFFSET + <size_t>&(<slot_t*>NULL).memory_kb, SLOT_STRIDE, 4),
    "claimed_ns": (SLOTS_OFFSET + <size_t>&(<slot_t*>NULL).claimed_ns, SLOT_STRIDE, 8),
    "done_ns": (SLOTS_OFFSET + <size_t>&(<slot_t*>NULL).done_ns, SLOT_STRIDE, 8),
    "log_end": (SLOTS_OFFSET + <size_t>&(<slot_t*>NULL).log_end, SLOT_STRIDE, 8),
    "flow_taken": (SLOTS_OFFSET + <size_t>&(<slot_t*>NULL).flow_taken, SLOT_STRIDE, 8),
    "flow_dropped": (SLOTS_OFFSET + <size_t>&(<slot_t*>NULL).flow_dropped, SLOT_STRIDE, 4),
    "flow_given": (SLOTS_OFFSET + <size_t>&(<slot_t*>NULL).flow_given, SLOT_STRIDE, 8),
    "flow_wanted": (SLOTS_OFFSET + <size_t>&(<slot_t*>NULL).flow_wanted, SLOT_STRIDE, 4),
    "cpu_ns": (SLOTS_OFFSET + <size_t>&(<slot_t*>NULL).cpu_ns, SLOT_STRIDE, 8),
    "body": (SLOTS_OFFSET + SLOT_HEAD, SLOT_STRIDE, INLINE_MAX),
}


cdef int checked(int number, int bound, str what) except -1:
    if not 0 <= number < bound:
        raise IndexError(f"{what} {number} is outside 0..{bound - 1}")
    return number


cdef Mapping mapping_of(object region):
    return region if isinstance(region, Mapping) else Mapping(region)


cdef class CoreEnd:
    """The core's end. `region` is a descriptor, or a mapping to share within this process."""
    cdef queue_t queue
    cdef readonly Mapping mapping

    def __init__(self, object region):
        self.mapping = mapping_of(region)
        queue_format(&self.queue, self.mapping.base_ptr)

    def format(self, object region) -> None:
        """Go over to another region, which holds zeros. The old mapping is the caller's to keep alive."""
        self.mapping = mapping_of(region)
        queue_format(&self.queue, self.mapping.base_ptr)

    def admit(self, int env) -> None:
        queue_admit(&self.queue, checked(env, ENVS, "environment"))

    def forget(self, int env) -> None:
        queue_forget(&self.queue, checked(env, ENVS, "environment"))

    def is_live(self, int env) -> bool:
        return is_live(&self.queue, env)

    def publish(self, int slot, uint64_t generation) -> int:
        return queue_publish(&self.queue, checked(slot, SLOTS, "slot"), generation)

    def append(self, int slot) -> int:
        """Publish the hint again."""
        return queue_append(&self.queue, checked(slot, SLOTS, "slot"))

    def release(self, int slot, uint64_t generation) -> None:
        """Set a slot free."""
        store64(&slot_at(self.queue.base_ptr, checked(slot, SLOTS, "slot")).word, make_word(FREE, 0, generation))

    def holds(self, int slot) -> bool:
        """Whether the ready ring still names this slot."""
        return ready_holds(&self.queue, slot)

    def word(self, int slot) -> tuple:
        """(phase, owner, generation) of a slot."""
        cdef uint64_t word = load64(&slot_at(self.queue.base_ptr, checked(slot, SLOTS, "slot")).word)
        return word_phase(word), word_owner(word), word_generation(word)

    def wake(self) -> int:
        return queue_wake(&self.queue)

    def call(self, int env) -> None:
        queue_call(&self.queue, checked(env, ENVS, "environment"))

    def retire(self, int env) -> None:
        store32(&env_at(self.queue.base_ptr, checked(env, ENVS, "environment")).retire, 1)
        self.call(env)

    def arm(self) -> bool:
        """Have answers ring. False when one came in between."""
        store32(&self.queue.head_ptr.core_asleep, 1)
        fence()
        return not any_finished(&self.queue)

    def disarm(self) -> None:
        store32(&self.queue.head_ptr.core_asleep, 0)

    def allow_spin(self, uint32_t spin_ns, uint32_t limit) -> None:
        self.queue.head_ptr.spin_ns = spin_ns
        self.queue.head_ptr.spin_limit = limit

    def any_sleeping(self) -> bool:
        return any_sleeping(&self.queue)

    def any_finished(self) -> bool:
        return any_finished(&self.queue)

    def watch(self, uint64_t duration_ns) -> bool:
        """Look for answers for that long, without the interpreter lock."""
        cdef uint64_t stop_ns = monotonic_ns() + duration_ns
        cdef bint found = False
        with nogil:
            while not found and monotonic_ns() < stop_ns:
                found = any_finished(&self.queue)
        return found

    def take_finished(self, int w) -> int:
        return take_finished(&self.queue, checked(w, ENV_WORDS, "word"))

    def pop_done(self, int env) -> int:
        return pop_done(&self.queue, checked(env, ENVS, "environment"))


cdef class EnvironmentEnd:
    """One environment's end. `event_fd` is rung when the core sleeps; -1 rings nothing."""
    cdef readonly Mapping mapping
    cdef readonly int index
    cdef int event_fd
    cdef char* base_ptr
    cdef uint64_t claimed

    def __init__(self, object region, int index, int event_fd=-1):
        self.mapping = mapping_of(region)
        self.base_ptr = self.mapping.base_ptr
        self.index = checked(index, ENVS, "environment")
        self.event_fd = event_fd

    def pop_ready(self) -> int:
        return pop_ready(self.base_ptr)

    def look(self, int slot) -> int:
        """The slot's word, as 64 bits: what `claim_seen` wants back."""
        return load64(&slot_at(self.base_ptr, checked(slot, SLOTS, "slot")).word)

    def claim_seen(self, int slot, uint64_t seen) -> bool:
        if not claim_seen(self.base_ptr, self.index, checked(slot, SLOTS, "slot"), seen):
            return False
        self.claimed = make_word(CLAIMED, self.index, word_generation(seen))
        return True

    def claim_next(self) -> int:
        return claim_next(self.base_ptr, self.index, &self.claimed)

    def mark_done(self, int slot) -> None:
        mark_done(self.base_ptr, self.index, checked(slot, SLOTS, "slot"), self.claimed)

    def append_done(self, int slot) -> None:
        append_done(self.base_ptr, self.index, checked(slot, SLOTS, "slot"))

    def flag_finished(self) -> None:
        flag_finished(self.base_ptr, self.index, self.event_fd)

    def finish(self, int slot) -> None:
        """The three steps before this one."""
        finish(self.base_ptr, self.index, checked(slot, SLOTS, "slot"), self.claimed, self.event_fd)

    def work_waits(self) -> bool:
        return work_waits(self.base_ptr, self.index)

    def may_spin(self) -> bool:
        return may_spin(self.base_ptr)

    def spin(self) -> bool:
        cdef bint found
        with nogil:
            found = spin_for_work(self.base_ptr, self.index)
        return found

    def sleep(self) -> None:
        with nogil:
            sleep_for_work(self.base_ptr, self.index)
