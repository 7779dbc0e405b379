# Records on their way to the disk: what a lane appends, what the ledger's thread takes, and the sums that it makes.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from engine._ext.pair_table cimport pair_table_t
from engine._ext.result cimport InvokeResult

cdef extern from *:
    """
    #include <stdint.h>
    typedef struct {
        uint8_t request_id[16];
        uint64_t ended_ns;                          /* Unix time */
        uint64_t queued_ns, duration_ns, init_ns;   /* init_ns is 0 unless the start was cold */
        uint32_t source;                            /* stands for a configuration: `Source` in segments.py */
        uint32_t billed_ms, environment;
        uint16_t max_memory_mb;
        uint8_t start, outcome;
    } line_t;
    _Static_assert(sizeof(line_t) == 64, "one record is one cache line, and what segments on disk are made of");
    """
    ctypedef struct line_t:
        uint8_t request_id[16]
        uint64_t ended_ns, queued_ns, duration_ns, init_ns
        uint32_t source, billed_ms, environment
        uint16_t max_memory_mb
        uint8_t start, outcome

cdef enum:
    CHUNK_LINES = 16384     # 1 MiB: 20 ms of 800,000 invocations per second
    SPARE_MOST = 2
    OUTCOMES_COUNT = 5

cdef struct sum_t:
    uint32_t source, day    # days since 1970, UTC
    uint64_t outcomes[OUTCOMES_COUNT]
    uint64_t colds, billed_ms, init_ns, provisioned, provisioned_ms


cdef class Tally:
    cdef pair_table_t sums          # of sum_t
    cdef bint add_lines(self, const line_t* lines_ptr, uint64_t count) noexcept nogil


cdef class Chunk:
    cdef line_t* lines_ptr
    cdef readonly uint32_t count
    cdef readonly uint64_t base     # the sequence number of its first record


cdef class Journal:
    cdef line_t* next_ptr           # where the next record goes
    cdef line_t* end_ptr
    cdef Chunk chunk
    cdef list filled, spare
    cdef uint64_t base, wall_offset_ns
    cdef readonly uint64_t settled, most, lost
    cdef readonly bint full
    cdef public str where, trouble
    cdef void append(self, InvokeResult result, uint32_t source, uint64_t done_ns, uint32_t environment) noexcept
    cdef line_t* room(self) noexcept
    cdef int replace(self) except -1
    cpdef void set_clock(self) noexcept
    cdef int hand_over(self) except -1
    cdef uint64_t appended_now(self) noexcept
