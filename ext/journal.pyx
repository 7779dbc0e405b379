"""The journal: every invocation's record in memory until it is on the disk. Files and recovery are in engine/records.

WHO WRITES, WHO READS
  Lanes append under the interpreter lock, in the thread that settles an answer; nothing there can wait or fail. The
  ledger's thread takes whole chunks under the same lock, and works on what it took without it: check sum, write, sync,
  sums. A chunk belongs to the journal until it is taken and to the ledger's thread until it is settled, so no record is
  ever read while it is written.

THE BOUND
  `full` is set when `most` records are not settled, and stands until enough of them are. The scheduler looks at it and
  takes nothing more; what it had accepted before still gets its record, so the true bound is `most` and the account's
  concurrency.
"""

import os

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from engine._ext.crc32c cimport crc32c, crc32c_slowly
from engine._ext.kernel cimport monotonic_ns, wall_ns
from engine._ext.pair_table cimport pair_clear, pair_find, pair_free, pair_row
from engine._ext.result cimport COLD, FAILED, PROVISIONED

cdef extern from * nogil:
    """
    #include <errno.h>
    #include <sys/uio.h>
    #include <unistd.h>
    /* Everything or -errno. Two buffers at one place in a file. */
    static int write_both(int fd, char *head, size_t head_size, char *body, size_t body_size, uint64_t offset) {
        while (head_size + body_size) {
            struct iovec parts[2] = {{head, head_size}, {body, body_size}};
            ssize_t n = pwritev(fd, parts, 2, (off_t)offset);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) return n ? -errno : -EIO;
            size_t of_head = (size_t)n < head_size ? (size_t)n : head_size;
            head += of_head; head_size -= of_head;
            body += (size_t)n - of_head; body_size -= (size_t)n - of_head;
            offset += n;
        }
        return 0;
    }
    static int sync_data(int fd) { return fdatasync(fd) ? -errno : 0; }
    """
    int write_both(int, char*, size_t, char*, size_t, uint64_t)
    int sync_data(int)

cdef enum:
    DAY_S = 86400
    CRC_END = 8             # in a head: the magic word, the check sum, then what it covers

RECORD_BYTES = sizeof(line_t)
CHUNK_RECORDS = CHUNK_LINES


def checksum(object data, *, bint by_table=False) -> int:
    """CRC-32C. `by_table` does without the processor's instruction, as a processor without it would."""
    cdef const uint8_t[::1] view = data
    cdef const void* data_ptr = &view[0] if view.shape[0] else NULL
    return crc32c_slowly(data_ptr, view.shape[0]) if by_table else crc32c(0, data_ptr, view.shape[0])


