"""Invocations by configuration and minute, with their durations; and durations as they are kept, in few bytes.

Who writes and who reads: one `Minutes` belongs to one thread, the ledger's, which counts chunks into it without the
interpreter lock and drains it. What a drain gives is immutable.

PACKED BUCKETS. Of a histogram only what is not empty is kept: pairs of a bucket's number and its count, 4 bytes each,
by number. Buckets are those of `meter`, 6.25 % wide at most.
"""

from libc.math cimport ceil
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from engine._ext.journal cimport Chunk, line_t
from engine._ext.meter cimport BUCKETS, Histogram, bucket_of, bucket_top
from engine._ext.pair_table cimport pair_clear, pair_find, pair_free, pair_row
from engine._ext.result cimport PROVISIONED, SUCCEEDED

cdef enum:
    MINUTE_NS = 60000000000

cdef struct pair_t:
    uint32_t bucket, count


cdef bytes packed(const uint32_t* counts_ptr):
    cdef pair_t pairs[BUCKETS]
    cdef uint32_t bucket, found = 0
    for bucket in range(BUCKETS):
        if counts_ptr[bucket]:
            pairs[found].bucket = bucket
            pairs[found].count = counts_ptr[bucket]
            found += 1
    return PyBytes_FromStringAndSize(<char*>pairs, found * sizeof(pair_t))


def taken(Histogram histogram not None) -> tuple:
    """(count, sum, least, most, packed buckets) of a histogram, which is empty then."""
    if histogram.counts == NULL:
        return 0, 0, 0, 0, b""
    told = (histogram.count, <uint64_t>histogram.total_ns, histogram.min_ns, histogram.max_ns,
            packed(histogram.counts))
    memset(histogram.counts, 0, BUCKETS * sizeof(uint32_t))
    histogram.count = histogram.max_ns = 0
    histogram.min_ns = <uint64_t>-1
    histogram.total_ns = 0
    return told


def merged(bytes first not None, bytes second not None) -> bytes:
    """Two packed histograms in one. A count stays at 2**32 - 1."""
    cdef const pair_t* one_ptr = <const pair_t*>PyBytes_AS_STRING(first)
    cdef const pair_t* two_ptr = <const pair_t*>PyBytes_AS_STRING(second)
    cdef Py_ssize_t ones = PyBytes_GET_SIZE(first) // sizeof(pair_t), twos = PyBytes_GET_SIZE(second) // sizeof(pair_t)
    cdef Py_ssize_t i = 0, j = 0
    cdef uint32_t found = 0, most = <uint32_t>-1
    cdef pair_t pairs[2 * BUCKETS]
    if ones > BUCKETS or twos > BUCKETS:
        raise ValueError(f"a histogram has at most {BUCKETS} buckets")
    while i < ones or j < twos:
        if j >= twos or (i < ones and one_ptr[i].bucket < two_ptr[j].bucket):
            pairs[found] = one_ptr[i]
            i += 1
        elif i >= ones or two_ptr[j].bucket < one_ptr[i].bucket:
            pairs[found] = two_ptr[j]
            j += 1
        else:
            pairs[found] = one_ptr[i]
            pairs[found].count += min(two_ptr[j].count, most - one_ptr[i].count)
            i += 1
            j += 1
        found += 1
    return PyBytes_FromStringAndSize(<char*>pairs, found * sizeof(pair_t))


def percentile_ns(bytes buckets not None, double percent) -> int:
    """The end of the bucket in which `percent` (0 to 100) of a packed histogram is reached; 0 of none."""
    cdef const pair_t* pairs_ptr = <const pair_t*>PyBytes_AS_STRING(buckets)
    cdef Py_ssize_t pairs = PyBytes_GET_SIZE(buckets) // sizeof(pair_t), i
    cdef uint64_t total = 0, seen = 0, wanted
    if not 0 <= percent <= 100:
        raise ValueError(f"a percentile lies between 0 and 100, not at {percent}")
    for i in range(pairs):
        total += pairs_ptr[i].count
    wanted = max(<uint64_t>1, <uint64_t>ceil(total * percent / 100))
    for i in range(pairs):
        seen += pairs_ptr[i].count
        if seen >= wanted:
            return bucket_top(pairs_ptr[i].bucket)
    return 0


