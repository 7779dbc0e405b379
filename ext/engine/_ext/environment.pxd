# The core's private record of one worker process, and a thread's place to wait.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from engine._ext.result cimport InvokeResult

cdef class Waiter:
    cdef readonly InvokeResult result
    cdef readonly object error
    cdef readonly bint told     # what it waits for is there
    cdef object lock            # made only when the thread parks
    cdef public object forward  # a future that takes the answer instead
    cdef int bell_fd            # to be rung with the answer while the thread sleeps in epoll, else -1; no function's


cdef class Environment:
    cdef public int index       # in its region; -1 once it is out of it
    cdef readonly int serial
    cdef readonly str stream
    cdef public object state, cell
    cdef public int pid, log_fd
    cdef public int bell_fd         # the eventfd that wakes it, where it waits for more than its work; else -1
    cdef int freezer_fd, tasks_fd, peak_fd      # its cell's: see Gauges in sandbox/contract.py
    cdef bytes freeze_word, thaw_word
    cdef uint64_t billed_start_ns   # of the start, what its first invocation is billed for
    cdef bint retiring          # told to end: never to be frozen again, or it could not
    cdef readonly bint withdrawn    # ready, and takes nothing more: its lane counts without it
    cdef uint64_t called_ns, last_called_ns     # while idle, for what waits: first and last
    cdef bint company           # other threads or processes were in there when it was last idle
    cdef uint64_t counted       # invocations served when they were last counted
    cdef uint64_t peak_read_ns
    cdef uint32_t base_kb       # memory that it shares with the zygote, which no cell is charged for
    cdef public uint8_t start_code
    cdef public bint late       # runs its init inside its first invocation, after an init that failed
    cdef public uint64_t served, spawned_ns, init_ns, used_ns
    cdef public bint init_seen, is_ready
    cdef public uint32_t memory_kb
    cdef uint64_t log_taken, log_start, log_skipped, log_dropped, cpu_ns, busy_ns
    cdef bytearray log_text

cdef uint64_t drain_pipe(Environment env, uint64_t* counter_ptr, uint64_t upto, uint64_t limit) except *
cdef int64_t read_number(int fd) noexcept nogil
cdef bint write_word(int fd, bytes word) noexcept
cdef uint32_t peak_kb(Environment env, uint64_t now_ns, uint32_t told_kb) noexcept
cdef bytes cut_text(Environment env, uint64_t upto, uint64_t* dropped_ptr)
