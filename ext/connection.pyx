"""A client's connection: bytes in, invocations straight into slots, answers straight out.

A connection is an asyncio protocol. Bytes are looked at where the transport left them; what is left of a message is held
until the rest comes. An `invoke` goes from there into its slot: what it costs in Python objects is the function's name,
for looking it up, and a `Ticket`, to which the answer goes. Every other method is handed to `Exchange.control`.

BOUNDS. A connection reads on only while it has fewer than IN_FLIGHT_MOST requests unanswered and its client takes the
answers (the transport's write buffer is below its high-water mark); else its own reading pauses, and nobody else's. What
those requests answer is still held for it, up to UNREAD_MOST bytes: past that the connection is ended.
All of it runs on the loop's thread.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memmove, memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
cimport cython
from engine._ext.lane cimport Lane
from engine._ext.result cimport InvokeResult, write_uuid
from engine._ext.scheduler cimport Scheduler
from engine._ext.wire cimport *

from engine._ext.result import OUTCOMES, STARTS

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL

cdef enum:
    IN_FLIGHT_MOST = 1024
    IN_FLIGHT_RESUME = 512
    UNREAD_MOST = 268435456
    EVENT_MAX = 6291456
    APART = 16384           # an answer this long goes out as it is, without being copied into the buffer
    ANSWER_HEAD = 640       # more than an answer has beside its payload and log
    KEPT = 65536            # a buffer larger than this is given back once it is empty

IN_FLIGHT_MAX = IN_FLIGHT_MOST
MESSAGE_MAX = WIRE_MOST
DEPTH_MAX = WIRE_DEPTH
UNREAD_MAX = UNREAD_MOST

VIOLATIONS = {
    WIRE_MALFORMED: "this is not a MessagePack-RPC request or notification",
    WIRE_TOO_DEEP: f"arrays and maps lie within each other more than {DEPTH_MAX} deep",
    WIRE_TOO_LONG: f"a message has more than {MESSAGE_MAX} bytes",
}


cdef class Exchange:
    """What all connections of a server share.

    lane_of(function, qualifier): the Lane. control(connection, id or None, method, parameters as MessagePack): runs any
    method but `invoke` and `ping`, and calls `connection.respond`. options(MessagePack): (qualifier, invocation type,
    extra, wants log tail). receipt(lane, type): the answer to what is not run now. error_answer(id, exception): its
    bytes. refusal(length): the exception for an event that is too large.
    """

    cdef readonly Scheduler scheduler
    cdef object lane_of, control, options, receipt, error_answer, refusal
    cdef list dirty                     # connections with answers to send
    cdef readonly uint64_t requests     # of all connections ever
    cdef readonly int connections       # open now

    def __init__(self, Scheduler scheduler not None, *, lane_of, control, options, receipt, error_answer, refusal):
        self.scheduler = scheduler
        self.lane_of = lane_of
        self.control = control
        self.options = options
        self.receipt = receipt
        self.error_answer = error_answer
        self.refusal = refusal
        self.dirty = []

    def flush(self) -> None:
        """Send what was answered since the loop last came by."""
        cdef Connection connection
        cdef list dirty = self.dirty
        self.dirty = []
        for connection in dirty:
            connection.dirty = False
            connection.send()
            connection.go_on()


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

    cdef Exchange exchange
    cdef readonly object transport
    cdef public object peer             # what the server wants to know of it
    cdef public bint trusted
    cdef readonly bint closing
    cdef readonly int in_flight
    cdef bint dirty, taking, paused, stuffed, ended, draining
    cdef wire_scan_t scan
    cdef uint8_t* held_ptr
    cdef size_t held, held_room
    cdef uint8_t* out_ptr
    cdef size_t out, out_room

    def __init__(self, Exchange exchange not None, *, bint trusted):
        self.exchange = exchange
        self.trusted = trusted

    def __dealloc__(self):
        free(self.held_ptr)
        free(self.out_ptr)

    # --- the transport's calls ----------------------------------------------------------------------------------------

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.exchange.connections += 1

    def connection_lost(self, error) -> None:
        """What it asked for runs to its end; nobody is told."""
        self.closing = True
        self.exchange.connections -= 1
        self.transport = None
        self.held = self.out = 0

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
        cdef const uint8_t* data_ptr = <const uint8_t*>PyBytes_AS_STRING(data)
        cdef size_t length = PyBytes_GET_SIZE(data), taken
        if self.closing:
            return
        if self.held == 0 and not self.paused:
            taken = self.take(data_ptr, length)
            self.hold(data_ptr + taken, length - taken)
        else:
            self.hold(data_ptr, length)
            self.take_held()
        if self.out and not self.dirty:
            self.send()

    # --- requests -----------------------------------------------------------------------------------------------------

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
        return self.stuffed or self.draining or self.in_flight >= IN_FLIGHT_MOST

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
                        self.transport.pause_reading()
                    break
                size = wire_scan(&self.scan, data_ptr + at, length - at)
                if size == 0:
                    break
                if size < 0:
                    self.violated(<int>size, data_ptr + at, length - at)
                    break
                memset(&self.scan, 0, sizeof(self.scan))
                self.message(data_ptr + at, size, at == 0 and <size_t>size == length and self.in_flight == 0)
                at += size
        finally:
            self.taking = False
        return at

    cdef int go_on(self) except -1:
        """Read on where the bounds had stopped it; close behind a client that has ended and has all its answers."""
        if self.taking or self.closing:
            return 0
        if self.paused and not self.draining and not self.stuffed and self.in_flight <= IN_FLIGHT_RESUME:
            self.paused = False
            self.take_held()
            if self.out and not self.dirty:
                self.send()
            if not self.paused and not self.closing:
                self.transport.resume_reading()
        if self.ended and self.has_ended() and not self.closing:
            self.end()
        return 0

    cdef bint has_ended(self) noexcept:
        return self.in_flight == 0 and self.out == 0 and (self.draining or not self.paused)

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
        self.send()
        self.closing = True
        if self.transport is not None:
            self.transport.close()
        return 0

    def close(self) -> None:
        """Close once what was answered is sent. What runs goes on; nobody is told."""
        if not self.closing:
            self.end()

    def drain(self) -> None:
        """Take no more requests; close once what runs is answered."""
        self.draining = self.ended = True
        if not self.closing and not self.paused:
            self.paused = True
            self.transport.pause_reading()
        self.go_on()

    cdef int message(self, const uint8_t* data_ptr, size_t length, bint alone) except -1:
        cdef wire_message_t message
        cdef bint silent
        cdef str method
        self.exchange.requests += 1
        if wire_parse(data_ptr, length, &message):
            return self.violated(WIRE_MALFORMED, data_ptr, length)
        silent = message.kind == WIRE_NOTIFICATION
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
        cdef str qualifier = None, kind = "RequestResponse"
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
                qualifier, kind, extra, wants_tail = self.exchange.options(
                    PyBytes_FromStringAndSize(<const char*>invoke.options.at, invoke.options.length))
            lane = self.exchange.lane_of(
                PyUnicode_DecodeUTF8(<const char*>invoke.function.at, invoke.function.length, "replace"), qualifier)
            if kind != "RequestResponse":
                result = self.exchange.receipt(lane, kind)
                self.in_flight += 1
                return self.tell(message_ptr.id, silent, result)
            ticket = Ticket.__new__(Ticket)
            ticket.connection = self
            ticket.id = message_ptr.id
            ticket.silent = silent
            self.in_flight += 1
            try:
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
            return 0
        answer = self.exchange.error_answer(id, error)
        self.reserve(PyBytes_GET_SIZE(answer))
        memcpy(self.out_ptr + self.out, PyBytes_AS_STRING(answer), PyBytes_GET_SIZE(answer))
        self.out += PyBytes_GET_SIZE(answer)
        return self.soil()

    def respond(self, bytes answer) -> None:
        """A control method has ended: send its whole answer; None for a notification."""
        self.in_flight -= 1
        if self.closing:
            return
        if answer is not None:
            self.send()
            self.transport.write(answer)
        self.soil()

    cdef int put_head(self, uint32_t id) except -1:
        """[1, id, …: and room for what an answer has beside its payload."""
        cdef uint8_t* to_ptr
        self.reserve(ANSWER_HEAD)
        to_ptr = wire_put_bytes(self.out_ptr + self.out, b"\x94\x01", 2)
        self.out = wire_put_uint(to_ptr, id) - self.out_ptr
        return 0

    cdef int tell(self, uint32_t id, bint silent, InvokeResult result) except -1:
        """Write an invocation's answer."""
        cdef uint8_t* to_ptr
        cdef Py_ssize_t length, log_length = 0
        cdef const char* log_ptr = NULL
        cdef bint apart
        cdef char uuid[36]
        self.in_flight -= 1
        if silent or self.closing:
            return self.soil() if self.paused or self.ended else 0
        length = PyBytes_GET_SIZE(result.payload)
        apart = length >= APART
        if result.log_tail is not None:
            log_ptr = PyUnicode_AsUTF8AndSize(result.log_tail, &log_length)
        self.reserve(ANSWER_HEAD + log_length + (0 if apart else length))
        self.put_head(id)
        to_ptr = wire_put_bytes(self.out_ptr + self.out, b"\xc0\x8e\xa7payload", 10)
        to_ptr = wire_put_bin_head(to_ptr, length)
        if apart:
            self.out = to_ptr - self.out_ptr
            self.send()
            self.transport.write(result.payload)
            self.reserve(ANSWER_HEAD + log_length)
            to_ptr = self.out_ptr
        else:
            to_ptr = wire_put_bytes(to_ptr, PyBytes_AS_STRING(result.payload), length)
        write_uuid(result.raw_id, uuid)
        to_ptr = wire_put_text(wire_put_bytes(to_ptr, b"\xaarequest_id", 11), uuid, 36)
        to_ptr = wire_put_uint(wire_put_bytes(to_ptr, b"\xabstatus_code", 12), result.status_code)
        to_ptr = put_str(wire_put_bytes(to_ptr, b"\xaefunction_error", 15), result.function_error)
        to_ptr = put_str(wire_put_bytes(to_ptr, b"\xb0executed_version", 17), result.executed_version)
        to_ptr = put_str(wire_put_bytes(to_ptr, b"\xa5start", 6), STARTS[result.start_code])
        to_ptr = put_str(wire_put_bytes(to_ptr, b"\xa7outcome", 8), OUTCOMES[result.outcome_code])
        to_ptr = wire_put_double(wire_put_bytes(to_ptr, b"\xabduration_ms", 12), result.duration_ns / 1e6)
        to_ptr = wire_put_double(wire_put_bytes(to_ptr, b"\xa9queued_ms", 10), result.queued_ns / 1e6)
        to_ptr = wire_put_bytes(to_ptr, b"\xa7init_ms", 8)
        if result.init_ns:
            to_ptr = wire_put_double(to_ptr, result.init_ns / 1e6)
        else:
            to_ptr = wire_put_bytes(to_ptr, b"\xc0", 1)
        to_ptr = wire_put_uint(wire_put_bytes(to_ptr, b"\xa9billed_ms", 10), result.billed_ms)
        to_ptr = wire_put_uint(wire_put_bytes(to_ptr, b"\xa9memory_mb", 10), result.memory_mb)
        to_ptr = wire_put_uint(wire_put_bytes(to_ptr, b"\xadmax_memory_mb", 14), result.max_memory_mb)
        to_ptr = wire_put_bytes(to_ptr, b"\xa8log_tail", 9)
        if log_ptr == NULL:
            to_ptr = wire_put_bytes(to_ptr, b"\xc0", 1)
        else:
            to_ptr = wire_put_text(to_ptr, log_ptr, log_length)
        self.out = to_ptr - self.out_ptr
        return self.soil()

    cdef int reserve(self, size_t length) except -1:
        """Room for so many more bytes of answers."""
        cdef void* out_ptr
        cdef size_t room
        if self.out + length > self.out_room:
            room = max(self.out + length, max(2 * self.out_room, <size_t>1024))
            out_ptr = realloc(self.out_ptr, room)
            if out_ptr == NULL:
                raise MemoryError()
            self.out_ptr = <uint8_t*>out_ptr
            self.out_room = room
        return 0

    cdef int soil(self) except -1:
        """Something happened here that the loop must see to: answers to send, or room for requests."""
        if self.dirty:
            return 0
        if self.taking and not self.paused and self.in_flight == 0:
            return 0        # `data_received` sends what is answered at once
        self.dirty = True
        self.exchange.dirty.append(self)
        if len(self.exchange.dirty) == 1:
            self.exchange.scheduler.call_soon(self.exchange.flush)
        return 0

    cdef int send(self) except -1:
        cdef bytes answers
        if self.out == 0 or self.transport is None:
            return 0
        answers = PyBytes_FromStringAndSize(<const char*>self.out_ptr, self.out)
        self.out = 0
        if self.out_room > KEPT:
            free(self.out_ptr)
            self.out_ptr = NULL
            self.out_room = 0
        self.transport.write(answers)
        if self.stuffed and self.transport.get_write_buffer_size() > UNREAD_MOST:
            self.closing = True
            self.transport.abort()
        return 0


cdef uint8_t* put_str(uint8_t* to_ptr, str text) except NULL:
    """A short str, or nil."""
    cdef Py_ssize_t length
    cdef const char* text_ptr
    if text is None:
        return wire_put_bytes(to_ptr, b"\xc0", 1)
    text_ptr = PyUnicode_AsUTF8AndSize(text, &length)
    return wire_put_text(to_ptr, text_ptr, length)
