# What is counted per function version: a ring of records, a histogram of durations, running estimates.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    # 16 buckets per power of two: a percentile is at most 1/16 above the true value.
    SUB_BITS = 4
    BUCKETS = 64 << SUB_BITS

cdef inline int bucket_of(uint64_t value) noexcept nogil:
    cdef int top = 0
    cdef uint64_t rest = value
    if value < (1 << SUB_BITS):
        return <int>value
    while rest >> 1:
        rest >>= 1
        top += 1
    return ((top - SUB_BITS + 1) << SUB_BITS) + <int>((value >> (top - SUB_BITS)) & ((1 << SUB_BITS) - 1))


cdef inline uint64_t bucket_top(int bucket) noexcept nogil:
    """The largest value that falls into this bucket."""
    cdef int exponent = bucket >> SUB_BITS
    cdef uint64_t sub = bucket & ((1 << SUB_BITS) - 1)
    if exponent == 0:
        return sub
    return ((((<uint64_t>1 << SUB_BITS) + sub + 1) << (exponent - 1))) - 1


cdef struct record_t:
    uint8_t request_id[16]
    uint64_t published_ns, claimed_ns, done_ns
    uint64_t init_ns            # or of a restoration; 0: neither a cold start nor one from a snapshot
    uint64_t billed_start_ns    # what of that is billed
    uint64_t billed_ms
    uint32_t memory_mb, max_memory_mb
    uint32_t environment        # its serial number
    uint8_t start, outcome
    uint16_t type_index         # into Ledger.types


cdef class Histogram:
    cdef uint32_t* counts
    cdef readonly uint64_t count, max_ns, min_ns  # min_ns: once there is one
    cdef double total_ns
    cdef void add(self, uint64_t value_ns) noexcept


cdef class Ledger:
    cdef record_t* ring_ptr
    cdef readonly uint64_t appended     # ever
    cdef uint64_t capacity, most
    cdef list types
    cdef dict type_numbers
    cdef record_t* append(self) except NULL
    cdef uint16_t type_number(self, str error_type) except *


cdef class Meter:
    cdef readonly Ledger ledger
    cdef readonly Histogram durations, inits, waits
    cdef readonly uint64_t invocations, errors, timeouts, billed_ms
    cdef uint64_t starts[4]             # by the codes of result.pxd
    cdef public uint64_t throttles
    cdef public int outstanding     # over all lanes of this version
    cdef public int peak            # most that were outstanding at once, since somebody set it
    cdef readonly int serials       # environments ever, over all lanes of this version


cdef class Quota:
    cdef public int limit
    cdef readonly int used, borrowed
    cdef readonly str reason
    cdef readonly Quota beyond          # where what is over `limit` counts too, and must find room
    cdef bint borrow(self) noexcept
    cdef void give_back(self) noexcept
