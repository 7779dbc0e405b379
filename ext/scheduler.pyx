"""The scheduler: takes invocations from any thread, hands them to lanes, and tells each caller its answer.

WHO WAITS, AND WHERE
  On an event loop, answers are drained by `poll`, called when `fileno()` is readable and, while traffic is hot, once
  per turn of the loop. A lone caller whose answer is microseconds away does not go back to the loop at all (`call`).
  A blocked thread drains for itself (`call_blocking`): it spins while that pays, then sleeps in epoll. With many such
  threads one drains for all; the others park, and the one that leaves calls the next.

ASLEEP OR AWAKE
  A lane's `core_asleep` tells environments whether an answer must ring the lane's eventfd. It is 1 whenever nobody is
  committed to look at the lane again: set it, fence, look once more (`arm`), then sleep. Every lane has an eventfd of
  its own, edge-triggered in one epoll set, so that no function can swallow or flood another's wake-ups.
"""

import os

from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint64_t
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from engine._ext.environment cimport Waiter
from engine._ext.epoll cimport *
from engine._ext.kernel cimport getpid as os_getpid, monotonic_ns, ring_bell, sched_yield
from engine._ext.lane cimport Lane
from engine._ext.layout cimport fence, relax, store32
from engine._ext.queue cimport any_finished, queue_t
from engine._ext.result cimport InvokeResult

from engine.errors import EngineClosedError, ForeignProcessError, ServiceException, TooManyRequestsException

cdef enum:
    BUDGET = 256            # answers taken from one lane before the next has its turn
    EVENTS = 64
    NEAR_NS = 15000         # an answer nearer than this is worth waiting for on the loop
    SPIN_MOST_NS = 200000
    HOT_NS = 100000         # how long the loop keeps turning after the last answer
    ROUNDS = 8              # looks at lanes and door, while there is something, before the loop has its turn


cdef bint spin_lane(queue_t* queue_ptr, uint64_t stop_ns, int epoll_fd) noexcept nogil:
    """Look for answers on one lane until `stop_ns`; with an epoll descriptor, for those of all others too."""
    cdef epoll_event events[EVENTS]
    cdef int _i
    while True:
        for _i in range(64):
            if any_finished(queue_ptr):
                return True
            relax()
        if epoll_fd >= 0 and epoll_wait(epoll_fd, events, EVENTS, 0) > 0:
            return True
        if monotonic_ns() >= stop_ns:
            return False
        sched_yield()       # an environment may wait for this very CPU


cdef class Door:
    """Whoever brings invocations from outside, on the loop's thread."""

    cdef int turn(self) except -1:
        """Bring what there is, send what was answered; how much there was."""
        return 0


