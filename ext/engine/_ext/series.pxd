# What invocations were in each minute, as the ledger's thread counts it.

from libc.stdint cimport uint32_t, uint64_t
from engine._ext.journal cimport line_t
from engine._ext.pair_table cimport pair_table_t

cdef struct minute_t:
    uint32_t source, minute     # since 1970
    uint64_t invocations, errors, provisioned, total_ns, least_ns, most_ns
    uint32_t* counts_ptr        # durations in the buckets of `meter`


cdef class Minutes:
    cdef pair_table_t rows          # of minute_t
    cdef void empty(self) noexcept
    cdef minute_t* row(self, uint32_t source, uint32_t minute) noexcept nogil
    cdef bint add_lines(self, const line_t* lines_ptr, uint64_t count) noexcept nogil
