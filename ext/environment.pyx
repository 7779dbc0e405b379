"""The core's record of one worker process, and what that process prints, cut at the boundaries of its invocations.

Positions are absolute: bytes ever written to the pipe. At the end of an invocation the environment works out that
position as "bytes the core has taken + bytes still in the pipe" and puts it into the slot, so that each byte belongs to
exactly one invocation however late the core reads it. The core brackets each read with an odd value in `log_read`; the
environment looks before and after it asks the kernel, and asks again when a read came between.

Text over the limit is read and dropped, so that a flood costs its function time and the host no memory. What is held
lies in the order of its bytes: a gap (`log_skipped`), text, a gap (`log_dropped`). While the second gap is open nothing
is kept; the cut that uses the text up makes it the first, so a flood never moves bytes between invocations.
"""

from libc.errno cimport EINTR, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from engine._ext.kernel cimport monotonic_ns, ring_bell
from engine._ext.layout cimport fence, store64
from engine._ext.result cimport InvokeResult

cdef extern from "unistd.h" nogil:
    ssize_t read(int, void*, size_t)
    ssize_t pread(int, void*, size_t, int64_t)
    ssize_t pwrite(int, const void*, size_t, int64_t)

cdef enum:
    LOG_CHUNK = 65536
    PIPE_MOST = 1 << 20     # what a pipe can hold at most
    PEAK_NS = 1000000       # how often a cell's peak is read, at most: 2 µs each

cdef char chunk[LOG_CHUNK]


cdef class Waiter:
    """A blocked thread's place to be told its answer."""

    def __cinit__(self):
        self.bell_fd = -1

    def park(self) -> object:
        """A held lock that is released when the answer is here or the thread must look itself."""
        if self.lock is None:
            from _thread import allocate_lock
            self.lock = allocate_lock()
            self.lock.acquire()
        return self.lock

    def nudge(self) -> None:
        if self.lock is not None and self.lock.locked():
            self.lock.release()
        if self.bell_fd >= 0:
            ring_bell(self.bell_fd)

    def news(self) -> None:
        """What the thread waits for is there."""
        self.told = True
        self.nudge()

    def set_result(self, InvokeResult result) -> None:
        self.result = result
        if self.forward is not None:
            self.forward.set_result(result)
        self.news()

    def set_exception(self, object error) -> None:
        self.error = error
        if self.forward is not None:
            self.forward.set_exception(error)
        self.news()


cdef class Environment:
    """The core's private record of one worker process."""

    def __init__(self, int index, int serial, str stream):
        self.index = index
        self.serial = serial
        self.stream = stream
        self.pid = self.log_fd = self.bell_fd = self.freezer_fd = self.tasks_fd = self.peak_fd = -1
        self.spawned_ns = self.used_ns = monotonic_ns()
        self.log_text = bytearray()

    def watch(self, object gauges, uint32_t base_kb) -> None:
        """See `sandbox.contract.Gauges`; base_kb: memory that it shares with the zygote. Until the cell is released."""
        self.freezer_fd, self.tasks_fd, self.peak_fd, self.freeze_word, self.thaw_word = gauges
        self.base_kb = base_kb

    def unwatch(self) -> None:
        """Its cell is about to go."""
        self.freezer_fd = self.tasks_fd = self.peak_fd = -1

    def __repr__(self) -> str:
        return f"<Environment {self.index} serial {self.serial} pid {self.pid} {self.state}>"


cdef uint64_t drain_pipe(Environment env, uint64_t* counter_ptr, uint64_t upto, uint64_t limit) except *:
    """Read until `upto` bytes in all are taken or the pipe is empty; the number of bytes read.

    Never more than a pipe holds: `upto` may be an environment's word, and its children may write on and on.
    """
    cdef ssize_t got
    cdef uint64_t room, wanted, before = env.log_taken
    upto = min(upto, before + PIPE_MOST)
    while env.log_taken < upto and env.log_fd >= 0:
        if counter_ptr != NULL:
            store64(counter_ptr, env.log_taken * 2 + 1)
            fence()     # the mark is seen before anything is taken
        room = limit - len(env.log_text) if <uint64_t>len(env.log_text) < limit and env.log_dropped == 0 else 0
        wanted = LOG_CHUNK if room >= LOG_CHUNK else min(upto - env.log_taken, <uint64_t>LOG_CHUNK)
        got = read(env.log_fd, chunk, wanted)
        if got > 0:
            env.log_taken += got
        if counter_ptr != NULL:
            store64(counter_ptr, env.log_taken * 2)
        if got < 0 and errno == EINTR:
            continue
        if got <= 0:
            break
        if <uint64_t>got <= room:
            env.log_text += chunk[:got]
        else:
            env.log_text += chunk[:room]
            env.log_dropped += got - room
    return env.log_taken - before


cdef bytes cut_text(Environment env, uint64_t upto, uint64_t* dropped_ptr):
    """The text that was written before the absolute byte `upto` and belongs to nobody yet."""
    cdef uint64_t wanted, skipped, lost
    cdef bytes text
    upto = min(upto, env.log_taken)
    wanted = upto - env.log_start if upto > env.log_start else 0
    env.log_start = max(upto, env.log_start)
    skipped = min(wanted, env.log_skipped)
    wanted -= skipped
    text = bytes(env.log_text[:wanted])
    del env.log_text[:wanted]
    lost = min(wanted - len(text), env.log_dropped)
    env.log_skipped -= skipped
    env.log_dropped -= lost
    if not env.log_text:
        env.log_skipped += env.log_dropped
        env.log_dropped = 0
    dropped_ptr[0] = skipped + lost
    return text


cdef int64_t read_number(int fd) noexcept nogil:
    """The decimal number that a control file holds; -1 when it cannot be read."""
    cdef char text[32]
    cdef ssize_t got = pread(fd, text, sizeof(text), 0), i
    cdef int64_t number = 0
    if got <= 0:
        return -1
    for i in range(got):
        if not c'0' <= text[i] <= c'9':
            break
        number = number * 10 + (text[i] - c'0')
    return number


cdef bint write_word(int fd, bytes word) noexcept:
    """Write a control file. Whether the kernel took it."""
    return fd >= 0 and pwrite(fd, PyBytes_AS_STRING(word), PyBytes_GET_SIZE(word), 0) == PyBytes_GET_SIZE(word)


cdef uint32_t peak_kb(Environment env, uint64_t now_ns, uint32_t told_kb) noexcept:
    """The most memory that all processes of an environment held at once, and what they share with the zygote.

    By its own word (`told_kb`) only where the kernel does not count.
    """
    cdef int64_t peak
    if env.peak_fd < 0:
        return told_kb
    if now_ns - env.peak_read_ns < PEAK_NS:
        return env.memory_kb
    env.peak_read_ns = now_ns
    peak = read_number(env.peak_fd)
    return told_kb if peak < 0 else <uint32_t>((peak >> 10) + env.base_kb)
