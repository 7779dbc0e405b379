# A streamed answer at the core's end.

from libc.stdint cimport int64_t, uint8_t, uint64_t
from engine._ext.linux cimport Mapping
from engine._ext.queue cimport queue_t
from engine._ext.result cimport InvokeResult

cdef class Flow:
    cdef public object listener         # called without arguments when there may be something new
    cdef readonly str content_type, request_id, executed_version
    cdef readonly object error
    cdef readonly InvokeResult result
    cdef readonly bint ended
    cdef bint dropped
    cdef object lane                    # while it has a slot: this, and what follows
    cdef Mapping mapping
    cdef queue_t* queue
    cdef int region_fd, index
    cdef uint64_t taken
    cdef bytes rest                     # what was there when the slot went to somebody else
    cdef Py_ssize_t rest_at

    cdef int attach(self, object lane, Mapping mapping, queue_t* queue, int region_fd, int index) except -1
    cdef int name_invocation(self, const uint8_t* raw_id, str version) except -1
    cdef int detach(self) except -1
    cdef int64_t there(self) except -9
    cdef int took(self, uint64_t length) except -1
    cdef int accuse(self) except -1
    cdef bytes take_rest(self, Py_ssize_t limit)
    cdef int close_up(self, InvokeResult result) except -1
    cdef int tell(self) except -1
    cdef bint has_news(self) except -1
