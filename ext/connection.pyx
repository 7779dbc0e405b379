"""A client's connection: bytes in, invocations straight into slots, answers straight out.

Bytes are looked at where they came to lie; what is left of a message is held until the rest comes. An `invoke` goes
from there into its slot: what it costs in Python objects is the function's name, for looking it up, and a `Ticket`, to
which the answer goes. Every other method is handed to `Exchange.control`. How bytes move is a subclass's: here an
asyncio transport's (TLS), in `stream.pyx` a socket's own.

BOUNDS. A connection reads on only while it has fewer than IN_FLIGHT_MOST requests unanswered and no more than STUFFED
bytes of answers wait for its client; else its own reading pauses, and nobody else's. What those requests answer is
still held for it, up to UNREAD_MOST bytes: past that the connection is ended.
All of it runs on the loop's thread.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memmove, memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
cimport cython
from engine._ext.lane cimport Lane
from engine._ext.result cimport InvokeResult
from engine._ext.wire cimport *

cdef enum:
    IN_FLIGHT_MOST = 1024
    IN_FLIGHT_RESUME = 512
    EVENT_MAX = 6291456
    KEPT = 65536            # a buffer larger than this is given back once it is empty
    STRANGER_MOST = 4096    # bytes that a client without a token may have said

IN_FLIGHT_MAX = IN_FLIGHT_MOST
MESSAGE_MAX = WIRE_MOST
DEPTH_MAX = WIRE_DEPTH
UNREAD_MAX = UNREAD_MOST
WRITE_BUFFER_MAX = STUFFED

VIOLATIONS = {
    WIRE_MALFORMED: "this is not a MessagePack-RPC request or notification",
    WIRE_TOO_DEEP: f"arrays and maps lie within each other more than {DEPTH_MAX} deep",
    WIRE_TOO_LONG: f"a message has more than {MESSAGE_MAX} bytes, or without a token more than {STRANGER_MOST}",
}


@cython.final
@cython.freelist(256)
cdef class Ticket:
    """Where an invocation's answer goes."""

    cdef Connection connection
    cdef uint32_t id
    cdef bint silent                    # a notification: nobody is told

    def set_result(self, InvokeResult result not None) -> None:
        self.connection.tell(self.id, self.silent, result)

    def set_exception(self, error) -> None:
        self.connection.in_flight -= 1
        self.connection.refuse(self.id, self.silent, error)


