# Answers on their way to a client: a buffer that grows, and how a result is written into it.

from libc.stdint cimport uint8_t, uint32_t
from engine._ext.result cimport InvokeResult

cdef class Outbox:
    cdef uint8_t* base_ptr
    cdef size_t start, end, room        # what waits lies from `start` to `end`
    cdef size_t waiting(self) noexcept
    cdef uint8_t* next_ptr(self) noexcept
    cdef uint8_t* reserve(self, size_t length) except NULL
    cdef int put(self, const void* from_ptr, size_t length) except -1
    cdef int put_result(self, uint32_t id, InvokeResult result) except -1
    cdef void took(self, size_t length) noexcept
