"""An environment's end of its region for a runtime in another process: nothing here waits, and bytes pass through.

Whoever has a `Relay` waits for several things at once, its work among them: `doze` says that it is about to, and the
core then rings its eventfd. What is claimed is handed on as `event`, and ended with `answer` or `refuse`, as the
runtime says.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from engine._ext.flow_ring cimport ring_write
from engine._ext.kernel cimport monotonic_ns, wall_ns
from engine._ext.layout cimport *
from engine._ext.place cimport *
from engine._ext.port cimport Port
from engine._ext.queue cimport env_at, flag_finished, may_spin, spin_for_work, work_waits

from engine._ext.port import TOO_LARGE, TOO_LARGE_TYPE

cdef extern from * nogil:
    """
    #include <inttypes.h>
    #include <sched.h>
    #include <stdio.h>
    #include <string.h>
    #include <sys/types.h>
    #include <time.h>
    /* The CPU clock of another process, as clock_getcpuclockid(3) makes it; 0 where that is gone. */
    static uint64_t cpu_ns_of(pid_t pid) {
        struct timespec t;
        clockid_t clock = (clockid_t)((~(unsigned)pid << 3) | 2);
        return clock_gettime(clock, &t) ? 0 : (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    }
    /* What its first thread waited for a CPU, as awaited_cpu_ns() of kernel.h; 0 where that cannot be read. */
    static uint64_t awaited_ns_of(pid_t pid) {
        char path[48];
        uint64_t waited = 0;
        FILE *counts;
        snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
        counts = fopen(path, "re");
        if (counts && fscanf(counts, "%*u %" SCNu64, &waited) != 1) waited = 0;
        if (counts) fclose(counts);
        return waited;
    }
    /* The CPU on which another process's first thread last ran, or -1. */
    static int cpu_of(pid_t pid) {
        char path[48], text[1024], *field;
        int fd, at, cpu = -1;
        ssize_t got;
        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
        if (fd >= 0) close(fd);
        text[got > 0 ? got : 0] = 0;
        field = strrchr(text, ')');     /* the end of its name, the second of 52 fields */
        for (at = 2; field && at < 39; at++) field = strchr(field + 1, ' ');
        return field && sscanf(field, " %d", &cpu) == 1 ? cpu : -1;
    }
    /* Go over to that CPU, and stay free to leave it. */
    static void move_to(int cpu) {
        cpu_set_t all, one;
        if (cpu < 0 || cpu == sched_getcpu() || sched_getaffinity(0, sizeof all, &all)) return;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (sched_setaffinity(0, sizeof one, &one) == 0) sched_setaffinity(0, sizeof all, &all);
    }
    /* The most memory that another process held, in kB; 0 where that cannot be read. */
    static uint32_t peak_kb_of(pid_t pid) {
        char line[256];
        unsigned long kb = 0;
        FILE *status;
        snprintf(line, sizeof line, "/proc/%d/status", (int)pid);
        status = fopen(line, "re");
        while (status && !kb && fgets(line, sizeof line, status)) sscanf(line, "VmHWM: %lu", &kb);
        if (status) fclose(status);
        return (uint32_t)kb;
    }
    """
    uint64_t cpu_ns_of(int)
    uint64_t awaited_ns_of(int)
    uint32_t peak_kb_of(int)
    int cpu_of(int)
    void move_to(int)

cdef enum:
    PEAK_NS = 100000000     # how often the runtime's peak memory is read, at most: 20 µs each
    CPU_NS = 5000000        # and what CPU time it had and wanted: 40 µs each
    MEET_EVERY = 64         # invocations in a row

RETIRED_IDLE, RETIRED_TIMED_OUT, RETIRED_NOW = RETIRE_IDLE, RETIRE_TIMED_OUT, RETIRE_NOW
ANSWER_MAX_BYTES = ANSWER_MAX


cdef class Relay(Port):
    """A `Port` whose handler is elsewhere. `runtime_pid`: whose CPU time counts with this process's, or 0."""
    cdef public int runtime_pid
    cdef uint64_t peak_read_ns
    cdef uint32_t own_kb, runtime_kb, at_once

    def is_retired(self) -> bool:
        """Whether this environment is to end."""
        return load32(&env_at(self.place.base, self.place.index).retire) != 0

    def retire_word(self) -> int:
        """How this environment is to end: RETIRED_IDLE and its like; 0 where it is not to."""
        return load32(&env_at(self.place.base, self.place.index).retire)

    def want_farewell(self, bint begun=False) -> None:
        """Tell the core that this environment takes time to end; begun: and that it is about to, by itself."""
        store32(&env_at(self.place.base, self.place.index).farewell, FAREWELL_BEGUN if begun else FAREWELL_WANTED)

    def take(self, bint waits=True) -> int:
        """1: an invocation is claimed. 0: there is none. -1: this environment is to end.

        Where it may wait, it spins while calls follow each other and no other environment sleeps, which would be called
        in its place: it would then spin on the CPU that the other's runtime needs.

        Where it may not, for the runtime asks while others work, it goes to the runtime's CPU now and then. Apart, the
        two wake each other across CPUs four times for each invocation, and the kernel leaves them so.
        """
        cdef char* base_ptr = self.place.base
        cdef int taken = place_take(&self.place)
        if (waits and taken == NOTHING_YET and self.place.gap_ns < HOT_GAP_NS and not others_sleep(base_ptr)
                and may_spin(base_ptr)):
            with nogil:
                spin_for_work(base_ptr, self.place.index)
            taken = place_take(&self.place)
        if not waits and taken == TAKEN:
            self.at_once += 1
            if self.at_once % MEET_EVERY == 0 and self.runtime_pid > 0:
                with nogil:
                    move_to(cpu_of(self.runtime_pid))
        return taken

    def doze(self) -> bool:
        """Whether it may wait for the eventfd now; else there is work already. `wake` comes after."""
        cdef char* base_ptr = self.place.base
        or64(&(<region_t*>base_ptr).sleeping[self.place.index >> 6], <uint64_t>1 << (self.place.index & 63))
        fence()
        return not work_waits(base_ptr, self.place.index)

    def wake(self) -> None:
        """It waits no more."""
        and64(&(<region_t*>self.place.base).sleeping[self.place.index >> 6], ~(<uint64_t>1 << (self.place.index & 63)))

    def event(self) -> bytes:
        """Stamp the claimed invocation, and give its event. What came beside it is `extras`' to keep. OSError."""
        return self.start(place_slot(&self.place))

    def is_streamed(self) -> bool:
        """Whether whoever called reads the answer as it comes."""
        return place_slot(&self.place).in_flags & IN_STREAMED != 0

    def deadline_ms(self) -> int:
        """When the claimed invocation times out, in ms since 1970."""
        return (wall_ns() + self.context.deadline_ns - monotonic_ns()) // 1000000

    def remaining_ms(self) -> int:
        """Until then."""
        return self.context.get_remaining_time_in_millis()

    def answer(self, bytes body not None) -> None:
        """End the claimed invocation with what the handler returned, or with Lambda's error where that is too large."""
        if PyBytes_GET_SIZE(body) > ANSWER_MAX:
            self.put(TOO_LARGE, TOO_LARGE_TYPE, True)
        else:
            self.put(body, "", False)

    def send_some(self, bytes chunk not None, Py_ssize_t offset) -> int:
        """Hand on bytes from `offset` on, as many as there is room for; how many. See `begin_stream`. OSError.

        Where some are left, the eventfd is rung once there is room.
        """
        cdef Py_ssize_t left = PyBytes_GET_SIZE(chunk) - offset
        cdef slot_t* slot_ptr = place_slot(&self.place)
        cdef int64_t written = 0, more
        cdef uint32_t wanted
        slot_ptr.flow_wanted = 0
        while written < left:
            more = ring_write(self.place.region_fd, self.place.base, self.place.slot,
                              PyBytes_AS_STRING(chunk) + offset + written, left - written)
            if more < 0:
                raise OSError("the answer cannot be written to shared memory")
            written += more
            if more:
                flag_finished(self.place.base, self.place.index, self.place.event_fd)
                continue
            wanted = <uint32_t>min(left - written, <Py_ssize_t>FLOW_RING // 2)
            store32(&slot_ptr.flow_wanted, wanted)
            fence()     # the wish is seen before the room is looked at once more
            if (slot_ptr.flow_given + wanted > load64(&slot_ptr.flow_taken) + FLOW_RING
                    and not load32(&slot_ptr.flow_dropped)):
                break
            store32(&slot_ptr.flow_wanted, 0)
        return written

    cdef int sample(self) noexcept:
        """What the core takes only where the kernel does not count: see environment.pyx."""
        self.place.memory_kb = self.own_kb
        sample_memory(&self.place)
        self.own_kb = self.place.memory_kb
        if is_due(&self.place, &self.place.cpu_sampled_ns, CPU_NS):
            self.place.cpu_ns = self.cpu_used() - self.place.init_cpu_ns
        if self.runtime_pid > 0 and is_due(&self.place, &self.peak_read_ns, PEAK_NS):
            self.runtime_kb = max(self.runtime_kb, peak_kb_of(self.runtime_pid))
        self.place.memory_kb += self.runtime_kb
        return 0

    def cpu_since_init_ns(self) -> int:
        """CPU time that this process and the runtime had or wanted since then."""
        return self.cpu_used() - self.place.init_cpu_ns

    cdef uint64_t cpu_used(self) noexcept:
        cdef uint64_t own = Port.cpu_used(self)
        if self.runtime_pid <= 0:
            return own
        return own + cpu_ns_of(self.runtime_pid) + awaited_ns_of(self.runtime_pid)


cdef bint others_sleep(char* base_ptr) noexcept:
    """Whether an environment waits for a bell; whoever asks does not."""
    cdef int w
    for w in range(ENV_WORDS):
        if load64(&(<region_t*>base_ptr).sleeping[w]):
            return True
    return False
