"""Answers on their way to a client: a buffer that grows, and how a result is written into it as MessagePack."""

from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from engine._ext.result cimport InvokeResult
from engine._ext.uuid cimport write_uuid
from engine._ext.wire cimport *

from engine._ext.result import OUTCOMES as _OUTCOMES, STARTS as _STARTS

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL

cdef enum:
    RESULT_HEAD = 640       # more than a result takes beside its payload and log
    LEAST = 1024
    KEPT = 65536            # a buffer larger than this is given back once it is empty


cdef class Outbox:
    """Bytes in the order in which they are to be sent."""

    def __dealloc__(self):
        free(self.base_ptr)

    cdef size_t waiting(self) noexcept:
        return self.end - self.start

    cdef uint8_t* next_ptr(self) noexcept:
        """The first byte that waits."""
        return self.base_ptr + self.start

    cdef void took(self, size_t length) noexcept:
        """So many from the front are sent."""
        self.start += length
        if self.start == self.end:
            self.start = self.end = 0
            if self.room > KEPT:
                free(self.base_ptr)
                self.base_ptr = NULL
                self.room = 0

    cdef uint8_t* reserve(self, size_t length) except NULL:
        """Room for so many more bytes: where they go. The caller moves `end`."""
        cdef void* grown_ptr
        cdef size_t room
        if self.end + length > self.room and self.start >= self.waiting():
            memmove(self.base_ptr, self.base_ptr + self.start, self.waiting())
            self.end -= self.start
            self.start = 0
        if self.end + length > self.room:
            room = max(self.end + length, max(2 * self.room, <size_t>LEAST))
            grown_ptr = realloc(self.base_ptr, room)
            if grown_ptr == NULL:
                raise MemoryError()
            self.base_ptr = <uint8_t*>grown_ptr
            self.room = room
        return self.base_ptr + self.end

    cdef int put(self, const void* from_ptr, size_t length) except -1:
        """Bytes as they are."""
        if length:
            memcpy(self.reserve(length), from_ptr, length)
            self.end += length
        return 0

    cdef int put_result(self, uint32_t id, InvokeResult result) except -1:
        """[1, id, nil, result]: a map with the result's fields, as `engine.wire.values` names them."""
        cdef Py_ssize_t length = PyBytes_GET_SIZE(result.payload), log_length = 0
        cdef const char* log_ptr = NULL
        cdef uint8_t* to_ptr
        cdef char uuid[36]
        if result.log_tail is not None:
            log_ptr = PyUnicode_AsUTF8AndSize(result.log_tail, &log_length)
        to_ptr = self.reserve(RESULT_HEAD + length + log_length)
        to_ptr = wire_put_uint(wire_put_bytes(to_ptr, b"\x94\x01", 2), id)
        to_ptr = wire_put_bin_head(wire_put_bytes(to_ptr, b"\xc0\x8e\xa7payload", 10), length)
        to_ptr = wire_put_bytes(to_ptr, PyBytes_AS_STRING(result.payload), length)
        write_uuid(result.raw_id, uuid)
        to_ptr = wire_put_text(wire_put_bytes(to_ptr, b"\xaarequest_id", 11), uuid, 36)
        to_ptr = wire_put_uint(wire_put_bytes(to_ptr, b"\xabstatus_code", 12), result.status_code)
        to_ptr = put_str(wire_put_bytes(to_ptr, b"\xaefunction_error", 15), result.function_error)
        to_ptr = put_str(wire_put_bytes(to_ptr, b"\xb0executed_version", 17), result.executed_version)
        to_ptr = put_str(wire_put_bytes(to_ptr, b"\xa5start", 6), _STARTS[result.start_code])
        to_ptr = put_str(wire_put_bytes(to_ptr, b"\xa7outcome", 8), _OUTCOMES[result.outcome_code])
        to_ptr = wire_put_double(wire_put_bytes(to_ptr, b"\xabduration_ms", 12), result.duration_ns / 1e6)
        to_ptr = wire_put_double(wire_put_bytes(to_ptr, b"\xa9queued_ms", 10), result.queued_ns / 1e6)
        to_ptr = wire_put_bytes(to_ptr, b"\xa7init_ms", 8)
        if result.init_ns:
            to_ptr = wire_put_double(to_ptr, result.init_ns / 1e6)
        else:
            to_ptr = wire_put_bytes(to_ptr, b"\xc0", 1)
        to_ptr = wire_put_uint(wire_put_bytes(to_ptr, b"\xa9billed_ms", 10), result.billed_ms)
        to_ptr = wire_put_uint(wire_put_bytes(to_ptr, b"\xa9memory_mb", 10), result.memory_mb)
        to_ptr = wire_put_uint(wire_put_bytes(to_ptr, b"\xadmax_memory_mb", 14), result.max_memory_mb)
        to_ptr = wire_put_bytes(to_ptr, b"\xa8log_tail", 9)
        if log_ptr == NULL:
            to_ptr = wire_put_bytes(to_ptr, b"\xc0", 1)
        else:
            to_ptr = wire_put_text(to_ptr, log_ptr, log_length)
        self.end = to_ptr - self.base_ptr
        return 0


cdef uint8_t* put_str(uint8_t* to_ptr, str text) except NULL:
    """A short str, or nil."""
    cdef Py_ssize_t length
    cdef const char* text_ptr
    if text is None:
        return wire_put_bytes(to_ptr, b"\xc0", 1)
    text_ptr = PyUnicode_AsUTF8AndSize(text, &length)
    return wire_put_text(to_ptr, text_ptr, length)