cdef class Scheduler:
    def __init__(self, *, bint lambda_scaling, int cpus):
        cdef bytes seed = os.urandom(16)
        self.active = []
        self.parked = []
        self.lambda_scaling = lambda_scaling
        self.may_spin = cpus > 1
        self.pid = os.getpid()
        self.random[0] = (<uint64_t*>PyBytes_AS_STRING(seed))[0] | 1
        self.random[1] = (<uint64_t*>PyBytes_AS_STRING(seed))[1]
        self.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll_fd < 0:
            raise OSError(errno, os.strerror(errno))
        self.bell_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.wake_on(self.bell_fd)

    def close(self) -> None:
        """Take nothing more. Everything outstanding must have been ended."""
        self.closed = True
        if self.epoll_fd >= 0:
            os.close(self.epoll_fd)
            os.close(self.bell_fd)
            self.epoll_fd = self.bell_fd = -1

    def fileno(self) -> int:
        """Readable when an answer may be there."""
        return self.epoll_fd

    def watch(self, Lane lane) -> None:
        """Have this lane's eventfd wake us."""
        self.wake_on(lane.event_fd)

    def ring(self) -> None:
        """Wake the thread that sleeps over the lanes."""
        ring_bell(self.bell_fd)

    cdef int wake_on(self, int event_fd) except -1:
        cdef epoll_event event
        event.events = EPOLLIN | EPOLLET
        event.data.u64 = 0
        if epoll_ctl(self.epoll_fd, EPOLL_CTL_ADD, event_fd, &event) != 0:
            raise OSError(errno, os.strerror(errno))
        return 0

    def rest(self, Lane lane) -> bool:
        """Stop looking at a lane, unless something is outstanding there. Whether nothing was.

        Looked at here, where nobody can come in between: a caller that finds the lane active leaves it at that.
        """
        if lane.outstanding > 0:
            return False
        if lane.active:
            store32(&lane.queue.head_ptr.core_asleep, 1)
            lane.active = False
            self.active.remove(lane)
        return True

    def rouse(self, Lane lane) -> None:
        """Look at this lane: something is outstanding or starting there."""
        if not lane.active:
            lane.active = True
            self.active.append(lane)
        if not self.watched:
            self.watched = True
            self.on_active()

    def release_old(self) -> None:
        """Unmap regions that were replaced, once no thread can be looking at them."""
        cdef Lane lane
        if self.spinning == 0:
            for lane in self.active:
                if lane.old_mappings:
                    lane.old_mappings.clear()

    cdef int new_id(self, uint8_t* raw_ptr) noexcept:
        """A version 4 UUID from xorshift128+, seeded from the system: unique, not secret."""
        cdef uint64_t a, b
        cdef int i
        for i in range(2):
            a = self.random[0]
            b = self.random[1]
            self.random[0] = b
            a ^= a << 23
            self.random[1] = a ^ b ^ (a >> 17) ^ (b >> 26)
            (<uint64_t*>raw_ptr)[i] = self.random[1] + b
        raw_ptr[6] = (raw_ptr[6] & 0x0F) | 0x40
        raw_ptr[8] = (raw_ptr[8] & 0x3F) | 0x80
        return 0

    def new_request_id(self) -> bytes:
        """16 bytes for a request that is answered without being run."""
        cdef uint8_t raw[16]
        self.new_id(raw)
        return <bytes>raw[:16]

    cdef int refuse(self, Lane lane) except -1:
        if self.pid != os.getpid():
            raise ForeignProcessError(f"this engine belongs to process {self.pid}; open another one in {os.getpid()}")
        if self.closed or lane.closed:
            raise EngineClosedError("the engine is closed, or the function was deleted meanwhile")
        if lane.journal.full:
            raise ServiceException(lane.journal.refusal())
        lane.meter.throttles += 1
        raise TooManyRequestsException("Rate Exceeded.", reason=lane.quota.reason)

    cdef int submit(self, Lane lane, const char* payload_ptr, Py_ssize_t length, bytes extra, object waiter,
                    bint wants_tail, const uint8_t* given_id) except -1:
        """Take a lease, put the invocation into its lane, wake who should run it. Without an id it gets a new one."""
        cdef uint8_t request_id[16]
        if self.closed or lane.closed or lane.journal.full or (
                lane.quota.used >= lane.quota.limit and not lane.quota.borrow()):
            self.refuse(lane)
        if given_id == NULL:
            self.new_id(request_id)
            given_id = request_id
        lane.quota.used += 1
        lane.outstanding += 1
        lane.meter.outstanding += 1
        lane.meter.peak = max(lane.meter.peak, lane.meter.outstanding)
        try:
            lane.enter(given_id, payload_ptr, length, extra, waiter, wants_tail, monotonic_ns())
        except BaseException:
            lane.quota.give_back()
            lane.outstanding -= 1
            lane.meter.outstanding -= 1
            raise
        self.woke = lane.ring()
        if not lane.active or not self.watched:
            self.rouse(lane)
        if lane.outstanding > lane.ready + lane.starting and not lane.demanded and self.wants_more(lane):
            lane.demanded = True
            self.on_demand(lane)
        return 0

    cdef bint wants_more(self, Lane lane) noexcept:
        """Whether another environment would help. Unknown service times are left to the supervisor's tick."""
        if lane.ready + lane.starting == 0 or self.lambda_scaling:
            return True
        return lane.ready > 0 and (lane.outstanding - lane.ready) * lane.service_ns >= lane.cold_ns * lane.ready

    cdef int drain_all(self) except -1:
        cdef Lane lane
        cdef int settled = 0
        for lane in self.active:
            settled += lane.drain(BUDGET)
        return settled

    def drain(self) -> int:
        """Settle what is there, a bounded number per lane. The number settled."""
        return self.drain_all()

    cdef bint arm(self) except -1:
        """Have answers ring from now on. False when one came in between: look again before sleeping."""
        cdef Lane lane
        for lane in self.active:
            store32(&lane.queue.head_ptr.core_asleep, 1)
        fence()
        for lane in self.active:
            if any_finished(&lane.queue):
                return False
        return True

    # --- on an event loop ---------------------------------------------------------------------------------------------

    def call(self, Lane lane, bytes payload not None, bytes extra not None, bint wants_tail) -> object:
        """Accept an invocation. Returns its InvokeResult when that came at once, else a future of it.

        Raises TooManyRequestsException; EngineClosedError.
        """
        cdef Waiter waiter
        cdef object future
        cdef const char* payload_ptr = PyBytes_AS_STRING(payload)
        if self.pid != os_getpid():
            self.refuse(lane)
        if not self.answers_soon(lane):
            future = self.new_future()
            self.post(lane, payload_ptr, PyBytes_GET_SIZE(payload), extra, future, wants_tail, False)
            return future
        waiter = Waiter()
        self.post(lane, payload_ptr, PyBytes_GET_SIZE(payload), extra, waiter, wants_tail, True)
        if waiter.result is not None:
            return waiter.result
        future = self.new_future()
        waiter.forward = future
        return future

    cdef bint answers_soon(self, Lane lane) noexcept:
        """Whether a lone answer is so near that waiting for it on the loop beats going back to the loop."""
        return (self.may_spin and lane.outstanding == 0 and lane.turnaround_ns < NEAR_NS and lane.ready > 0
                and lane.free_count > 0 and not self.polling)

    cdef int post(self, Lane lane, const char* payload_ptr, Py_ssize_t length, bytes extra, object waiter,
                  bint wants_tail, bint waits) except -1:
        """Accept an invocation on the loop's thread. With `waits` look for its answer for a moment, here and now."""
        cdef uint64_t stop_ns
        if not waits:
            if not self.polling:
                store32(&lane.queue.head_ptr.core_asleep, 1)
            return self.submit(lane, payload_ptr, length, extra, waiter, wants_tail, NULL)
        store32(&lane.queue.head_ptr.core_asleep, 0)
        self.submit(lane, payload_ptr, length, extra, waiter, wants_tail, NULL)
        stop_ns = monotonic_ns() + <uint64_t>(lane.turnaround_ns * 2) + 5000
        with nogil:
            spin_lane(&lane.queue, stop_ns, -1)
        lane.drain(BUDGET)
        if lane.outstanding:
            self.start_polling()
        return 0

    cdef int start_polling(self) except -1:
        if not self.polling:
            self.polling = True
            self.hot_until_ns = monotonic_ns() + HOT_NS
            self.call_soon(self.poll)
        return 0

    def readable(self) -> None:
        """The loop's call-back for `fileno()`."""
        cdef epoll_event events[EVENTS]
        epoll_wait(self.epoll_fd, events, EVENTS, 0)
        if not self.polling:
            self.polling = True
            self.hot_until_ns = monotonic_ns() + HOT_NS
            self.poll()

    def poll(self) -> None:
        """Settle what is there; come back next turn while traffic is hot, else arrange to be woken."""
        cdef Lane lane
        cdef uint64_t now_ns
        cdef int settled, rounds = 0
        if self.closed:
            self.polling = False
            return
        while True:
            try:
                settled = self.drain_all()
                if self.door is not None:
                    settled += self.door.turn()
            except BaseException:
                self.polling = False    # who comes next starts it again; until then the supervisor's tick drains
                raise
            now_ns = monotonic_ns()
            if settled:
                self.hot_until_ns = now_ns + HOT_NS
                rounds += 1
                if rounds < ROUNDS:
                    continue
            if self.may_spin and now_ns < self.hot_until_ns and self.expects_soon():
                for lane in self.active:
                    store32(&lane.queue.head_ptr.core_asleep, 0)
                if settled == 0:
                    sched_yield()
                self.call_soon(self.poll)
                return
            if self.arm():
                self.polling = False
                return

    cdef bint expects_soon(self) noexcept:
        """Whether some lane's answer is near enough for turning the loop to be cheaper than being woken."""
        cdef Lane lane
        for lane in self.active:
            if lane.outstanding and lane.ready and lane.service_ns < HOT_NS:
                return True
        return False

    # --- in a blocked thread ------------------------------------------------------------------------------------------

    def call_blocking(self, Lane lane, bytes payload not None, bytes extra not None, bint wants_tail) -> InvokeResult:
        """Run an invocation and wait for it, in this thread. Raises as `call` does; an exception of a signal handler
        ends the wait, not the invocation."""
        cdef Waiter waiter = Waiter()
        if self.pid != os_getpid():
            self.refuse(lane)
        store32(&lane.queue.head_ptr.core_asleep, 0 if not self.draining and self.spins(lane) else 1)
        self.submit(lane, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), extra, waiter, wants_tail, NULL)
        while not waiter.told:
            if self.draining:
                self.park(waiter)
                continue
            self.draining = True
            try:
                self.drain_until(waiter, lane)
            finally:
                self.draining = False
                self.call_next()
        if waiter.error is not None:
            raise waiter.error
        return waiter.result

    cdef bint spins(self, Lane lane) noexcept:
        return self.may_spin and lane.ready > 0 and lane.turnaround_ns < SPIN_MOST_NS

    cdef int drain_until(self, Waiter waiter, Lane lane) except -1:
        cdef epoll_event events[EVENTS]
        cdef uint64_t stop_ns = 0
        cdef int others = self.epoll_fd if len(self.active) > 1 else -1
        if self.spins(lane) and not self.woke:
            stop_ns = monotonic_ns() + min(<uint64_t>(lane.turnaround_ns * 2) + 20000, <uint64_t>SPIN_MOST_NS)
        while True:
            self.drain_all()
            if waiter.told:
                return 0
            if stop_ns and monotonic_ns() < stop_ns:
                self.spinning += 1
                with nogil:
                    spin_lane(&lane.queue, stop_ns, others)
                self.spinning -= 1
                continue
            if self.closed:
                raise EngineClosedError("the engine was closed while this invocation ran")
            if self.arm():
                waiter.bell_fd = self.bell_fd       # the supervisor answers too: for environments that died or hang
                with nogil:
                    epoll_wait(self.epoll_fd, events, EVENTS, 1000)
                waiter.bell_fd = -1
                PyErr_CheckSignals()

    cdef int park(self, Waiter waiter) except -1:
        lock = waiter.park()
        self.parked.append(waiter)
        try:
            if not waiter.told:
                lock.acquire()
        finally:
            self.parked.remove(waiter)
        return 0

    cdef int call_next(self) except -1:
        """Let another parked thread drain."""
        cdef Waiter waiter
        for waiter in self.parked:
            if not waiter.told:
                waiter.nudge()
                return 0
        return 0
