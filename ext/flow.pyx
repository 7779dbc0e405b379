"""A streamed answer at the core's end: from the ring in its slot to whoever reads, at the reader's pace.

Nothing is read ahead: bytes stay in the ring until the reader takes them, and a full ring has the function wait. Only
what is there when the invocation ends is kept here, a ring's worth at most, because the slot goes to another one. An
answer that was not streamed comes as such a rest.

In the lane it stands where a future would: `set_result` and `set_exception` end it. All of it runs under the
interpreter lock, in whichever thread drains or reads. The protocol of the ring is in flow_ring.pxd.
"""

from libc.stdint cimport int64_t, uint64_t, uint8_t
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
cimport cython
from engine._ext.flow_ring cimport ring_read, ring_there, ring_wants_waking
from engine._ext.layout cimport *
from engine._ext.queue cimport (
    ILLEGAL, is_live, queue_call, queue_forget, queue_t, slot_at, word_owner, word_phase
)
from engine._ext.result cimport SUCCEEDED
from engine._ext.uuid cimport write_uuid

RING_BYTES = FLOW_RING
STREAM_MAX_BYTES = FLOW_MAX
JSON = "application/json"
BYTES = "application/octet-stream"


@cython.final
cdef class Flow:
    """One streamed answer. `listener` is called, without arguments, when there may be something new.

    content_type: None until the first byte is there. request_id, executed_version: None until it has a slot. result,
    error: how it ended, once `ended`; bytes may be left.
    """

    def __init__(self, listener=None):
        self.listener = listener

    @property
    def at_end(self) -> bool:
        """It has ended, and all of it was taken."""
        return self.ended and self.rest is None

    @property
    def is_readable(self) -> bool:
        """Whether `take` has something to give, or everything was given."""
        return self.has_news()

    def take(self, Py_ssize_t limit) -> bytes:
        """What is there now, `limit` bytes of it at most. Empty when there is nothing yet, or nothing any more."""
        cdef int64_t length
        cdef bytes body
        if self.rest is not None:
            return self.take_rest(limit)
        length = self.there()
        if length != ILLEGAL:
            length = min(length, <int64_t>limit)
            if length <= 0:
                return b""
            body = PyBytes_FromStringAndSize(NULL, length)
            if ring_read(self.region_fd, self.index, self.taken, PyBytes_AS_STRING(body), length) == 0:
                self.took(length)
                return body
        self.accuse()
        return b""

    def discard(self) -> None:
        """Nobody reads any more: the function runs to its end, and what it gives is dropped."""
        cdef slot_t* slot_ptr
        self.dropped = True
        self.rest = None
        if self.queue != NULL:
            slot_ptr = slot_at(self.queue.base_ptr, self.index)
            store32(&slot_ptr.flow_dropped, 1)
            self.took(0)

    def set_result(self, InvokeResult result not None) -> None:
        self.result = result
        self.ended = True
        self.tell()

    def set_exception(self, error) -> None:
        self.detach()
        self.error = error
        self.ended = True
        self.tell()

    cdef int tell(self) except -1:
        if self.listener is not None:
            self.listener()
        return 0

    cdef bint has_news(self) except -1:
        return self.rest is not None or self.ended or self.there() != 0

    cdef int name_invocation(self, const uint8_t* raw_id, str version) except -1:
        """Which invocation's answer it is."""
        cdef char text[36]
        write_uuid(raw_id, text)
        self.request_id = PyUnicode_DecodeASCII(text, 36, NULL)
        self.executed_version = version
        return 0

    # --- in a slot ----------------------------------------------------------------------------------------------------

    cdef int attach(self, object lane, Mapping mapping, queue_t* queue, int region_fd, int index) except -1:
        """It has a slot, which is not published yet."""
        cdef slot_t* slot_ptr = slot_at(queue.base_ptr, index)
        self.lane = lane
        self.mapping = mapping
        self.queue = queue
        self.region_fd = region_fd
        self.index = index
        self.taken = 0
        slot_ptr.flow_taken = slot_ptr.flow_given = 0
        slot_ptr.flow_wanted = 0
        slot_ptr.flow_dropped = self.dropped
        return 0

    cdef int detach(self) except -1:
        self.lane = self.mapping = None
        self.queue = NULL
        return 0

    cdef int64_t there(self) except -9:
        """How many bytes of the answer wait in the ring, or ILLEGAL. The content type is read where it is not known."""
        cdef int64_t length
        cdef int type_length
        cdef char head[256]
        if self.queue == NULL:
            return 0
        length = ring_there(slot_at(self.queue.base_ptr, self.index), self.taken)
        if length <= 0 or self.content_type is not None:
            return length
        if ring_read(self.region_fd, self.index, 0, head, min(length, <int64_t>sizeof(head))):
            return ILLEGAL
        type_length = <uint8_t>head[0]
        if length < 1 + type_length:
            return ILLEGAL      # it is written in one piece
        self.content_type = sound_type(head[1:1 + type_length])
        self.took(1 + type_length)
        return length - 1 - type_length

    cdef int took(self, uint64_t length) except -1:
        cdef slot_t* slot_ptr = slot_at(self.queue.base_ptr, self.index)
        cdef int owner
        self.taken += length
        store64(&slot_ptr.flow_taken, self.taken)
        if ring_wants_waking(slot_ptr, self.taken):
            owner = word_owner(load64(&slot_ptr.word))
            if is_live(self.queue, owner):
                queue_call(self.queue, owner)
        return 0

    cdef int accuse(self) except -1:
        """What lies in the slot breaks the protocol: nothing more is read there, and its owner is ended."""
        cdef queue_t* queue = self.queue
        cdef object lane = self.lane
        cdef uint64_t word
        if queue == NULL:
            return 0
        word = load64(&slot_at(queue.base_ptr, self.index).word)
        self.detach()
        if word_phase(word) in (CLAIMED, DONE) and is_live(queue, word_owner(word)):
            queue_forget(queue, word_owner(word))
            lane.on_event(lane, lane.environments[word_owner(word)], "illegal", -1)
        return 0

    # --- at its end ---------------------------------------------------------------------------------------------------

    cdef int close_up(self, InvokeResult result) except -1:
        """The invocation has ended and its slot goes: take what is left. `result` keeps its payload where it failed."""
        cdef int64_t length = 0 if self.dropped else self.there()
        cdef bytes left = b""
        if length > 0:
            left = PyBytes_FromStringAndSize(NULL, length)
            if ring_read(self.region_fd, self.index, self.taken, PyBytes_AS_STRING(left), length):
                left = b""
        self.detach()
        if result.outcome_code == SUCCEEDED:
            if result.payload and not self.dropped:
                left += result.payload
                self.content_type = self.content_type or JSON
            result.payload = b""
        self.rest = left or None
        self.rest_at = 0
        return 0

    cdef bytes take_rest(self, Py_ssize_t limit):
        cdef bytes body
        if limit <= 0:
            return b""
        body = self.rest[self.rest_at:self.rest_at + limit]
        self.rest_at += PyBytes_GET_SIZE(body)
        if self.rest_at == PyBytes_GET_SIZE(self.rest):
            self.rest = None
        return body


cdef str sound_type(bytes given):
    """A content type as a function gives it, which goes into a header: printable ASCII, or the one of plain bytes."""
    cdef str text = given.decode("latin-1")
    return text if text.isascii() and text.isprintable() and text.strip() else BYTES
