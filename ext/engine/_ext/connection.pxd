# A client's connection, and what each way of moving bytes must be able to do.

from libc.stdint cimport uint8_t, uint32_t
from engine._ext.exchange cimport Exchange, Party
from engine._ext.outbox cimport Outbox
from engine._ext.result cimport InvokeResult
from engine._ext.wire cimport wire_message_t, wire_scan_t

cdef enum:
    STUFFED = 1048576           # bytes of answers that a client has not taken: above, nothing more is read from it
    UNREAD_MOST = 268435456     # above, the connection is ended
    ROOMY = 262144              # bytes of answers: below, streams go on


cdef class Connection(Party):
    cdef Exchange exchange
    cdef Outbox outbox
    cdef readonly object transport
    cdef public object peer             # what the server keeps for it
    cdef public object streams          # its streams while there are any, which are told when `go_on` is
    cdef public bint trusted
    cdef readonly bint closing
    cdef readonly int in_flight
    cdef bint taking, paused, stuffed, draining
    cdef readonly bint ended            # the client has said all it had to say
    cdef readonly bint deaf             # it takes no more answers
    cdef wire_scan_t scan
    cdef uint8_t* held_ptr
    cdef size_t held, held_room

    # how bytes are moved
    cdef int read_on(self, bint on) except -1
    cdef int hang_up(self) except -1

    cdef int received(self, const uint8_t* data_ptr, size_t length) except -1
    cdef int hold(self, const uint8_t* data_ptr, size_t length) except -1
    cdef int take_held(self) except -1
    cdef bint is_full(self) noexcept
    cdef size_t take(self, const uint8_t* data_ptr, size_t length) except? 0
    cdef bint has_ended(self) noexcept
    cdef int violated(self, int code, const uint8_t* data_ptr, size_t length) except -1
    cdef int end(self) except -1
    cdef int over(self) except -1
    cdef int message(self, const uint8_t* data_ptr, size_t length, bint alone) except -1
    cdef int invoke(self, wire_message_t* message_ptr, bint silent, bint alone) except -1
    cdef int refuse(self, uint32_t id, bint silent, error) except -1
    cdef int tell(self, uint32_t id, bint silent, InvokeResult result) except -1
    cdef int soil(self) except -1