cdef class Tally:
    """Sums per source and UTC day."""

    def __cinit__(self):
        self.sums.row_bytes = sizeof(sum_t)

    def __dealloc__(self):
        pair_free(&self.sums)

    @property
    def count(self) -> int:
        return self.sums.count

    cdef bint add_lines(self, const line_t* lines_ptr, uint64_t count) noexcept nogil:
        cdef const line_t* line_ptr
        cdef sum_t* row_ptr = NULL
        cdef uint32_t day
        cdef uint64_t i
        for i in range(count):
            line_ptr = &lines_ptr[i]
            day = <uint32_t>(line_ptr.ended_ns // (<uint64_t>DAY_S * 1000000000))
            if row_ptr == NULL or row_ptr.source != line_ptr.source or row_ptr.day != day:
                row_ptr = <sum_t*>pair_find(&self.sums, line_ptr.source, day)
                if row_ptr == NULL:
                    return False
            row_ptr.outcomes[line_ptr.outcome if line_ptr.outcome < OUTCOMES_COUNT else FAILED] += 1
            row_ptr.colds += line_ptr.start == COLD
            row_ptr.billed_ms += line_ptr.billed_ms
            row_ptr.init_ns += line_ptr.init_ns
            if line_ptr.start == PROVISIONED:
                row_ptr.provisioned += 1
                row_ptr.provisioned_ms += line_ptr.billed_ms
        return True

    def add(self, object records) -> None:
        """Count records as they lie on disk. ValueError when they are not whole."""
        cdef const uint8_t[::1] view = records
        cdef uint64_t count = view.shape[0] // sizeof(line_t)
        cdef bint added = True
        if count * sizeof(line_t) != <uint64_t>view.shape[0]:
            raise ValueError(f"{view.shape[0]} bytes are no whole number of records of {sizeof(line_t)}")
        if count:
            with nogil:
                added = self.add_lines(<const line_t*>&view[0], count)
        if not added:
            raise MemoryError()

    def drain(self) -> list:
        """Rows of (source, day since 1970, five counts by outcome, cold starts, billed_ms, init_ns, how many ran on
        provisioned environments, their billed_ms), and begin anew."""
        cdef uint32_t i
        cdef sum_t* r
        rows = []
        for i in range(self.sums.count):
            r = <sum_t*>pair_row(&self.sums, i)
            rows.append((r.source, r.day, (r.outcomes[0], r.outcomes[1], r.outcomes[2], r.outcomes[3], r.outcomes[4]),
                         r.colds, r.billed_ms, r.init_ns, r.provisioned, r.provisioned_ms))
        pair_clear(&self.sums)
        return rows


cdef class Chunk:
    """Up to 16,384 records in the order in which invocations ended."""

    def __cinit__(self):
        self.lines_ptr = <line_t*>malloc(CHUNK_LINES * sizeof(line_t))
        if self.lines_ptr == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.lines_ptr)

    def __bytes__(self) -> bytes:
        return PyBytes_FromStringAndSize(<char*>self.lines_ptr, self.count * sizeof(line_t))

    def unnamed(self, bytearray named not None) -> list:
        """Sources of these records that have no mark in `named` (one byte per source) yet; they get one."""
        cdef char* named_ptr = PyByteArray_AS_STRING(named)
        cdef uint32_t known = PyByteArray_GET_SIZE(named), i, source
        found = []
        for i in range(self.count):
            source = self.lines_ptr[i].source
            if source < known and not named_ptr[source]:
                named_ptr[source] = 1
                found.append(source)
        return found

    def write(self, int fd, uint64_t offset, bytearray head not None) -> int:
        """Write and sync `head`, whose check sum is filled in, and the records. Bytes written. Raises OSError."""
        cdef char* head_ptr = PyByteArray_AS_STRING(head)
        cdef size_t head_bytes = PyByteArray_GET_SIZE(head), body_bytes = self.count * sizeof(line_t)
        cdef uint32_t crc
        cdef int failed
        if head_bytes < CRC_END:
            raise ValueError(f"a head of {head_bytes} bytes has no room for its check sum")
        with nogil:
            crc = crc32c(0, head_ptr + CRC_END, head_bytes - CRC_END)
            crc = crc32c(crc, self.lines_ptr, body_bytes)
            memcpy(head_ptr + 4, &crc, 4)
            failed = write_both(fd, head_ptr, head_bytes, <char*>self.lines_ptr, body_bytes, offset)
            if failed == 0:
                failed = sync_data(fd)
        if failed:
            raise OSError(-failed, os.strerror(-failed))
        return head_bytes + body_bytes

    def count_into(self, Tally tally not None) -> None:
        """Add these records to sums."""
        cdef bint added
        with nogil:
            added = tally.add_lines(self.lines_ptr, self.count)
        if not added:
            raise MemoryError()


