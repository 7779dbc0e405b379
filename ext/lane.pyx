"""A lane: one function version as the core sees it. Slots are filled, answers checked and settled.

All methods run under the interpreter lock and none lets go of it half-way through a change, so a lane needs no lock of
its own, whichever threads call. Nothing that is read from the region is believed: see `settle` and `sweep`.
"""

import os
from asyncio import InvalidStateError
from collections import deque

from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from engine._ext.environment cimport Environment, cut_text, drain_pipe, peak_kb
from engine._ext.flow cimport Flow
from engine._ext.flowing cimport flow_heard, flow_in, flow_is_sound
from engine._ext.kernel cimport monotonic_ns, read_all, write_all
from engine._ext.journal cimport Journal
from engine._ext.layout cimport *
from engine._ext.meter cimport Meter, Quota, record_t
from engine._ext.queue cimport *
from engine._ext.result cimport *
from engine._ext.waking cimport freeze, wake

from engine._ext.linux import create_region

cdef enum:
    ANSWER_MAX = 6291556
    CPUS_MOST = 64          # one environment's share, whatever it says of itself


cdef class Lane:
    def __init__(self, object configuration, Quota quota, Meter meter, Journal journal, *, uint32_t source,
                 uint64_t log_limit, double spin_us, int spin_limit):
        self.configuration = configuration
        self.name = configuration.function_name
        self.version = configuration.version
        self.memory_mb = configuration.memory_mb
        self.timeout_ns = <uint64_t>configuration.timeout_s * 1000000000
        self.quota = quota
        self.meter = meter
        self.journal = journal
        self.source = source
        self.pending = deque()
        self.old_mappings = []
        self.log_limit = log_limit
        self.spin_ns = <uint32_t>(spin_us * 1000)
        self.spin_limit = spin_limit
        self.cold_ns = 3e6
        self.region_fd = self.event_fd = -1
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.format()

    def format(self) -> None:
        """A fresh region with nothing in it; any older one is let go. Raises OSError."""
        cdef int i
        fd = create_region(f"engine-{self.name}")
        if self.mapping is not None:
            self.old_mappings.append(self.mapping)
        self.mapping = Mapping(fd)
        if self.region_fd >= 0:
            os.close(self.region_fd)
        self.region_fd = fd
        queue_format(&self.queue, self.mapping.base_ptr)
        self.queue.head_ptr.spin_ns = self.spin_ns
        self.queue.head_ptr.spin_limit = self.spin_limit
        for i in range(SLOTS):
            self.entries[i].outstanding = self.entries[i].held = False
            self.free_slots[i] = SLOTS - 1 - i
        self.free_count = SLOTS
        self.environments = []
        self.ready = self.starting = self.frozen_count = self.used_top = self.spilled_bytes = 0
        memset(self.frozen, 0, sizeof(self.frozen))
        self.waiters = [None] * SLOTS
        self.poisoned = False
        self.epoch += 1

    def close(self) -> None:
        """Close its descriptors. The mapping goes with the object: a thread may still be looking at it."""
        self.closed = True
        for fd in (self.region_fd, self.event_fd):
            if fd >= 0:
                os.close(fd)
        self.region_fd = self.event_fd = -1

    # --- accepting ----------------------------------------------------------------------------------------------------

    cdef int enter(self, const uint8_t* request_id, const char* payload_ptr, Py_ssize_t length, bytes extra,
                   object waiter, bint wants_tail, uint64_t since_ns) except -1:
        """Put an invocation into a slot and publish it; into `pending` when there is none. 1 when published."""
        cdef int index
        cdef slot_t* slot_ptr
        cdef entry_t* entry_ptr
        cdef Py_ssize_t extra_length = PyBytes_GET_SIZE(extra)
        if self.free_count == 0 or self.poisoned:
            self.pending.append((PyBytes_FromStringAndSize(<const char*>request_id, 16),
                                 PyBytes_FromStringAndSize(payload_ptr, length), extra, waiter, wants_tail, since_ns))
            return 0
        index = self.free_slots[self.free_count - 1]
        slot_ptr = slot_at(self.queue.base_ptr, index)
        if length + extra_length <= INLINE_MAX:
            memcpy(slot_ptr.body, payload_ptr, length)
            memcpy(slot_ptr.body + length, PyBytes_AS_STRING(extra), extra_length)
            slot_ptr.in_flags = 0
        else:
            self.spill(index, payload_ptr, length, extra)
            slot_ptr.in_flags = IN_SPILLED
        self.free_count -= 1
        if index >= self.used_top:
            self.used_top = index + 1
        entry_ptr = &self.entries[index]
        entry_ptr.generation = (entry_ptr.generation + 1) & 0xFFFFFFFFFFULL
        entry_ptr.published_ns = since_ns
        entry_ptr.claimed_ns = 0
        entry_ptr.owner = -1
        entry_ptr.outstanding = True
        entry_ptr.held = False
        entry_ptr.done_seen_ns = 0
        entry_ptr.wants_tail = wants_tail
        entry_ptr.flows = type(waiter) is Flow
        memcpy(entry_ptr.request_id, request_id, 16)
        if entry_ptr.flows:
            flow_in(self, index, <Flow>waiter)
        memcpy(slot_ptr.request_id, request_id, 16)
        slot_ptr.in_len = <uint32_t>length
        slot_ptr.in_extra_len = <uint32_t>extra_length
        slot_ptr.published_ns = since_ns
        slot_ptr.claimed_ns = 0
        self.waiters[index] = waiter
        if queue_publish(&self.queue, index, entry_ptr.generation) < 0:
            self.poison()
        return 1

    cdef int spill(self, int index, const char* payload_ptr, Py_ssize_t length, bytes extra) except -1:
        cdef uint64_t offset = SPILL_OFFSET + <uint64_t>index * SPAN
        cdef int failed = write_all(self.region_fd, payload_ptr, length, offset)
        if failed == 0:
            failed = write_all(self.region_fd, PyBytes_AS_STRING(extra), PyBytes_GET_SIZE(extra),
                               offset + <uint64_t>length)
        if failed:
            raise OSError(-failed, "cannot place a payload in shared memory: " + os.strerror(-failed))
        self.spilled_bytes += length + PyBytes_GET_SIZE(extra)
        return 0

    cdef bint ring(self) noexcept:
        """See to it that somebody comes for what was published. Whether one was woken."""
        return wake(self)

    cdef int pump(self) except -1:
        """Publish what waited for a slot."""
        cdef bytes request_id, payload
        while self.pending and self.free_count and not self.poisoned:
            request_id, payload, extra, waiter, wants_tail, since_ns = self.pending.popleft()
            try:
                self.enter(<const uint8_t*>PyBytes_AS_STRING(request_id), PyBytes_AS_STRING(payload),
                           PyBytes_GET_SIZE(payload), extra, waiter, wants_tail, since_ns)
            except OSError as error:
                self.turn_away(waiter, error)
            self.ring()
        return 0

    cdef int turn_away(self, object waiter, object error) except -1:
        """An accepted invocation will not run: its caller gets this exception."""
        self.outstanding -= 1
        self.meter.outstanding -= 1
        self.quota.give_back()
        try:
            if waiter is not None:
                waiter.set_exception(error)
        except InvalidStateError:   # the caller stopped waiting
            pass
        return 0

    def drain_now(self) -> int:
        """Settle everything that environments have finished. The number settled."""
        return self.drain(SLOTS)

    # --- settling -----------------------------------------------------------------------------------------------------

    cdef int drain(self, int budget) except -1:
        """Settle what environments finished, up to about `budget`. The number settled."""
        cdef int w, env, settled = 0
        cdef uint64_t bits
        for w in range(self.queue.words):
            bits = take_finished(&self.queue, w)
            while bits:
                env = w * 64 + lowest_bit(bits)
                bits &= bits - 1
                if env < len(self.environments) and self.environments[env] is not None:
                    settled += self.drain_environment(<Environment>self.environments[env], budget)
        if self.pending:    # of the free slots some may be the core's own doing: invocations that it ended itself
            self.pump()
        return settled

    cdef int drain_environment(self, Environment env, int budget) except -1:
        cdef int index, settled = 0
        cdef int number = env.index
        if not env.init_seen and load32(&env_at(self.queue.base_ptr, number).init_state) != INIT_RUNNING:
            self.init_ended(env, monotonic_ns())
        if self.flows:
            settled += flow_heard(self, env)
        while settled < budget and env.index == number and is_live(&self.queue, number):
            index = pop_done(&self.queue, number)
            if index == NONE:
                return settled
            if index == ILLEGAL or self.settle(env, index) == 0:
                self.condemn(env)
                return settled
            settled += 1
        if env.index == number and is_live(&self.queue, number):
            or64(&self.queue.head_ptr.finished[number >> 6], <uint64_t>1 << (number & 63))
        return settled

    cdef int settle(self, Environment env, int index) except -1:
        """Take the answer out of a slot that `env` says it finished. 1, or 0 when the slot does not bear that out."""
        cdef slot_t* slot_ptr = slot_at(self.queue.base_ptr, index)
        cdef entry_t* entry_ptr = &self.entries[index]
        cdef uint32_t length = load32(&slot_ptr.out_len), type_length = load32(&slot_ptr.out_type_len)
        cdef uint32_t flags = load32(&slot_ptr.out_flags)
        cdef uint64_t now_ns = monotonic_ns(), claimed_ns, done_ns
        cdef bytes body
        cdef str error_type = ""
        cdef int outcome = SUCCEEDED
        if not entry_ptr.outstanding or load64(&slot_ptr.word) != make_word(DONE, env.index, entry_ptr.generation):
            return 0
        if length > ANSWER_MAX or type_length > TYPE_MAX or (entry_ptr.flows and not flow_is_sound(self, index)):
            return 0
        if flags & OUT_SPILLED:
            body = PyBytes_FromStringAndSize(NULL, length + type_length)
            self.spilled_bytes += length
            if read_all(self.region_fd, PyBytes_AS_STRING(body), length + type_length,
                        SPILL_OFFSET + <uint64_t>index * SPAN):
                return 0
        elif length + type_length > INLINE_MAX:
            return 0
        else:
            body = PyBytes_FromStringAndSize(<char*>slot_ptr.body, length + type_length)
        if flags & OUT_ERROR:
            outcome = FAILED
            error_type = body[length:].decode("ascii", "replace")
            body = body[:length]
        claimed_ns = min(max(load64(&slot_ptr.claimed_ns), entry_ptr.published_ns), now_ns)
        done_ns = min(max(load64(&slot_ptr.done_ns), claimed_ns), now_ns)
        if done_ns - claimed_ns > self.timeout_ns:
            self.on_event(self, env, "overdue", index)
            return 1
        self.learn(env, entry_ptr.published_ns, claimed_ns, done_ns, slot_ptr.cpu_ns)
        self.answer(env, index, body, outcome, error_type, claimed_ns, done_ns, slot_ptr.memory_kb, slot_ptr.log_end)
        return 1

    cdef int learn(self, Environment env, uint64_t published_ns, uint64_t claimed_ns, uint64_t done_ns,
                   uint64_t cpu_ns) except -1:
        """Running estimates for waking, spinning and scaling. `cpu_ns` is sampled: often it repeats the last one."""
        cdef double took = <double>(done_ns - claimed_ns), share
        env.used_ns = done_ns   # one that lost its CPU for a while says little of the next, and counts for less
        self.service_ns = took if self.service_ns == 0 else (
            self.service_ns * 0.9 + min(took, self.service_ns * 8 + 50000) * 0.1)
        self.turnaround_ns = self.turnaround_ns * 0.8 + <double>(done_ns - published_ns) * 0.2
        self.longest_ns = max(took, self.longest_ns * 0.999)
        env.busy_ns += done_ns - claimed_ns
        if cpu_ns > env.cpu_ns and env.busy_ns > 1000000:
            share = min(max(0.01, (cpu_ns - env.cpu_ns) / <double>env.busy_ns), CPUS_MOST)
            self.cpu_share = share if self.cpu_share == 0 else self.cpu_share * 0.5 + share * 0.5
            env.cpu_ns = cpu_ns
            env.busy_ns = 0
        return 0

    cdef int answer(self, Environment env, int index, bytes payload, int outcome, str error_type, uint64_t claimed_ns,
                    uint64_t done_ns, uint32_t memory_kb, uint64_t log_end) except -1:
        """Account for one ended invocation, free its slot, tell whoever waits."""
        cdef entry_t* entry_ptr = &self.entries[index]
        cdef InvokeResult result = InvokeResult.__new__(InvokeResult)
        cdef Meter meter = self.meter
        cdef record_t* record_ptr = meter.ledger.append()
        cdef uint64_t number = meter.ledger.appended - 1, dropped = 0
        cdef object waiter = self.waiters[index]
        cdef bint wants_tail = entry_ptr.wants_tail
        cdef int epoch = self.epoch
        # The book is Python: another thread may run meanwhile, and must find this invocation ended already.
        entry_ptr.outstanding = False
        self.waiters[index] = None
        result.payload = payload
        result.status_code = 200
        result.executed_version = self.version
        result.memory_mb = self.memory_mb
        result.duration_ns = done_ns - claimed_ns
        result.queued_ns = claimed_ns - entry_ptr.published_ns
        result.outcome_code = outcome
        if entry_ptr.flows:
            (<Flow>waiter).close_up(result)     # its slot may be gone as soon as other Python code has run
        result.start_code = WARM
        record_ptr.billed_start_ns = 0
        memcpy(result.raw_id, entry_ptr.request_id, 16)
        env.memory_kb = max(env.memory_kb, peak_kb(env, done_ns, memory_kb))
        if env.served == 0 or env.start_code == PROVISIONED:
            result.start_code = env.start_code
            if env.start_code == COLD or env.start_code == SNAPSHOT:
                result.init_ns = env.init_ns
                record_ptr.billed_start_ns = env.billed_start_ns
        meter.starts[result.start_code] += 1
        env.served += 1
        result.max_memory_mb = min((<uint64_t>env.memory_kb + 1023) >> 10, <uint64_t>self.memory_mb)
        result.billed_ms = max(
            <int64_t>((result.duration_ns + record_ptr.billed_start_ns + 999999) // 1000000), <int64_t>1)
        memcpy(record_ptr.request_id, entry_ptr.request_id, 16)
        record_ptr.published_ns = entry_ptr.published_ns
        record_ptr.claimed_ns = claimed_ns
        record_ptr.done_ns = done_ns
        record_ptr.init_ns = result.init_ns
        record_ptr.billed_ms = result.billed_ms
        record_ptr.memory_mb = self.memory_mb
        record_ptr.max_memory_mb = result.max_memory_mb
        record_ptr.environment = env.serial
        record_ptr.start = result.start_code
        record_ptr.outcome = outcome
        record_ptr.type_index = meter.ledger.type_number(error_type) if outcome != SUCCEEDED else 0
        self.journal.append(result, self.source, done_ns, env.serial)
        meter.invocations += 1
        meter.billed_ms += result.billed_ms
        meter.durations.add(result.duration_ns)
        meter.waits.add(result.queued_ns)
        if outcome != SUCCEEDED:
            result.function_error = "Unhandled"
            meter.errors += 1
            if outcome == TIMED_OUT:
                meter.timeouts += 1
        if log_end > env.log_start:
            self.read_log(env, log_end)
            text = cut_text(env, log_end, &dropped)
            if text or dropped:
                # No Python code has run since the record was appended: nobody has seen it without its text.
                self.book.texts[<object>number] = (text, dropped)
                self.book.kept(len(text))
        if wants_tail:
            result.log_tail = self.book.tail(number)
        if epoch == self.epoch and not entry_ptr.held:
            self.free_slot(index)
        self.outstanding -= 1
        self.meter.outstanding -= 1
        self.quota.give_back()
        if env.company and self.outstanding == 0 and env.index >= 0:
            freeze(self, env)
        if waiter is not None:
            try:
                waiter.set_result(result)
            except InvalidStateError:   # the caller stopped waiting
                pass
        return 0

    cdef void free_slot(self, int index) noexcept:
        store64(&slot_at(self.queue.base_ptr, index).word, make_word(FREE, 0, self.entries[index].generation))
        self.free_slots[self.free_count] = index
        self.free_count += 1
        if self.free_count == SLOTS:
            self.used_top = 0

    cdef int condemn(self, Environment env) except -1:
        """An environment broke the protocol: nothing of it is read again until the supervisor has ended it."""
        if is_live(&self.queue, env.index):
            queue_forget(&self.queue, env.index)
            self.on_event(self, env, "illegal", -1)
        return 0

    cdef int poison(self) except -1:
        """The region itself can no longer be read. The supervisor ends all its environments and rebuilds it."""
        if not self.poisoned:
            self.poisoned = True
            self.on_event(self, None, "poisoned", -1)
        return 0

    cdef int init_ended(self, Environment env, uint64_t now_ns) except -1:
        cdef env_t* record_ptr = env_at(self.queue.base_ptr, env.index)
        cdef uint64_t start_ns, end_ns, log_end = record_ptr.init_log_end, dropped = 0
        env.init_seen = True
        end_ns = min(max(record_ptr.init_end_ns, env.spawned_ns), now_ns)
        start_ns = min(max(record_ptr.init_start_ns, env.spawned_ns), end_ns)
        env.used_ns = now_ns
        if not env.late:
            env.init_ns = max(end_ns - start_ns, <uint64_t>1)
            if env.start_code == SNAPSHOT:  # what comes after the memory is in place
                start_ns = min(max(record_ptr.restored_ns, start_ns), end_ns)
            env.billed_start_ns = end_ns - start_ns
            self.meter.inits.add(env.init_ns)
        if record_ptr.init_state == INIT_OK:
            env.is_ready = True
            self.starting -= 1
            self.ready += 1
            self.read_log(env, log_end)
            text = cut_text(env, log_end, &dropped)
            if text or dropped:
                self.book.keep_init(env.serial, text, dropped)
            self.on_event(self, env, "ready", -1)
        else:
            self.on_event(self, env, "init_failed", -1)
        return 0

    cdef uint64_t read_log(self, Environment env, uint64_t upto) except *:
        """Take what is in an environment's log pipe, up to the absolute byte `upto` or LOG_CHUNK past it."""
        return drain_pipe(env, &env_at(self.queue.base_ptr, env.index).log_read if env.index >= 0 else NULL, upto,
                          self.log_limit)
