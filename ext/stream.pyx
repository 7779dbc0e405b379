"""A connection on a socket of its own: the bytes of all streams are moved in one turn of one epoll set, by system calls
alone. For unix sockets, where a call costs little more than these.

What is watched follows from what is wanted (`watch`): input while reading is on and has not ended, room while answers
wait; a stream that wants neither is out of the set, since a client that is gone would be reported there for ever.
A client that takes no more answers may still have said something: it is read to its end.
"""

import os

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint32_t
from engine._ext.connection cimport STUFFED, UNREAD_MOST, Connection
from engine._ext.epoll cimport *
from engine._ext.exchange cimport Exchange

cdef extern from "sys/socket.h" nogil:
    ssize_t recv(int, void*, size_t, int)
    ssize_t send(int, const void*, size_t, int)
    int MSG_DONTWAIT, MSG_NOSIGNAL

cdef enum:
    CHUNK = 65536

cdef uint8_t chunk[CHUNK]       # of whichever stream reads now; nothing of it is kept


cdef class Stream(Connection):
    """`opened` is a connected, non-blocking socket, the stream's from now on. OSError where it cannot be watched."""

    cdef int fd
    cdef uint32_t watched       # what the epoll set has
    cdef bint reading, hanging

    def __init__(self, Exchange exchange not None, opened, *, bint trusted):
        super().__init__(exchange, trusted=trusted)
        self.transport = opened
        self.fd = opened.fileno()
        self.reading = True
        self.watch()
        exchange.streams.add(self)

    def __hash__(self) -> int:
        return <Py_ssize_t><void*>self >> 4

    cdef int watch(self) except -1:
        cdef epoll_event event
        cdef uint32_t wanted = 0
        cdef int how
        if self.fd < 0:
            return 0
        if self.reading and not self.ended:
            wanted |= EPOLLIN
        if self.outbox.waiting():
            wanted |= EPOLLOUT
        if wanted == self.watched:
            return 0
        how = EPOLL_CTL_DEL if wanted == 0 else EPOLL_CTL_MOD if self.watched else EPOLL_CTL_ADD
        event.events = wanted
        event.data.ptr = <void*>self
        if epoll_ctl(self.exchange.epoll_fd, how, self.fd, &event) != 0:
            raise OSError(errno, os.strerror(errno))
        self.watched = wanted
        return 0

    cdef int event(self, uint32_t events) except -1:
        if self.fd < 0:
            return 0
        if events & EPOLLOUT:
            self.transmit()
            self.go_on()
        if self.fd >= 0 and self.reading and not self.ended and events & (EPOLLIN | EPOLLHUP | EPOLLERR):
            self.read_some()
        elif self.fd >= 0 and events & (EPOLLHUP | EPOLLERR) and not events & EPOLLOUT:
            self.stop_sending()
        return 0

    cdef int read_some(self) except -1:
        cdef ssize_t got = recv(self.fd, chunk, CHUNK, MSG_DONTWAIT)
        if got > 0:
            return self.received(chunk, got)
        if got < 0 and (errno == EAGAIN or errno == EINTR):
            return 0
        self.ended = True           # by its own word, or lost: what it asked for is answered as far as that goes
        if got < 0:
            self.stop_sending()
        self.watch()
        return self.go_on()

    cdef int stop_sending(self) except -1:
        """The client takes no more answers."""
        self.deaf = True
        self.stuffed = False
        self.outbox.took(self.outbox.waiting())
        self.watch()
        if self.streams is not None:
            self.streams.look()
        if self.hanging:
            self.shut()
        return 0

    cdef int transmit(self) except -1:
        cdef ssize_t sent
        cdef size_t length = self.outbox.waiting()
        if self.fd < 0:
            return 0
        if self.deaf:
            return self.stop_sending()
        if length:
            sent = send(self.fd, self.outbox.next_ptr(), length, MSG_DONTWAIT | MSG_NOSIGNAL)
            if sent < 0:
                if errno != EAGAIN and errno != EINTR:
                    return self.stop_sending()
                sent = 0
            self.outbox.took(sent)
            length -= sent
            self.stuffed = length > STUFFED
            if length > UNREAD_MOST:
                self.closing = True
                return self.shut()
            if length or self.watched & EPOLLOUT:
                self.watch()
        if self.hanging and length == 0:
            self.shut()
        return 0

    cdef int read_on(self, bint on) except -1:
        self.reading = on
        return self.watch()

    cdef int hang_up(self) except -1:
        self.hanging = True
        self.reading = False
        if self.outbox.waiting():
            return self.watch()
        return self.shut()

    cdef int shut(self) except -1:
        """Close the socket: now."""
        if self.fd < 0:
            return 0
        self.fd = -1                # closing it takes it out of the epoll set
        self.transport.close()
        self.exchange.gone.append(self)
        self.exchange.streams.discard(self)
        if not self.exchange.turning:
            self.exchange.gone.clear()
        return self.over()

    def abort(self) -> None:
        """Close at once."""
        self.closing = True
        self.shut()
