# The few Linux calls that the hot path makes: inline functions of kernel.h. Set-up calls are in linux.pyx.

from libc.stdint cimport uint32_t, uint64_t

cdef extern from "region/kernel.h":
    int getpid()
    uint64_t monotonic_ns() noexcept nogil
    uint64_t wall_ns() noexcept nogil
    int futex_wake(uint32_t*, int) noexcept nogil
    int ring_bell(int) noexcept nogil
    int sched_yield() noexcept nogil
    int read_all(int, char*, size_t, uint64_t) noexcept nogil
    int write_all(int, const char*, size_t, uint64_t) noexcept nogil