cdef class Journal:
    """Takes records, at most `most` that are not settled; `base` is the sequence number of the first."""

    def __init__(self, uint64_t most, uint64_t base=0):
        self.most = most
        self.base = self.settled = base
        self.filled = []
        self.spare = []
        self.where = "the ledger's disk"
        self.trouble = ""
        self.replace()

    cdef int replace(self) except -1:
        """An empty chunk in place of the present one."""
        self.chunk = self.spare.pop() if self.spare else Chunk()
        self.chunk.base = self.base
        self.chunk.count = 0
        self.next_ptr = self.chunk.lines_ptr
        self.end_ptr = self.chunk.lines_ptr + CHUNK_LINES
        self.set_clock()
        return 0

    cpdef void set_clock(self) noexcept:
        """Look at the wall clock anew: it can have been set, or the host asleep."""
        self.wall_offset_ns = wall_ns() - monotonic_ns()

    cdef int hand_over(self) except -1:
        """Put the present chunk among those to be taken, or leave all as it is: MemoryError."""
        cdef Chunk chunk = self.chunk
        cdef uint32_t count = <uint32_t>(self.next_ptr - chunk.lines_ptr)
        self.base += count
        try:
            self.replace()
        except MemoryError:
            self.base -= count
            raise
        chunk.count = count
        self.filled.append(chunk)
        return 0

    cdef line_t* room(self) noexcept:
        """Where one more record goes; NULL when there is no memory, which `lost` counts."""
        if self.next_ptr == self.end_ptr:
            try:
                self.hand_over()
            except MemoryError:
                self.lost += 1
                return NULL
            self.full = self.appended_now() - self.settled >= self.most
        self.next_ptr += 1
        return self.next_ptr - 1

    cdef uint64_t appended_now(self) noexcept:
        return self.base + <uint64_t>(self.next_ptr - self.chunk.lines_ptr)

    cdef void append(self, InvokeResult result, uint32_t source, uint64_t done_ns, uint32_t environment) noexcept:
        """Keep the record of an invocation that ended at `done_ns` of CLOCK_MONOTONIC."""
        cdef line_t* line_ptr = self.next_ptr
        if line_ptr == self.end_ptr:
            line_ptr = self.room()
            if line_ptr == NULL:
                return
        else:
            self.next_ptr += 1
        memcpy(line_ptr.request_id, result.raw_id, 16)
        line_ptr.ended_ns = done_ns + self.wall_offset_ns
        line_ptr.queued_ns = result.queued_ns
        line_ptr.duration_ns = result.duration_ns
        line_ptr.init_ns = result.init_ns
        line_ptr.source = source
        line_ptr.billed_ms = <uint32_t>result.billed_ms
        line_ptr.environment = environment
        line_ptr.max_memory_mb = <uint16_t>result.max_memory_mb
        line_ptr.start = result.start_code
        line_ptr.outcome = result.outcome_code

    def record(self, bytes record not None) -> None:
        """Append a record that is given as it lies on disk: 64 bytes."""
        cdef line_t* line_ptr
        if len(record) != sizeof(line_t):
            raise ValueError(f"a record has {sizeof(line_t)} bytes, not {len(record)}")
        line_ptr = self.room()
        if line_ptr == NULL:
            raise MemoryError()
        memcpy(line_ptr, PyBytes_AS_STRING(record), sizeof(line_t))

    def rehearse(self, InvokeResult result not None, int times) -> None:
        """Append one result many times over, as a lane does: for benchmarks."""
        cdef uint64_t now_ns = monotonic_ns()
        cdef int _i
        for _i in range(times):
            self.append(result, 0, now_ns, 1)

    def take(self) -> list:
        """Every chunk that holds something, oldest first. Each is to be settled, in that order."""
        if self.next_ptr != self.chunk.lines_ptr:
            self.hand_over()
        taken, self.filled = self.filled, []
        return taken

    def settle(self, Chunk chunk not None) -> None:
        """A chunk's records are durable and counted: its memory is free for new ones."""
        self.settled = chunk.base + chunk.count
        self.full = self.appended_now() - self.settled >= self.most
        if len(self.spare) < SPARE_MOST:
            self.spare.append(chunk)

    def refusal(self) -> str:
        """Why nothing is accepted now, in a sentence, and the way out."""
        waiting = (self.appended_now() - self.settled) * sizeof(line_t) / 1048576
        cause = self.trouble or f"{self.where} takes records more slowly than they come"
        return f"the ledger is full, {waiting:.0f} MB of records wait: {cause}; serving resumes when it can be written"

    @property
    def appended(self) -> int:
        """The sequence number that the next record gets."""
        return self.appended_now()
