"""An environment's end of its function's region: claim an invocation, call the handler, put the answer back.

Runs in the worker process. What a handler or the user's signal handlers raise below Exception (SystemExit,
KeyboardInterrupt) passes through `serve` and ends the process, as in Lambda.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.iterator cimport PyIter_Check
from cpython.unicode cimport PyUnicode_DecodeASCII
from engine._ext.kernel cimport monotonic_ns, read_all
from engine._ext.layout cimport *
from engine._ext.linux cimport Mapping
from engine._ext.place cimport *
from engine._ext.queue cimport env_at, flag_finished
from engine._ext.uuid cimport TRACE_LENGTH, UUID_LENGTH, write_trace, write_uuid

TOO_LARGE = <bytes>TOO_LARGE_ANSWER
STREAM_TOO_LARGE = <bytes>STREAM_TOO_LARGE_ANSWER
TOO_LARGE_TYPE = (<bytes>TOO_LARGE_KIND).decode()
BYTES = b"application/octet-stream"
HTTP_RESPONSE = b"application/vnd.awslambda.http-integration-response"  # a JSON prelude, this, then the body
PRELUDE_END = bytes(8)
SOURCE = "ext/port.pyx"    # what a traceback calls this file


cdef class LambdaContext:
    """The object that a handler gets as its second argument."""
    @property
    def aws_request_id(self) -> str:
        cdef char text[UUID_LENGTH]
        if self.own_id is None:
            write_uuid(self.raw_id, text)
            self.own_id = PyUnicode_DecodeASCII(text, UUID_LENGTH, NULL)
        return self.own_id

    @aws_request_id.setter
    def aws_request_id(self, object value) -> None:
        self.own_id = value

    @property
    def identity(self) -> object:
        if self.own_identity is None:
            self.own_identity = self.make_identity(self.identity_document)
        return self.own_identity

    @identity.setter
    def identity(self, object value) -> None:
        self.own_identity = value

    @property
    def _epoch_deadline_time_in_ms(self) -> int:
        import time
        return time.time_ns() // 1000000 + self.get_remaining_time_in_millis()

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation times out; 0 when it should have."""
        cdef uint64_t now_ns = monotonic_ns()
        return <int64_t>((self.deadline_ns - now_ns) // 1000000) if self.deadline_ns > now_ns else 0

    def w3c(self) -> dict:
        """The W3C trace context that the caller sent."""
        return dict(self.trace or {})

    def log(self, object message) -> None:
        """Write a message to the function's log."""
        self.log_sink(str(message))

    def __repr__(self) -> str:
        names = ("aws_request_id", "log_group_name", "log_stream_name", "function_name", "memory_limit_in_mb",
                 "function_version", "invoked_function_arn", "client_context", "identity", "tenant_id")
        return f"{type(self).__name__}([{','.join(f'{name}={getattr(self, name)}' for name in names)}])"


cdef class Port:
    """One environment's place in a region.

    `extras` turns the bytes that came beside an event into (client context, trace context, identity document, tenant).
    `fault` turns an exception and a request id into (answer bytes, error type). `to_chunk` turns what a handler yields
    into bytes.
    """
    def open(self, int region_fd, int index, int event_fd, int log_fd, uint64_t timeout_ns) -> None:
        """Take this place in a region. Raises OSError, RuntimeError for a region of another version of the engine."""
        self.mapping = Mapping(region_fd)
        if not is_our_region(self.mapping.base_ptr):
            raise RuntimeError("the shared region is of another version of the engine")
        place_open(&self.place, self.mapping.base_ptr, region_fd, index, event_fd, log_fd, timeout_ns)

    def leave(self) -> None:
        """Give the place up: the region is mapped no more."""
        self.mapping = None

    def init_ended(self, uint64_t start_ns, bint failed, str error_type="", uint64_t restored_ns=0) -> None:
        """Tell the core that init is over; the environment takes invocations from now on, or ends.

        restored_ns: when the memory of a snapshot was in place, for a start from one.
        """
        cdef env_t* record_ptr = env_at(self.place.base, self.place.index)
        cdef bytes name = error_type.encode("ascii", "replace")[:TYPE_MAX]
        memcpy(record_ptr.init_type, PyBytes_AS_STRING(name), len(name))
        record_ptr.init_type_len = <uint32_t>len(name)
        record_ptr.init_start_ns = start_ns
        record_ptr.restored_ns = restored_ns
        record_ptr.init_end_ns = monotonic_ns()
        self.place.init_cpu_ns = self.cpu_used()
        record_ptr.init_log_end = log_position(&self.place)
        store32(&record_ptr.init_state, INIT_FAILED if failed else INIT_OK)
        flag_finished(self.place.base, self.place.index, self.place.event_fd)

    def request_id(self) -> str:
        """The id of the invocation under way; empty before the first."""
        return "" if self.context is None else self.context.aws_request_id

    def tenant_id(self) -> str | None:
        """Whose invocation is under way, where tenants are kept apart."""
        return None if self.context is None else self.context.tenant_id

    def claim(self) -> bool:
        """Wait for an invocation and claim it. False when this environment is to end instead."""
        cdef int taken
        while True:
            taken = place_take(&self.place)
            if taken != NOTHING_YET:
                return taken == TAKEN
            with nogil:
                place_wait(&self.place)
            PyErr_CheckSignals()

    def serve(self) -> None:
        """Take invocations until the core asks this environment to end."""
        while self.place.slot >= 0 or self.claim():
            self.run()

    def begin(self) -> None:
        """Stamp the invocation that was claimed, before there is a handler to run it: its time runs from here."""
        self.place.begun_ns = monotonic_ns()
        try:
            self.start(place_slot(&self.place))
        except Exception:   # told when the handler would run
            pass

    def refuse(self, bytes answer not None, str error_type not None) -> None:
        """End the claimed invocation with an error of the runtime's own."""
        self.put(answer, error_type, True)

    cdef bytes start(self, slot_t* slot_ptr):
        """Stamp the claim, make the context, return the event's bytes."""
        cdef uint64_t now_ns = place_start(&self.place)
        cdef uint32_t length = slot_ptr.in_len, extra = slot_ptr.in_extra_len
        cdef LambdaContext context = LambdaContext.__new__(LambdaContext)
        cdef bytes body
        memcpy(context.raw_id, slot_ptr.request_id, 16)
        context.function_name = self.function_name
        context.function_version = self.function_version
        context.memory_limit_in_mb = self.memory_limit_in_mb
        context.invoked_function_arn = self.invoked_function_arn
        context.log_group_name = self.log_group_name
        context.log_stream_name = self.log_stream_name
        context.make_identity = self.make_identity
        context.log_sink = self.log_sink
        context.deadline_ns = now_ns + self.place.timeout_ns
        self.context = context
        self.trace(context)
        if slot_ptr.in_flags & IN_SPILLED:
            body = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>length + extra)
            if read_all(self.place.region_fd, PyBytes_AS_STRING(body), <size_t>length + extra,
                        SPILL_OFFSET + <uint64_t>self.place.slot * SPAN):
                raise OSError("the event cannot be read from shared memory")
        else:
            body = PyBytes_FromStringAndSize(<char*>slot_ptr.body, min(<uint64_t>length + extra, <uint64_t>INLINE_MAX))
        if extra:
            context.client_context, context.trace, context.identity_document, context.tenant_id = \
                self.extras(body[length:])
            body = body[:length]
        return body

    cdef int trace(self, LambdaContext context) except -1:
        """A trace header of its own for each invocation, where the function and its SDK look for it."""
        cdef char header[TRACE_LENGTH]
        write_trace(context.raw_id, header)
        self.variables[b"_X_AMZN_TRACE_ID"] = PyBytes_FromStringAndSize(header, TRACE_LENGTH)
        return 0

    cdef int run(self) except -1:
        cdef slot_t* slot_ptr = place_slot(&self.place)
        cdef object answer
        cdef str error_type = ""
        try:
            answer = self.handler(self.unmarshal(self.start(slot_ptr)), self.context)
            answer = self.pour(answer, slot_ptr) if PyIter_Check(answer) else self.marshal(answer)
            if answer is STREAM_TOO_LARGE:
                error_type = TOO_LARGE_TYPE
            elif PyBytes_GET_SIZE(answer) > ANSWER_MAX:
                answer = TOO_LARGE
                error_type = TOO_LARGE_TYPE
        except Exception as error:
            answer, error_type = self.fault(error, self.context.aws_request_id)
        self.flush()
        self.put(answer, error_type, bool(error_type))
        return 0

    cdef bytes pour(self, object chunks, slot_t* slot_ptr):
        """Send each chunk as the handler gives it, or gather them for a caller who wants them whole.

        What is left for the slot: nothing, or all of it. Whatever ends this, the handler's own code has ended with it.
        """
        cdef bint streams = slot_ptr.in_flags & IN_STREAMED, first = True
        cdef list gathered = []
        cdef Py_ssize_t length = 0
        cdef bytes piece
        try:
            for chunk in chunks:
                is_prelude = first and isinstance(chunk, dict)
                piece = self.marshal(chunk) + PRELUDE_END if is_prelude else self.to_chunk(chunk)
                if first and streams:
                    self.begin_stream(HTTP_RESPONSE if is_prelude else BYTES)
                first = False
                if not streams:
                    gathered.append(piece)
                    length += PyBytes_GET_SIZE(piece)
                    if length > ANSWER_MAX:
                        break
                elif not self.send(piece):
                    return STREAM_TOO_LARGE
            if first and streams:
                self.begin_stream(BYTES)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        return b"".join(gathered)

    def begin_stream(self, bytes content_type not None) -> None:
        """What is sent for the claimed invocation is of this type, of 255 bytes at most."""
        if begin_streaming(&self.place, PyBytes_AS_STRING(content_type), len(content_type)):
            raise OSError("the answer cannot be written to shared memory")

    def send(self, bytes chunk not None) -> bool:
        """Hand bytes to whoever reads; waits while that one is too far behind. False where it was too much in all."""
        cdef const char* from_ptr = PyBytes_AS_STRING(chunk)
        cdef size_t left = PyBytes_GET_SIZE(chunk)
        cdef int64_t written
        while left:
            with nogil:
                written = hand_on(&self.place, from_ptr, left)
            if written < 0:
                raise OSError("the answer cannot be written to shared memory")
            from_ptr += written
            left -= <size_t>written
            if not written:
                PyErr_CheckSignals()
        return not is_too_much(&self.place)

    cdef int put(self, bytes answer, str error_type, bint failed) except -1:
        """Write the answer and its stamps into the slot and announce it."""
        cdef bytes kind = error_type.encode("ascii", "replace")[:TYPE_MAX] if failed else b""
        cdef size_t length = PyBytes_GET_SIZE(answer)
        if failed:
            length = min(length, <size_t>ANSWER_MAX)
        if place_write(&self.place, PyBytes_AS_STRING(answer), length, PyBytes_AS_STRING(kind), PyBytes_GET_SIZE(kind)):
            raise OSError("the answer cannot be written to shared memory")
        place_end(&self.place, length, PyBytes_GET_SIZE(kind), failed)
        self.sample()
        place_announce(&self.place)
        return 0

    cdef uint64_t cpu_used(self) noexcept:
        """CPU time that this environment had or wanted, in ns."""
        return own_cpu_ns()

    cdef int sample(self) noexcept:
        sample_memory(&self.place)
        sample_cpu(&self.place)
        return 0
