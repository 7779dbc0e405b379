# A request's id as text: what uuid.h writes.

from libc.stdint cimport uint8_t

cdef extern from "region/uuid.h":
    enum:
        UUID_LENGTH
        TRACE_LENGTH
    void write_uuid(const uint8_t*, char*) noexcept nogil
    void write_trace(const uint8_t*, char*) noexcept nogil
