"""What is done for each event: it is counted, put into its queue's window, handed to a lane, and taken leave of.

What is done for many at a time, or seldom, is Python's, in `core/events`. All of it runs on the loop's thread, but for
`Event.set_result` and `set_exception`, which lanes call in any thread and in the midst of something: they only note
the end, and have `on_ended` called once for all that ended since.
"""

from asyncio import InvalidStateError
from collections import deque

from libc.stdint cimport int64_t, uint8_t
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from engine._ext.lane cimport Lane
from engine._ext.layout cimport store32
from engine._ext.meter cimport Histogram
from engine._ext.result cimport InvokeResult
from engine._ext.scheduler cimport Scheduler

from engine.errors import TooManyRequestsException

cdef enum:
    EVENT_BYTES = 512       # of objects around a payload


cdef class EventQueue:
    """The events of `function`, called by `qualifier` ("" where there is none)."""

    def __init__(self, int64_t number, str function not None, str qualifier not None):
        self.id = number
        self.function = function
        self.qualifier = qualifier
        self.window = deque()
        self.ages = Histogram()
        self.ages_lately = Histogram()

    @property
    def reference(self) -> str | None:
        """The qualifier, for looking the function up."""
        return self.qualifier or None

    @property
    def to_run(self) -> int:
        """Events that are to be run as soon as there is room."""
        return self.events - self.put_off - self.in_flight


@cython.final
@cython.freelist(512)
cdef class Event:
    """One accepted event; to the lane that runs it, whoever waits for the answer."""

    def set_result(self, result) -> None:
        self.traffic.end(self, result)

    def set_exception(self, error) -> None:
        self.traffic.end(self, error)

    cdef int64_t size(self):
        return PyBytes_GET_SIZE(self.payload) + PyBytes_GET_SIZE(self.extra)

    cdef int64_t weight(self):
        """What it takes in memory, about."""
        return self.size() + EVENT_BYTES

    cdef bint is_special(self, int64_t now_ms):
        """Whether it may be one that is not to be run: too old, or with a trace to look at."""
        return PyBytes_GET_SIZE(self.extra) > 0 or now_ms - self.accepted_ms >= self.queue.age_ms


def rows_of(list events not None) -> list:
    """Each as `event_store.EventRow` has it."""
    cdef Event event
    return [(event.seq, event.queue.id, event.due_ms, event.attempts, event.accepted_ms, event.request_id, event.extra,
             event.payload) for event in events]


