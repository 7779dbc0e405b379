# What a lane does with a streamed answer where it would otherwise do nothing. `lane.flows` is False until the first.

from libc.stdint cimport uint32_t, uint64_t
from engine._ext.environment cimport Environment
from engine._ext.flow cimport Flow
from engine._ext.lane cimport Lane
from engine._ext.layout cimport *
from engine._ext.queue cimport env_at, make_word, slot_at


cdef inline int flow_in(Lane lane, int index, Flow flow) except -1:
    """It gets a slot, which is published next."""
    flow.name_invocation(lane.entries[index].request_id, lane.version)
    flow.attach(lane, lane.mapping, &lane.queue, lane.region_fd, index)
    slot_at(lane.queue.base_ptr, index).in_flags |= IN_STREAMED
    lane.spilled_bytes += FLOW_RING
    lane.flows = True
    return 0


cdef inline int flow_heard(Lane lane, Environment env) except -1:
    """An environment that streams rang: whoever reads is told. How many were: at most one.

    The slot that it names must be its own, or nobody is told.
    """
    cdef uint32_t index = load32(&env_at(lane.queue.base_ptr, env.index).flow_slot) - 1
    cdef uint64_t word
    if index >= SLOTS or not lane.entries[index].outstanding or not lane.entries[index].flows:
        return 0
    word = load64(&slot_at(lane.queue.base_ptr, index).word)
    if word != make_word(CLAIMED, env.index, lane.entries[index].generation):
        return 0
    (<Flow>lane.waiters[index]).tell()
    return 1


cdef inline bint flow_is_sound(Lane lane, int index) except -1:
    """Whether what is left in the ring can be an honest environment's."""
    return (<Flow>lane.waiters[index]).there() >= 0
