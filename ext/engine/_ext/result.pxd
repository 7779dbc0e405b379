from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    COLD = 0
    WARM = 1
    PROVISIONED = 2
    SNAPSHOT = 3

cdef enum:
    # How an invocation ended.
    SUCCEEDED = 0
    FAILED = 1          # the function raised, or its answer could not be taken
    TIMED_OUT = 2
    EXITED = 3          # the process ended
    OUT_OF_MEMORY = 4

cdef class InvokeResult:
    cdef readonly bytes payload
    cdef readonly int status_code, memory_mb
    cdef readonly int64_t billed_ms
    cdef readonly uint32_t max_memory_mb
    cdef readonly str executed_version
    cdef readonly str function_error
    cdef readonly str log_tail
    cdef uint8_t raw_id[16]
    cdef uint64_t duration_ns, init_ns, queued_ns
    cdef uint8_t start_code, outcome_code
    cdef str text_id
