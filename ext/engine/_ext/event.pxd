# Events in memory, the queues in which they lie, and what all of them count against.

from libc.stdint cimport int64_t
from engine._ext.lane cimport Lane
from engine._ext.meter cimport Histogram
from engine._ext.scheduler cimport Scheduler


cdef class EventQueue:
    cdef readonly int64_t id
    cdef readonly str function, qualifier
    cdef public int64_t events, length      # accepted and not done, wherever they are
    cdef public int64_t put_off             # those of them that wait for their time
    cdef public int64_t in_flight
    cdef public int64_t tail, left          # see core/events/queues.py
    cdef public int64_t age_ms              # past which an event is not run, by `terms`
    cdef public bint dropped, keeps_success  # its function is no more; a success has to be told to somebody
    cdef public bint reading
    cdef public int failures                # throttles and errors of the system since an invocation began
    cdef public object pause                # the timer that ends it, while the function cannot be run
    cdef public object lane                 # where what is in flight is
    cdef public object quota                # under which it is
    cdef public object terms, terms_of      # what is asked for events, and the catalog's snapshot that says so
    cdef readonly object window             # a deque: the next events to run, in order
    cdef public int64_t received, retries, throttles, lost, recursive, delivered, undelivered, undead
    cdef readonly Histogram ages, ages_lately   # since the engine was opened; since the metrics were sampled


cdef class Event:
    cdef readonly int64_t seq, accepted_ms, due_ms
    cdef public int64_t attempts
    cdef readonly bytes request_id, extra, payload
    cdef readonly EventQueue queue
    cdef Traffic traffic
    cdef public Lane lane                   # that it was accepted for; in flight, its tenant's
    cdef public object waiting              # whoever is to be told that it is on disk

    cdef int64_t size(self)
    cdef int64_t weight(self)
    cdef bint is_special(self, int64_t now_ms)


cdef class Traffic:
    cdef Scheduler scheduler
    cdef object on_ended
    cdef object ended                       # a deque
    cdef bint called
    cdef int64_t events_most, bytes_most, window_events, window_bytes_most
    cdef public int64_t last                # the highest number that any event or parcel has
    cdef readonly int64_t events, length, window_bytes, in_flight
    cdef readonly set put_off               # numbers of events that were put off once, and are in memory

    cdef int end(self, Event event, object outcome) except -1
    cdef int into_window(self, Event event) except -1
    cdef int submit(self, Event event, Lane lane) except -1