cdef class Minutes:
    """Counts by source and minute."""

    def __cinit__(self):
        self.rows.row_bytes = sizeof(minute_t)

    def __dealloc__(self):
        self.empty()
        pair_free(&self.rows)

    @property
    def count(self) -> int:
        return self.rows.count

    cdef void empty(self) noexcept:
        cdef uint32_t i
        for i in range(self.rows.count):
            free((<minute_t*>pair_row(&self.rows, i)).counts_ptr)
        pair_clear(&self.rows)

    cdef minute_t* row(self, uint32_t source, uint32_t minute) noexcept nogil:
        """NULL when there is no memory."""
        cdef minute_t* row_ptr = <minute_t*>pair_find(&self.rows, source, minute)
        if row_ptr != NULL and row_ptr.counts_ptr == NULL:
            row_ptr.least_ns = <uint64_t>-1
            row_ptr.counts_ptr = <uint32_t*>calloc(BUCKETS, sizeof(uint32_t))
            if row_ptr.counts_ptr == NULL:
                return NULL
        return row_ptr

    cdef bint add_lines(self, const line_t* lines_ptr, uint64_t count) noexcept nogil:
        cdef const line_t* line_ptr
        cdef minute_t* row_ptr = NULL
        cdef uint32_t minute
        cdef uint64_t i
        for i in range(count):
            line_ptr = &lines_ptr[i]
            minute = <uint32_t>(line_ptr.ended_ns // <uint64_t>MINUTE_NS)
            if row_ptr == NULL or row_ptr.source != line_ptr.source or row_ptr.minute != minute:
                row_ptr = self.row(line_ptr.source, minute)
                if row_ptr == NULL:
                    return False
            row_ptr.invocations += 1
            row_ptr.errors += line_ptr.outcome != SUCCEEDED
            row_ptr.provisioned += line_ptr.start == PROVISIONED
            row_ptr.total_ns += line_ptr.duration_ns
            row_ptr.least_ns = min(row_ptr.least_ns, line_ptr.duration_ns)
            row_ptr.most_ns = max(row_ptr.most_ns, line_ptr.duration_ns)
            row_ptr.counts_ptr[bucket_of(line_ptr.duration_ns)] += 1
        return True

    def add_chunk(self, Chunk chunk not None) -> None:
        """Count a chunk's records by the minute in which they ended."""
        cdef bint added
        with nogil:
            added = self.add_lines(chunk.lines_ptr, chunk.count)
        if not added:
            raise MemoryError()

    def add(self, object records) -> None:
        """Count records as they lie on disk. ValueError when they are not whole."""
        cdef const unsigned char[::1] view = records
        cdef uint64_t count = view.shape[0] // sizeof(line_t)
        if count * sizeof(line_t) != <uint64_t>view.shape[0]:
            raise ValueError(f"{view.shape[0]} bytes are no whole number of records of {sizeof(line_t)}")
        if count and not self.add_lines(<const line_t*>&view[0], count):
            raise MemoryError()

    def drain(self) -> list:
        """Rows of (source, minute since 1970, invocations, errors, how many ran on provisioned environments, durations
        as `taken` tells them), and begin anew."""
        cdef uint32_t i
        cdef minute_t* r
        rows = []
        for i in range(self.rows.count):
            r = <minute_t*>pair_row(&self.rows, i)
            if r.counts_ptr == NULL:    # there was no memory for it, and nothing was counted
                continue
            durations = r.invocations, r.total_ns, r.least_ns, r.most_ns, packed(r.counts_ptr)
            rows.append((r.source, r.minute, r.invocations, r.errors, r.provisioned, durations))
        self.empty()
        return rows