cdef class Connection:
    """One client. `trusted` is False until it has shown its token, where one is asked for."""

    def __init__(self, Exchange exchange not None, *, bint trusted):
        self.exchange = exchange
        self.trusted = trusted
        self.outbox = Outbox()

    def __dealloc__(self):
        free(self.held_ptr)

    # --- an asyncio transport's calls, and what is asked of it --------------------------------------------------------

    def connection_made(self, transport) -> None:
        self.transport = transport

    def connection_lost(self, error) -> None:
        self.over()

    def eof_received(self) -> bool:
        """A client that has said all it had to say still gets its answers."""
        self.ended = True
        if not self.dirty and self.has_ended():
            return False
        return self.transport.get_extra_info("sslcontext") is None      # TLS knows no half-open connection

    def pause_writing(self) -> None:
        self.stuffed = True

    def resume_writing(self) -> None:
        self.stuffed = False
        self.go_on()

    def data_received(self, bytes data not None) -> None:
        self.received(<const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cdef int transmit(self) except -1:
        """Send what waits, as far as it goes."""
        cdef size_t length = self.outbox.waiting()
        if length == 0 or self.transport is None:
            return 0
        answers = PyBytes_FromStringAndSize(<const char*>self.outbox.next_ptr(), length)
        self.outbox.took(length)
        self.transport.write(answers)
        if self.stuffed and self.transport.get_write_buffer_size() > UNREAD_MOST:
            self.closing = True
            self.transport.abort()
        return 0

    cdef int read_on(self, bint on) except -1:
        if on:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()
        return 0

    cdef int hang_up(self) except -1:
        """Close once what waits is sent."""
        if self.transport is not None:
            self.transport.close()
        return 0

    cdef int over(self) except -1:
        """The connection is no more. What it asked for runs to its end; nobody is told."""
        if self.transport is None:
            return 0
        self.closing = True
        self.transport = None
        self.outbox.took(self.outbox.waiting())
        self.held = 0
        if self.streams is not None:
            self.streams.close()
        self.exchange.left(self)
        return 0

    # --- requests -----------------------------------------------------------------------------------------------------

    cdef int received(self, const uint8_t* data_ptr, size_t length) except -1:
        cdef size_t taken
        if self.closing:
            return 0
        if self.held == 0 and not self.paused:
            taken = self.take(data_ptr, length)
            self.hold(data_ptr + taken, length - taken)
        else:
            self.hold(data_ptr, length)
            self.take_held()
        if self.outbox.waiting() and not self.dirty:
            self.transmit()
        return 0

    cdef int hold(self, const uint8_t* data_ptr, size_t length) except -1:
        """Keep bytes that cannot be taken yet: less than a message, and what one read brought while paused."""
        cdef void* held_ptr
        if length == 0 or self.closing:
            return 0
        if self.held + length > self.held_room:
            held_ptr = realloc(self.held_ptr, max(self.held + length, min(2 * self.held_room, <size_t>WIRE_MOST)))
            if held_ptr == NULL:
                raise MemoryError()
            self.held_ptr = <uint8_t*>held_ptr
            self.held_room = max(self.held + length, min(2 * self.held_room, <size_t>WIRE_MOST))
        memcpy(self.held_ptr + self.held, data_ptr, length)
        self.held += length
        return 0

    cdef int take_held(self) except -1:
        cdef size_t taken = self.take(self.held_ptr, self.held)
        if self.closing:
            return 0
        self.held -= taken
        if self.held:
            memmove(self.held_ptr, self.held_ptr + taken, self.held)
        elif self.held_room > KEPT:
            free(self.held_ptr)
            self.held_ptr = NULL
            self.held_room = 0
        return 0

    cdef bint is_full(self) noexcept:
        return self.stuffed or (self.draining and self.streams is None) or self.in_flight >= IN_FLIGHT_MOST

    cdef size_t take(self, const uint8_t* data_ptr, size_t length) except? 0:
        """Act on every whole message there is, as far as the bounds allow. How many bytes were taken."""
        cdef size_t at = 0
        cdef int64_t size
        self.taking = True
        try:
            while at < length and not self.closing:
                if self.is_full():
                    if not self.paused:
                        self.paused = True
                        self.read_on(False)
                    break
                size = wire_scan(&self.scan, data_ptr + at, length - at)
                if not self.trusted and (size > STRANGER_MOST or (size == 0 and length - at > STRANGER_MOST)):
                    size = WIRE_TOO_LONG
                if size == 0:
                    break
                if size < 0:
                    self.violated(<int>size, data_ptr + at, length - at)
                    break
                memset(&self.scan, 0, sizeof(self.scan))
                self.message(data_ptr + at, size, at == 0 and <size_t>size == length and self.in_flight == 0
                             and self.exchange.events_now <= 1)
                at += size
        finally:
            self.taking = False
        return at

    cdef int go_on(self) except -1:
        """Read on where the bounds had stopped it; close behind a client that has ended and has all its answers."""
        if self.streams is not None:
            self.streams.look()
        if self.taking or self.closing:
            return 0
        if self.paused and not self.draining and not self.stuffed and self.in_flight <= IN_FLIGHT_RESUME:
            self.paused = False
            self.take_held()
            if self.outbox.waiting() and not self.dirty:
                self.transmit()
            if not self.paused and not self.closing:
                self.read_on(True)
        if self.ended and self.has_ended() and not self.closing:
            self.end()
        return 0

    cdef bint has_ended(self) noexcept:
        return self.in_flight == 0 and self.outbox.waiting() == 0 and (self.draining or not self.paused)

    cdef int violated(self, int code, const uint8_t* data_ptr, size_t length) except -1:
        """What came is no message of this protocol: say so where an id can be read, and close."""
        from engine.errors import ProtocolError
        cdef wire_message_t message
        wire_parse(data_ptr, length, &message)
        if message.has_id:
            self.refuse(message.id, False, ProtocolError(VIOLATIONS[code] + "; the connection is closed"))
        return self.end()

    cdef int end(self) except -1:
        """Close once what was answered is sent."""
        self.transmit()
        self.closing = True
        return self.hang_up()

    def close(self) -> None:
        """Close once what was answered is sent. What runs goes on; nobody is told."""
        if not self.closing:
            self.end()

    def drain(self) -> None:
        """Take no more requests; close once what runs is answered. Streams still hear what is granted to them."""
        self.draining = True
        if self.streams is not None:
            return
        self.ended = True
        if not self.closing and not self.paused:
            self.paused = True
            self.read_on(False)
        self.go_on()

    def abort(self) -> None:
        """Close at once, whatever waits to be sent."""
        self.closing = True
        if self.transport is not None:
            self.transport.abort()

    cdef int message(self, const uint8_t* data_ptr, size_t length, bint alone) except -1:
        cdef wire_message_t message
        cdef bint silent
        cdef str method
        if wire_parse(data_ptr, length, &message):
            return self.violated(WIRE_MALFORMED, data_ptr, length)
        silent = message.kind == WIRE_NOTIFICATION
        if self.draining and not silent:
            from engine.errors import EngineClosedError
            return self.refuse(message.id, silent, EngineClosedError("the engine is about to close"))
        if self.trusted and message.method.length == 6 and memcmp(message.method.at, b"invoke", 6) == 0:
            return self.invoke(&message, silent, alone)
        try:
            method = PyUnicode_DecodeUTF8(<const char*>message.method.at, message.method.length, NULL)
        except UnicodeDecodeError:
            return self.violated(WIRE_MALFORMED, data_ptr, length)
        self.in_flight += 1
        self.exchange.control(self, None if silent else message.id, method,
                              PyBytes_FromStringAndSize(<const char*>message.params.at, message.params.length))
        return 0

    cdef int invoke(self, wire_message_t* message_ptr, bint silent, bint alone) except -1:
        cdef wire_invoke_t invoke
        cdef Ticket ticket
        cdef Lane lane
        cdef bytes extra = b""
        cdef str qualifier = None, kind = "RequestResponse", trace = None, tenant = None, function
        cdef bint wants_tail = False
        cdef const uint8_t* payload_ptr = b"{}"
        cdef size_t length = 2
        cdef int wrong = wire_parse_invoke(message_ptr.params.at, message_ptr.params.length, &invoke)
        try:
            if wrong:
                from engine.errors import InvalidParameterValueException
                raise InvalidParameterValueException(
                    "invoke takes [function, payload, options?]: a str, a bin or str of JSON, and a map")
            if invoke.payload.at != NULL:
                payload_ptr = invoke.payload.at
                length = invoke.payload.length
            if length > EVENT_MAX:
                raise self.exchange.refusal(length)
            if invoke.options.at != NULL:
                qualifier, kind, extra, wants_tail, trace, tenant = self.exchange.options(
                    PyBytes_FromStringAndSize(<const char*>invoke.options.at, invoke.options.length))
            function = PyUnicode_DecodeUTF8(<const char*>invoke.function.at, invoke.function.length, "replace")
            if tenant is None:
                lane = self.exchange.lane_of(function, qualifier)
            else:
                lane = self.exchange.tenant_lane_of(function, qualifier, tenant, kind)
            if trace is not None:
                extra = self.exchange.traced(lane, extra, trace, kind)
            if kind == "DryRun":
                result = self.exchange.receipt(lane, kind)
                self.in_flight += 1
                return self.tell(message_ptr.id, silent, result)
            ticket = Ticket.__new__(Ticket)
            ticket.connection = self
            ticket.id = message_ptr.id
            ticket.silent = silent
            self.in_flight += 1
            try:
                if kind == "Event":
                    self.exchange.accept(lane, function, qualifier,
                                         PyBytes_FromStringAndSize(<const char*>payload_ptr, length), extra, ticket)
                    return 0
                self.exchange.posted = True
                self.exchange.scheduler.post(lane, <const char*>payload_ptr, length, extra, ticket, wants_tail,
                                             alone and self.exchange.scheduler.answers_soon(lane))
            except BaseException:
                self.in_flight -= 1
                raise
        except Exception as error:
            self.refuse(message_ptr.id, silent, error)
        return 0

    # --- answers ------------------------------------------------------------------------------------------------------

    cdef int refuse(self, uint32_t id, bint silent, error) except -1:
        cdef bytes answer
        if silent or self.closing:
            return self.soil()
        answer = self.exchange.error_answer(id, error)
        self.outbox.put(PyBytes_AS_STRING(answer), PyBytes_GET_SIZE(answer))
        return self.soil()

    @property
    def has_room(self) -> bool:
        """Whether more of a stream may be put in; `streams` are told when that may have changed."""
        return not self.stuffed and self.outbox.waiting() < ROOMY

    def without_streams(self) -> None:
        """The last of its streams has ended."""
        self.streams = None
        if self.draining:
            self.drain()

    def push(self, bytes head not None, bytes body not None) -> None:
        """A notification in two parts."""
        if not self.closing:
            self.outbox.put(PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head))
            self.outbox.put(PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
            self.soil()

    def respond(self, bytes answer) -> None:
        """A control method has ended: send its whole answer; None for a notification."""
        self.in_flight -= 1
        if answer is not None and not self.closing:
            self.outbox.put(PyBytes_AS_STRING(answer), PyBytes_GET_SIZE(answer))
        self.soil()

    cdef int tell(self, uint32_t id, bint silent, InvokeResult result) except -1:
        """An invocation has ended."""
        self.in_flight -= 1
        if not silent and not self.closing:
            self.outbox.put_result(id, result)
        return self.soil()

    cdef int soil(self) except -1:
        """Something happened here that must be seen to: answers to send, or room for requests."""
        if self.dirty or self.closing or (self.taking and self.in_flight == 0 and not self.paused):
            return 0        # who takes requests sends at its end what was answered meanwhile
        return self.exchange.see_to(self)
