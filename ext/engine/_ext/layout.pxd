# The shared region of one function version: what layout.h says of it.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "region/layout.h":
    const uint64_t REGION_MAGIC
    const uint32_t REGION_ABI
    enum:
        SLOTS
        ENVS
        ENV_WORDS
        SLOT_WORDS
        READY_CAP
        SLOT_STRIDE
        SLOT_HEAD
        INLINE_MAX
        TYPE_MAX
        SPAN
        FLOW_RING
        FLOW_MAX
        FREE
        READY
        CLAIMED
        DONE
        IN_SPILLED
        IN_STREAMED
        OUT_SPILLED
        OUT_ERROR
        INIT_RUNNING
        INIT_OK
        INIT_FAILED
        RETIRE_IDLE
        RETIRE_TIMED_OUT
        RETIRE_NOW
        FAREWELL_WANTED
        FAREWELL_BEGUN
    const size_t READY_OFFSET, ENVS_OFFSET, RINGS_OFFSET, SLOTS_OFFSET, MAP_BYTES
    const uint64_t SPILL_OFFSET, REGION_BYTES, FLOW_OFFSET

    ctypedef struct region_t:
        uint64_t magic
        uint32_t abi, slots, envs, slot_stride
        uint64_t ready_tail, ready_head
        uint32_t core_asleep, spin_ns, spin_limit
        uint64_t sleeping[ENV_WORDS]
        uint64_t spinning[ENV_WORDS]
        uint64_t finished[ENV_WORDS]

    ctypedef struct env_t:
        uint32_t bell, retire
        uint64_t log_read
        uint64_t done_tail
        uint64_t init_start_ns, init_end_ns, init_log_end
        uint32_t init_state, init_type_len
        uint64_t restored_ns
        uint32_t flow_slot, farewell
        char init_type[TYPE_MAX]

    ctypedef struct slot_t:
        uint64_t word
        uint8_t request_id[16]
        uint32_t in_len, in_extra_len, in_flags
        uint64_t published_ns, flow_taken
        uint32_t flow_dropped
        uint32_t out_len, out_type_len, out_flags, memory_kb
        uint64_t claimed_ns, done_ns, log_end, cpu_ns, flow_given
        uint32_t flow_wanted
        uint8_t body[INLINE_MAX]

    uint64_t load64(const uint64_t*) noexcept nogil
    uint32_t load32(const uint32_t*) noexcept nogil
    uint16_t load16(const uint16_t*) noexcept nogil
    void store64(uint64_t*, uint64_t) noexcept nogil
    void store32(uint32_t*, uint32_t) noexcept nogil
    void store16(uint16_t*, uint16_t) noexcept nogil
    bint cas64(uint64_t*, uint64_t, uint64_t) noexcept nogil
    uint64_t swap64(uint64_t*, uint64_t) noexcept nogil
    uint64_t or64(uint64_t*, uint64_t) noexcept nogil
    uint64_t and64(uint64_t*, uint64_t) noexcept nogil
    uint32_t add32(uint32_t*, uint32_t) noexcept nogil
    void fence() noexcept nogil
    void acquire_fence() noexcept nogil
    int lowest_bit(uint64_t) noexcept nogil
    int count_bits(uint64_t) noexcept nogil
    void relax() noexcept nogil
