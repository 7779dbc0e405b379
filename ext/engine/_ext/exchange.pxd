# What a server's connections share, and one turn of looking after them.

from libc.stdint cimport uint32_t
from engine._ext.scheduler cimport Door, Scheduler


cdef class Party:
    # One end of a conversation, as the exchange sees it.
    cdef bint dirty
    cdef int event(self, uint32_t events) except -1
    cdef int transmit(self) except -1
    cdef int go_on(self) except -1


cdef class Exchange(Door):
    cdef readonly Scheduler scheduler
    cdef object lane_of, tenant_lane_of, control, options, receipt, accept, traced, error_answer, refusal, left, failed
    cdef list dirty                     # connections that must be seen to before the loop sleeps
    cdef int epoll_fd
    cdef set streams                    # connections in the epoll set, kept alive for its pointers
    cdef list gone                      # those that closed during a turn, which may still have an event in it
    cdef bint turning, due, posted
    cdef int events_now

    cdef int hear(self, Party party, uint32_t events) except -1
    cdef int flush_all(self) except -1
    cdef int see_to(self, Party party) except -1
