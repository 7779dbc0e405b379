"""Records and histograms kept in memory per function version. Durable storage and prices are elsewhere."""

from libc.math cimport ceil
from libc.stdlib cimport calloc, free, realloc
from cpython.bytes cimport PyBytes_FromStringAndSize
from engine._ext.result cimport COLD, PROVISIONED, SNAPSHOT, WARM


cdef class Histogram:
    """Counts of nanosecond values in log-linear buckets, 6.25 % wide at most; memory is taken with the first value."""

    def __dealloc__(self):
        free(self.counts)

    cdef void add(self, uint64_t value_ns) noexcept:
        if self.counts == NULL:
            self.counts = <uint32_t*>calloc(BUCKETS, sizeof(uint32_t))
            if self.counts == NULL:
                return
            self.min_ns = <uint64_t>-1
        self.counts[bucket_of(value_ns)] += 1
        self.count += 1
        self.total_ns += <double>value_ns
        if value_ns > self.max_ns:
            self.max_ns = value_ns
        if value_ns < self.min_ns:
            self.min_ns = value_ns

    def record(self, uint64_t value_ns) -> None:
        """Add one value in nanoseconds."""
        self.add(value_ns)

    def percentile_ns(self, double percent) -> int:
        """The value below or at which `percent` (0 to 100) of all lie, rounded up to its bucket's end; 0 when empty."""
        cdef uint64_t wanted, seen = 0
        cdef int bucket
        if not 0 <= percent <= 100:
            raise ValueError(f"a percentile lies between 0 and 100, not at {percent}")
        if self.count == 0:
            return 0
        wanted = max(1, <uint64_t>ceil(self.count * percent / 100))
        for bucket in range(BUCKETS):
            seen += self.counts[bucket]
            if seen >= wanted:
                return min(bucket_top(bucket), self.max_ns)
        return self.max_ns

    def counts_upto(self, list bounds_ns not None) -> list:
        """How many of all are at most each of these, which ascend; a bucket that a bound lies in counts to the next."""
        cdef uint64_t seen = 0, bound_ns
        cdef int bucket = 0
        told = []
        for bound_ns in bounds_ns:
            while self.counts != NULL and bucket < BUCKETS and bucket_top(bucket) <= bound_ns:
                seen += self.counts[bucket]
                bucket += 1
            told.append(seen)
        return told

    @property
    def mean_ns(self) -> float:
        return self.total_ns / self.count if self.count else 0.0


