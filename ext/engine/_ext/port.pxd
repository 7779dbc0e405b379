# One environment's place in its function's region. Behaviour: port.pyx, and relay.pyx for other languages.

from libc.stdint cimport uint8_t, uint64_t
from engine._ext.layout cimport slot_t
from engine._ext.linux cimport Mapping
from engine._ext.place cimport place_t

cdef class LambdaContext:
    cdef public object function_name, function_version, memory_limit_in_mb, invoked_function_arn
    cdef public object log_group_name, log_stream_name, client_context, tenant_id
    cdef object own_id, own_identity, identity_document, make_identity, trace, log_sink
    cdef uint64_t deadline_ns
    cdef uint8_t raw_id[16]
    cdef dict __dict__


cdef class Port:
    cdef Mapping mapping
    cdef place_t place
    cdef public object handler, unmarshal, marshal, to_chunk, fault, flush, extras, make_identity, log_sink, variables
    cdef public str function_name, function_version, memory_limit_in_mb, invoked_function_arn
    cdef public str log_group_name, log_stream_name
    cdef LambdaContext context

    cdef bytes start(self, slot_t* slot_ptr)
    cdef int trace(self, LambdaContext context) except -1
    cdef int run(self) except -1
    cdef bytes pour(self, object chunks, slot_t* slot_ptr)
    cdef int put(self, bytes answer, str error_type, bint failed) except -1
    cdef uint64_t cpu_used(self) noexcept
    cdef int sample(self) noexcept
