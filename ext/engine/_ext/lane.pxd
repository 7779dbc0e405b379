# One function version as the core sees it: its region, the private table of what is outstanding, its environments.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from engine._ext.layout cimport ENV_WORDS, ENVS, SLOTS
from engine._ext.environment cimport Environment
from engine._ext.journal cimport Journal
from engine._ext.linux cimport Mapping
from engine._ext.meter cimport Meter, Quota
from engine._ext.queue cimport queue_t
from engine._ext.result cimport InvokeResult

cdef struct entry_t:
    uint64_t generation
    uint64_t published_ns       # when the invocation was accepted
    uint64_t claimed_ns         # 0 until a sweep saw the claim
    uint8_t request_id[16]
    int owner                   # the environment that a sweep saw holding it, or -1
    bint outstanding            # somebody waits for the answer
    bint held                   # answered by the core while its owner still lives: not to be used again yet
    bint wants_tail
    bint flows                  # the answer is streamed: its waiter is a Flow
    uint64_t done_seen_ns       # 0 until a sweep saw an answer that was not announced


cdef class Lane:
    cdef readonly object configuration
    cdef readonly str name, version
    cdef public Quota quota
    cdef public object book             # keeps log text: keep(record number, text, dropped bytes), tail(...)
    cdef public object on_event         # called with (lane, environment or None, event name)
    cdef readonly Meter meter
    cdef readonly Journal journal
    cdef readonly uint32_t source       # what stands for this version in the journal
    cdef readonly list environments     # by index; None where there is none
    cdef readonly int ready, starting   # environments that finished init; that have not
    cdef readonly int outstanding       # accepted and not answered, those that wait for a slot included
    cdef public int events, backlog     # of what is outstanding, events; events that are not put in for want of room
    cdef readonly bint poisoned
    cdef public bint demanded, active, closed
    cdef public double service_ns, turnaround_ns, longest_ns, cpu_share, cold_ns
    cdef readonly object pending        # deque of what waits for a slot
    cdef readonly int region_fd, event_fd
    cdef int memory_mb
    cdef int epoch                      # how many regions this lane has had
    cdef uint64_t timeout_ns, log_limit
    cdef uint32_t spin_ns, spin_limit
    cdef readonly Mapping mapping
    cdef public list old_mappings       # of regions let go, while a thread may still look at one
    cdef queue_t queue
    cdef bint flows                     # some answer was streamed: environments may ring in the middle of one
    cdef entry_t entries[SLOTS]
    cdef list waiters
    cdef uint16_t free_slots[SLOTS]
    cdef int free_count, used_top
    cdef uint64_t spilled_bytes
    cdef uint64_t frozen[ENV_WORDS]     # environments that are stopped: see waking.pxd
    cdef int frozen_count

    cdef int spill(self, int index, const char* payload_ptr, Py_ssize_t length, bytes extra) except -1
    cdef int enter(self, const uint8_t* request_id, const char* payload_ptr, Py_ssize_t length, bytes extra,
                   object waiter, bint wants_tail, uint64_t since_ns) except -1
    cdef bint ring(self) noexcept
    cdef int drain(self, int budget) except -1
    cdef int drain_environment(self, Environment env, int budget) except -1
    cdef int settle(self, Environment env, int index) except -1
    cdef int answer(self, Environment env, int index, bytes payload, int outcome, str error_type, uint64_t claimed_ns,
                    uint64_t done_ns, uint32_t memory_kb, uint64_t log_end) except -1
    cdef int learn(self, Environment env, uint64_t published_ns, uint64_t claimed_ns, uint64_t done_ns,
                   uint64_t cpu_ns) except -1
    cdef void free_slot(self, int index) noexcept
    cdef int pump(self) except -1
    cdef int turn_away(self, object waiter, object error) except -1
    cdef int condemn(self, Environment env) except -1
    cdef int poison(self) except -1
    cdef int init_ended(self, Environment env, uint64_t now_ns) except -1
    cdef uint64_t read_log(self, Environment env, uint64_t upto) except *