cdef class Ledger:
    """The newest `most` invocation records; older ones are overwritten. Grows by doubling."""

    def __cinit__(self, uint64_t most):
        self.most = most
        self.types = [""]
        self.type_numbers = {"": 0}

    def __dealloc__(self):
        free(self.ring_ptr)

    cdef record_t* append(self) except NULL:
        """Room for one more record; the caller fills it."""
        cdef uint64_t grown
        cdef void* ring_ptr
        if self.appended >= self.capacity and self.capacity < self.most:
            grown = min(self.most, max(<uint64_t>64, self.capacity * 2))
            ring_ptr = realloc(self.ring_ptr, grown * sizeof(record_t))
            if ring_ptr == NULL:
                raise MemoryError()
            self.ring_ptr = <record_t*>ring_ptr
            self.capacity = grown
        self.appended += 1
        return &self.ring_ptr[(self.appended - 1) % self.capacity]

    cdef uint16_t type_number(self, str error_type) except *:
        """A number for an error type. Names are a function's own words, so only the first 1,000 are told apart."""
        number = self.type_numbers.get(error_type)
        if number is None:
            if len(self.types) >= 1000:
                return self.type_number("Runtime.Unknown")
            number = len(self.types)
            self.types.append(error_type)
            self.type_numbers[error_type] = number
        return number

    @property
    def oldest(self) -> int:
        """The number of the oldest record still held; `appended` is one past the newest."""
        return self.appended - self.capacity if self.appended > self.capacity else 0

    def seek(self, uint64_t number, uint64_t end, uint64_t ended_from_ns, uint64_t began_until_ns,
             uint32_t environment) -> int:
        """The first record from `number` on and before `end` that is of this environment (0: of any), ended at
        `ended_from_ns` or after and began at `began_until_ns` or before, its init included; `end` where none is."""
        cdef record_t* r
        cdef uint64_t i
        for i in range(max(number, self.oldest), min(end, self.appended)):
            r = &self.ring_ptr[i % self.capacity]
            if (r.done_ns >= ended_from_ns and r.claimed_ns <= began_until_ns + r.init_ns
                    and (environment == 0 or r.environment == environment)):
                return i
        return end

    def seek_back(self, uint64_t number, uint64_t begin, uint64_t ended_from_ns, uint64_t began_until_ns,
                  uint32_t environment) -> int:
        """As `seek`, the last one before `number` and from `begin` on; -1 where none is."""
        cdef record_t* r
        cdef uint64_t i = min(number, self.appended), first = max(begin, self.oldest)
        while i > first:
            i -= 1
            r = &self.ring_ptr[i % self.capacity]
            if (r.done_ns >= ended_from_ns and r.claimed_ns <= began_until_ns + r.init_ns
                    and (environment == 0 or r.environment == environment)):
                return i
        return -1

    def environments(self, uint64_t begin) -> dict:
        """The numbers of the first and the last record of each environment, of those from `begin` on."""
        cdef record_t* r
        cdef uint64_t i
        cdef dict spans = {}
        for i in range(max(begin, self.oldest), self.appended):
            r = &self.ring_ptr[i % self.capacity]
            span = spans.get(r.environment)
            spans[r.environment] = (i if span is None else span[0], i)
        return spans

    def row(self, uint64_t number) -> tuple:
        """(request_id bytes, published_ns, claimed_ns, done_ns, init_ns, billed_ms, memory_mb, max_memory_mb,
        environment serial, start code, outcome code, error type, billed_start_ns). Raises IndexError for a record that
        is not held."""
        cdef record_t* r
        if number >= self.appended or number < self.oldest:
            raise IndexError(f"record {number} is not held: {self.oldest} to {self.appended} are")
        r = &self.ring_ptr[number % self.capacity]
        return (PyBytes_FromStringAndSize(<char*>r.request_id, 16), r.published_ns, r.claimed_ns, r.done_ns, r.init_ns,
                r.billed_ms, r.memory_mb, r.max_memory_mb, r.environment, r.start, r.outcome, self.types[r.type_index],
                r.billed_start_ns)


cdef class Meter:
    """What is counted for one function and version. It outlives the lanes that an update replaces."""

    def __init__(self, uint64_t records_max):
        self.ledger = Ledger(records_max)
        self.durations = Histogram()
        self.inits = Histogram()
        self.waits = Histogram()

    @property
    def colds(self) -> int:
        return self.starts[COLD]

    @property
    def warms(self) -> int:
        return self.starts[WARM]

    @property
    def restored(self) -> int:
        """Environments that began from a snapshot."""
        return self.starts[SNAPSHOT]

    @property
    def provisioned(self) -> int:
        """Invocations that ran on provisioned environments."""
        return self.starts[PROVISIONED]


cdef class Quota:
    """Concurrency that one function, or all functions without a reservation, may use at once.

    With `beyond` it is a share set aside of that one: what does not fit into `limit` is taken from there, and given
    back first.
    """

    def __init__(self, int limit, str reason, Quota beyond=None):
        self.limit = limit
        self.reason = reason
        self.beyond = beyond

    @property
    def most(self) -> int:
        """What can be used at once where nobody else uses any."""
        return self.limit + (0 if self.beyond is None else self.beyond.limit)

    cdef bint borrow(self) noexcept:
        """`used` has reached `limit`: whether there is room for one more all the same, which is then taken beyond."""
        if self.beyond is None or self.beyond.used >= self.beyond.limit:
            return False
        self.beyond.used += 1
        self.borrowed += 1
        return True

    cdef void give_back(self) noexcept:
        """One that was taken has ended."""
        self.used -= 1
        if self.borrowed > 0:
            self.borrowed -= 1
            self.beyond.used -= 1
