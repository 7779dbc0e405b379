# One environment's place in its function's region: the steps that every language takes, which are place.h's.

from libc.stdint cimport int64_t, uint32_t, uint64_t
from engine._ext.layout cimport slot_t

cdef extern from "region/place.h":
    enum:
        ANSWER_MAX
        HOT_GAP_NS
        TO_END
        NOTHING_YET
        TAKEN
    const char* TOO_LARGE_ANSWER
    const char* STREAM_TOO_LARGE_ANSWER
    const char* TOO_LARGE_KIND

    ctypedef struct place_t:
        char* base
        int index, event_fd, region_fd, log_fd
        int slot
        uint64_t word, timeout_ns, begun_ns, ended_ns, gap_ns, sampled_ns, cpu_sampled_ns, cpu_ns, init_cpu_ns
        uint32_t memory_kb

    bint is_our_region(const char*) noexcept nogil
    void place_open(place_t*, char* base, int region_fd, int index, int event_fd, int log_fd,
                    uint64_t timeout_ns) noexcept nogil
    slot_t* place_slot(place_t*) noexcept nogil
    int place_take(place_t*) noexcept nogil
    void place_wait(place_t*) noexcept nogil
    uint64_t place_start(place_t*) noexcept nogil
    uint64_t log_position(place_t*) noexcept nogil
    bint is_due(const place_t*, uint64_t* last_ns, uint64_t every_ns) noexcept nogil
    uint64_t own_cpu_ns() noexcept nogil
    void sample_memory(place_t*) noexcept nogil
    void sample_cpu(place_t*) noexcept nogil
    int place_write(place_t*, const char* answer, size_t length, const char* kind, size_t kind_length) noexcept nogil
    void place_end(place_t*, size_t length, size_t type_length, bint is_error) noexcept nogil
    void place_announce(place_t*) noexcept nogil
    bint is_too_much(const place_t*) noexcept nogil

cdef extern from "region/streaming.h":
    int begin_streaming(place_t*, const char* kind, size_t length) noexcept nogil
    int64_t hand_on(place_t*, const char* piece, size_t length) noexcept nogil