cdef class Traffic:
    """All events of one engine that are in memory. Bounds are for all queues; one may have half of the first two."""

    def __init__(self, Scheduler scheduler not None, on_ended, *, int64_t events_most, int64_t bytes_most,
                 int64_t window_events, int64_t window_bytes_most):
        self.scheduler = scheduler
        self.on_ended = on_ended
        self.ended = deque()
        self.put_off = set()
        self.events_most = events_most
        self.bytes_most = bytes_most
        self.window_events = window_events
        self.window_bytes_most = window_bytes_most

    # --- accepting ----------------------------------------------------------------------------------------------------

    def accept(self, EventQueue queue not None, Lane lane not None, bytes payload not None, bytes extra not None,
               int64_t now_ms, waiting) -> Event:
        """Count a new event. Raises TooManyRequestsException at the bounds."""
        cdef Event event
        cdef uint8_t request_id[16]
        cdef int64_t size = PyBytes_GET_SIZE(payload) + PyBytes_GET_SIZE(extra)
        if (self.events >= self.events_most or self.length + size > self.bytes_most
                or queue.events >= self.events_most // 2 or queue.length + size > self.bytes_most // 2):
            raise TooManyRequestsException("Rate Exceeded.", reason="CallerRateLimitExceeded")
        self.last += 1
        event = Event.__new__(Event)
        event.seq = self.last
        event.accepted_ms = now_ms
        self.scheduler.new_id(request_id)
        event.request_id = <bytes>request_id[:16]
        event.extra = extra
        event.payload = payload
        event.queue = queue
        event.traffic = self
        event.lane = lane
        event.waiting = waiting
        queue.events += 1
        queue.length += size
        self.events += 1
        self.length += size
        return event

    def counted(self, EventQueue queue not None, int64_t events, int64_t size) -> None:
        """So many were in a queue before, or no longer are (negative)."""
        queue.events += events
        queue.length += size
        self.events += events
        self.length += size

    def written(self, list events not None) -> list:
        """These are on disk: whoever waits is told. The queues that have something to run now, or to read."""
        cdef Event event
        cdef EventQueue queue
        cdef dict touched = {}
        cdef InvokeResult receipt
        for event in events:
            queue = event.queue
            queue.received += 1
            if event.seq > queue.tail:          # else it was read back already
                if (queue.left > queue.tail or len(queue.window) >= self.window_events
                        or self.window_bytes > self.window_bytes_most):
                    queue.left = event.seq
                else:
                    queue.tail = event.seq
                    queue.window.append(event)
                    self.window_bytes += event.weight()
            touched[queue.id] = queue
            receipt = InvokeResult.receipt(202, event.request_id, event.lane.version, event.lane.memory_mb)
            waiting, event.waiting = event.waiting, None
            event.lane = None
            try:
                waiting.set_result(receipt)
            except InvalidStateError:           # whoever called stopped waiting
                pass
        return list(touched.values())

    # --- the window ---------------------------------------------------------------------------------------------------

    def read(self, EventQueue queue not None, row not None, *, bint first=False) -> Event:
        """An event that was read from disk joins the window: at its end, or as the `first`."""
        cdef Event event = Event.__new__(Event)
        event.queue = queue
        event.traffic = self
        (event.seq, _, event.due_ms, event.attempts, event.accepted_ms, event.request_id, event.extra,
         event.payload) = row
        if event.due_ms > 0:
            self.put_off.add(event.seq)
        if first:
            self.into_window(event)
        else:
            queue.tail = event.seq
            queue.window.append(event)
            self.window_bytes += event.weight()
        return event

    cdef int into_window(self, Event event) except -1:
        event.queue.window.appendleft(event)
        self.window_bytes += event.weight()
        return 0

    def put_back(self, Event event not None) -> None:
        """It could not be run: it is the next again."""
        self.into_window(event)

    def take(self, EventQueue queue not None) -> Event:
        """The next event to run."""
        cdef Event event = queue.window.popleft()
        self.window_bytes -= event.weight()
        return event

    def dismiss(self, Event event not None) -> None:
        """It is done: it counts no more."""
        if not event.queue.dropped:
            self.counted(event.queue, -1, -event.size())
        if event.due_ms > 0:
            self.put_off.discard(event.seq)

    # --- running ------------------------------------------------------------------------------------------------------

    def run(self, EventQueue queue not None, Lane lane not None, int64_t room, int64_t now_ms) -> Event | None:
        """Put a queue's events into a lane while there is room. An event that must be looked at first is taken off and
        given back; None: that was all, or all there is room for.

        Raises as `Scheduler.call`; the event is in the window again then.
        """
        cdef Event event
        while queue.window:
            event = queue.window[0]
            if event.is_special(now_ms):
                return self.take(queue)
            if queue.in_flight >= room:
                return None
            self.submit(event, lane)
            queue.window.popleft()
            self.window_bytes -= event.weight()
            queue.ages.add(<int64_t>max(0, now_ms - event.accepted_ms) * 1000000)
            queue.ages_lately.add(<int64_t>max(0, now_ms - event.accepted_ms) * 1000000)
        return None

    def run_one(self, Event event not None, Lane lane not None, int64_t now_ms) -> None:
        """Put this event into a lane: it was taken off its window. Raises as `run`."""
        self.submit(event, lane)
        event.queue.ages.add(<int64_t>max(0, now_ms - event.accepted_ms) * 1000000)
        event.queue.ages_lately.add(<int64_t>max(0, now_ms - event.accepted_ms) * 1000000)

    cdef int submit(self, Event event, Lane lane) except -1:
        if not self.scheduler.polling:
            store32(&lane.queue.head_ptr.core_asleep, 1)
        self.scheduler.submit(lane, PyBytes_AS_STRING(event.payload), PyBytes_GET_SIZE(event.payload), event.extra,
                              event, False, <const uint8_t*>PyBytes_AS_STRING(event.request_id))
        event.queue.in_flight += 1
        self.in_flight += 1
        return 0

    cdef int end(self, Event event, object outcome) except -1:
        self.ended.append((event, outcome))
        if not self.called:
            self.called = True
            self.on_ended()
        return 0

    def settle(self, list done not None, list others not None) -> list:
        """See to all that has ended: numbers of events that are done go into `done`, what else has to be looked at into
        `others`, with its outcome. The queues that have room now."""
        cdef Event event
        cdef EventQueue queue
        cdef dict touched = {}
        self.called = False
        while self.ended:
            event, outcome = self.ended.popleft()
            queue = event.queue
            queue.in_flight -= 1
            self.in_flight -= 1
            if event.lane is not None:          # a tenant's, which other lanes of the queue are not to be held up by
                event.lane.events -= 1
                event.lane = None
            touched[queue.id] = queue
            if (not queue.keeps_success and not queue.dropped and type(outcome) is InvokeResult
                    and (<InvokeResult>outcome).function_error is None):
                done.append(event.seq)
                self.dismiss(event)
            else:
                others.append((event, outcome))
        return list(touched.values())
