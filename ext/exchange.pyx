"""What a server's connections share, and one turn of looking after them: bytes in, answers out.

Streams (`stream.pyx`) are in one epoll set. The loop watches that set as a whole; while traffic is hot the scheduler
takes turns here between its looks at the lanes, so that no answer waits for the loop to come round.
"""

import os

from libc.errno cimport errno
from libc.stdint cimport uint32_t
from engine._ext.epoll cimport *
from engine._ext.scheduler cimport Door, Scheduler

cdef enum:
    EVENTS = 128            # of one turn


cdef class Party:
    """One end of a conversation, as the exchange sees it."""

    cdef int event(self, uint32_t events) except -1:
        raise NotImplementedError

    cdef int transmit(self) except -1:
        raise NotImplementedError

    cdef int go_on(self) except -1:
        raise NotImplementedError


cdef class Exchange(Door):
    """What all connections of a server share.

    lane_of(function, qualifier), tenant_lane_of(function, qualifier, tenant, type): the Lane. control(connection, id or
    None, method, parameters as MessagePack): runs any method but `invoke`, and calls `connection.respond`.
    options(MessagePack): (qualifier, invocation type, extra, wants log tail, trace header or None, tenant or None).
    receipt(lane, type): the answer to what is not run. accept(lane, function, qualifier, event, extra, ticket): keeps
    an event, and tells the ticket once it is kept. traced(lane, extra, header, type): extra with what the header
    becomes. error_answer(id, exception): its bytes.
    refusal(length): the exception for an event that is too large. left(connection): it is gone. failed(connection,
    exception): something went wrong that is nobody's fault but ours; it should be ended.
    """

    def __init__(self, Scheduler scheduler not None, *, lane_of, tenant_lane_of, control, options, receipt, accept,
                 traced, error_answer, refusal, left, failed):
        self.scheduler = scheduler
        self.lane_of = lane_of
        self.tenant_lane_of = tenant_lane_of
        self.control = control
        self.options = options
        self.receipt = receipt
        self.accept = accept
        self.traced = traced
        self.error_answer = error_answer
        self.refusal = refusal
        self.left = left
        self.failed = failed
        self.dirty = []
        self.gone = []
        self.streams = set()
        self.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll_fd < 0:
            raise OSError(errno, os.strerror(errno))
        scheduler.door = self

    def close(self) -> None:
        """Every connection has ended."""
        self.scheduler.door = None
        if self.epoll_fd >= 0:
            os.close(self.epoll_fd)
            self.epoll_fd = -1

    def fileno(self) -> int:
        """Readable when there is something to do on a stream."""
        return self.epoll_fd

    def readable(self) -> None:
        """The loop's call-back for `fileno()`."""
        if not self.scheduler.polling:
            self.turn()
            if self.posted and self.epoll_fd >= 0:
                self.scheduler.start_polling()

    cdef int turn(self) except -1:
        """See to every stream that has something to say or room for answers. How many had."""
        cdef epoll_event events[EVENTS]
        cdef int i, count
        self.turning = True
        self.posted = False
        try:
            if self.dirty:
                self.flush_all()
            count = epoll_wait(self.epoll_fd, events, EVENTS, 0) if self.streams else 0
            self.events_now = count
            for i in range(count):
                self.hear(<Party>events[i].data.ptr, events[i].events)
            if self.dirty:
                self.flush_all()
        finally:
            self.turning = False
            self.events_now = 0
            if self.gone:
                self.gone.clear()
        return max(count, 0)

    cdef int hear(self, Party party, uint32_t events) except -1:
        """One party's event. What goes wrong there ends that party, and nothing else."""
        try:
            party.event(events)
        except Exception as error:
            self.failed(party, error)
        return 0

    cdef int flush_all(self) except -1:
        cdef Party party
        cdef list dirty
        while self.dirty:
            dirty = self.dirty
            self.dirty = []
            for party in dirty:
                party.dirty = False
                try:
                    party.transmit()
                    party.go_on()
                except Exception as error:
                    self.failed(party, error)
        return 0

    def flush(self) -> None:
        """Send what was answered since the loop last came by."""
        self.due = False
        self.flush_all()

    cdef int see_to(self, Party party) except -1:
        """Have a party's answers sent, and what it waits for looked at, before the loop sleeps."""
        party.dirty = True
        self.dirty.append(party)
        if not self.turning and not self.due:
            self.due = True
            self.scheduler.call_soon(self.flush)
        return 0
