# A streamed answer on its way from an environment to the core: a ring of bytes in the spill space of its slot.
#
# WHO WRITES, WHO READS
#   the bytes      the slot's owner writes them by pwrite, the core reads them by pread: never mapped, like all that is
#                  spilled. The first byte of a stream is the length of its content type, which follows; all else is the
#                  answer. Chunks have no borders here.
#   flow_given     the owner: bytes ever written. flow_taken: the core: bytes ever taken, of which it keeps its own
#                  count. What is between them lies in the ring, at position modulo FLOW_RING.
#   flow_wanted    the owner, before it sleeps on its bell: how much room it sleeps for.
#   flow_dropped   the core: nobody reads any more, and the owner need not write.
#   The core sets all four to zero before it publishes the slot, so nothing of the invocation before is seen. One that
#   was ended early still has an owner that may write: its slot is `held` until that owner is buried.
#
# WHAT EACH ORDER IS FOR
#   store64(flow_given)    release: the bytes before the count that covers them. Then the environment names the slot in
#                          its record and raises its bit in `finished`, as for a completion (see queue.pxd).
#   store64(flow_taken)    release: the bytes were read before their place is written again.
#   flow_wanted, fence     then flow_taken and flow_dropped are read; the core stores those, fences, then reads
#                          flow_wanted. One of the two sees the other. The sleep ends by itself after a while all the
#                          same: an environment that waits for ever would only be noticed by its time limit.
#
# WHAT THE CORE BELIEVES
#   Nothing: counts that no honest owner can have written are ILLEGAL (`ring_there`), and end the environment.

from libc.stdint cimport int64_t, uint32_t, uint64_t
from engine._ext.kernel cimport read_all
from engine._ext.layout cimport *
from engine._ext.queue cimport ILLEGAL

cdef extern from "region/flow_ring.h":
    uint64_t ring_at_byte(int index, uint64_t position) noexcept nogil
    int64_t ring_write(int region_fd, char*, int index, const char* from_ptr, size_t length) noexcept nogil


cdef inline int64_t ring_there(slot_t* slot_ptr, uint64_t taken) noexcept nogil:
    """How many bytes wait, or ILLEGAL."""
    cdef uint64_t given = load64(&slot_ptr.flow_given)
    if given - taken > FLOW_RING or given > <uint64_t>FLOW_MAX + 256:
        return ILLEGAL
    return <int64_t>(given - taken)


cdef inline int ring_read(int region_fd, int index, uint64_t taken, char* to_ptr, size_t length) noexcept nogil:
    """Copy bytes that wait. 0, or -errno."""
    cdef size_t first = min(length, <size_t>(FLOW_RING - (taken & (FLOW_RING - 1))))
    cdef int failed = read_all(region_fd, to_ptr, first, ring_at_byte(index, taken))
    if failed or first == length:
        return failed
    return read_all(region_fd, to_ptr + first, length - first, ring_at_byte(index, taken + first))


cdef inline bint ring_wants_waking(slot_t* slot_ptr, uint64_t taken) noexcept nogil:
    """After a store to flow_taken or flow_dropped: whether the owner sleeps for what is there now."""
    cdef uint32_t wanted
    fence()
    wanted = load32(&slot_ptr.flow_wanted)
    return wanted != 0 and (slot_ptr.flow_dropped or load64(&slot_ptr.flow_given) + wanted <= taken + FLOW_RING)
