# The core's private record of one worker process, and a thread's place to wait.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from engine._ext.result cimport InvokeResult

cdef class Waiter:
    cdef readonly InvokeResult result
    cdef readonly object error
    cdef object lock            # made only when the thread parks
    cdef public object forward  # a future that takes the answer instead
    cdef int bell_fd            # to be rung with the answer while the thread sleeps in epoll, else -1


cdef class Environment:
    cdef public int index       # in its region; -1 once it is out of it
    cdef readonly int serial
    cdef readonly str stream
    cdef public object state, cell
    cdef public int pid, pidfd, log_fd
    cdef public uint8_t start_code
    cdef public bint late       # runs its init inside its first invocation, after an init that failed
    cdef public uint64_t served, spawned_ns, init_ns, used_ns
    cdef public bint init_seen, is_ready
    cdef public uint32_t memory_kb
    cdef uint64_t log_taken, log_start, log_skipped, log_dropped, cpu_ns, busy_ns
    cdef bytearray log_text

cdef uint64_t drain_pipe(Environment env, uint64_t* counter_ptr, uint64_t upto, uint64_t limit) except *
cdef bytes cut_text(Environment env, uint64_t upto, uint64_t* dropped_ptr)
