# The scheduler's own state, and how compiled doors hand it an invocation.

from libc.stdint cimport uint8_t, uint64_t
from engine._ext.environment cimport Waiter
from engine._ext.lane cimport Lane
from engine._ext.queue cimport queue_t

cdef class Door:
    # Whoever brings invocations from outside, on the loop's thread.
    cdef int turn(self) except -1


cdef class Scheduler:
    cdef Door door                      # looked after while traffic is hot, between two looks at the lanes
    cdef readonly list active           # lanes with something outstanding or starting
    cdef public object on_active        # called when there is something to watch over
    cdef public object on_demand        # called with a lane that wants environments
    cdef public object new_future, call_soon
    cdef public bint watched, closed
    cdef bint lambda_scaling, draining, polling, may_spin, woke
    cdef readonly int spinning
    cdef int epoll_fd
    cdef int bell_fd                    # ours alone: a lane's own can be filled by its function, and then a write waits
    cdef int pid
    cdef list parked
    cdef uint64_t hot_until_ns
    cdef uint64_t random[2]

    cdef int wake_on(self, int event_fd) except -1
    cdef int new_id(self, uint8_t* raw_ptr) noexcept
    cdef int refuse(self, Lane lane) except -1
    cdef int submit(self, Lane lane, const char* payload_ptr, Py_ssize_t length, bytes extra, object waiter,
                    bint wants_tail, const uint8_t* given_id) except -1
    cdef bint wants_more(self, Lane lane) noexcept
    cdef int drain_all(self) except -1
    cdef bint arm(self) except -1
    cdef bint answers_soon(self, Lane lane) noexcept
    cdef int post(self, Lane lane, const char* payload_ptr, Py_ssize_t length, bytes extra, object waiter,
                  bint wants_tail, bint waits) except -1
    cdef int start_polling(self) except -1
    cdef bint expects_soon(self) noexcept
    cdef bint spins(self, Lane lane) noexcept
    cdef int drain_until(self, Waiter waiter, Lane lane) except -1
    cdef int park(self, Waiter waiter) except -1
    cdef int call_next(self) except -1
