"""A load over the shared queue: requests whose every byte follows from their number, and answers that follow from them.

For stress tests and benchmarks: both ends run without the interpreter, so that millions of hand-overs take seconds and
a SIGKILL lands between any two instructions of the protocol. Nothing of the engine calls this.
"""

import os

from libc.errno cimport EINTR, ENOBUFS, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from engine._ext.kernel cimport monotonic_ns
from engine._ext.layout cimport *
from engine._ext.linux cimport Mapping
from engine._ext.queue cimport *

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events, revents
    int poll(pollfd*, unsigned long, int)
    short POLLIN

cdef extern from "<signal.h>" nogil:
    int kill(int, int)
    int SIGKILL

cdef extern from "<unistd.h>" nogil:
    ssize_t read(int, void*, size_t)

cdef enum:
    PATIENCE = 2000         # looks without an answer before the core's end sleeps
    BELL_MS = 250           # a bell that comes later than this after the answer does not come
    NAP_MS = 20             # how long it sleeps at most: its caller has environments to bury


cdef inline uint64_t mix(uint64_t x) noexcept nogil:
    """SplitMix64's finalizer."""
    x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline uint32_t words_of(uint64_t seed) noexcept nogil:
    """How many words a body has: mostly few, now and then as many as go inline."""
    cdef uint64_t x = mix(seed)
    return INLINE_MAX // 8 if x & 63 == 0 else 1 + <uint32_t>((x >> 8) % 24)


cdef inline void fill(slot_t* slot_ptr, uint64_t seed, uint32_t words) noexcept nogil:
    cdef uint64_t* body_ptr = <uint64_t*>slot_ptr.body
    cdef uint32_t i
    for i in range(words):
        body_ptr[i] = mix(seed + i)


cdef inline bint intact(slot_t* slot_ptr, uint64_t seed, uint32_t words) noexcept nogil:
    cdef uint64_t* body_ptr = <uint64_t*>slot_ptr.body
    cdef uint32_t i
    for i in range(words):
        if body_ptr[i] != mix(seed + i):
            return False
    return True


cdef inline void answer_load(slot_t* slot_ptr) noexcept nogil:
    cdef uint64_t number
    memcpy(&number, slot_ptr.request_id, 8)
    slot_ptr.out_flags = 0 if slot_ptr.in_len == 8 * words_of(number) and intact(slot_ptr, number, words_of(number)) \
        else OUT_ERROR
    slot_ptr.out_len = 8 * words_of(~number)
    fill(slot_ptr, ~number, words_of(~number))


def serve(int region_fd, int env, int event_fd) -> int:
    """Answer a `Load` as one environment, until asked to retire. The claims that gave an illegal index: 0, or 1 and it
    ends."""
    cdef Mapping mapping = Mapping(region_fd)
    cdef char* base_ptr = mapping.base_ptr
    cdef uint64_t word = 0
    cdef int index = NONE
    if not 0 <= env < ENVS:
        raise IndexError(f"environment {env} is outside 0..{ENVS - 1}")
    with nogil:
        while index != ILLEGAL and not load32(&env_at(base_ptr, env).retire):
            index = claim_next(base_ptr, env, &word)
            if index >= 0:
                answer_load(slot_at(base_ptr, index))
                finish(base_ptr, env, index, word, event_fd)
            elif index == NONE and not (may_spin(base_ptr) and spin_for_work(base_ptr, env)):
                sleep_for_work(base_ptr, env)
    return 1 if index == ILLEGAL else 0


cdef struct sent_t:
    uint64_t generation, number
    bint outstanding
    bint again          # a hint of it was once appended a second time: since then it may be taken out of turn


cdef class Load:
    """The core of a load of `total` requests, at most `window` at once, with its own private table.

    Counts every way to go wrong. At the end `answered + failed` is `total`; `torn` (a byte that does not follow from
    its number), `doubled`, `reordered` (an environment took a later request before an earlier one) and `foreign` (an
    answer that the private table does not bear out) are 0, and so is `unended`.
    `naps` says how often it slept, `unrung` how often nobody woke it for an answer: a killed environment can do that.
    """
    cdef readonly uint64_t total, sent, answered, failed, torn, doubled, reordered, foreign, naps, unrung
    cdef readonly Mapping mapping
    cdef queue_t queue
    cdef sent_t table[SLOTS]
    cdef int free_slots[SLOTS]
    cdef int free_count, window, event_fd
    cdef uint64_t last[ENVS]        # the newest request that each environment has answered
    cdef uint8_t* ended_ptr         # how often each request ended, by its number

    def __cinit__(self, int region_fd, int event_fd, uint64_t total, int window):
        cdef int i
        if not 1 <= window <= SLOTS:
            raise ValueError(f"a window is 1 to {SLOTS} requests, not {window}")
        self.mapping = Mapping(region_fd)
        queue_format(&self.queue, self.mapping.base_ptr)
        self.event_fd = event_fd
        self.total = total
        self.window = window
        self.ended_ptr = <uint8_t*>calloc(total + 1, 1)
        if self.ended_ptr == NULL:
            raise MemoryError()
        for i in range(SLOTS):
            self.free_slots[i] = SLOTS - 1 - i
        self.free_count = SLOTS

    def __dealloc__(self):
        free(self.ended_ptr)

    def allow_spin(self, uint32_t spin_ns, uint32_t limit) -> None:
        """How long, and how many environments at once, may look for work before they sleep."""
        self.queue.head_ptr.spin_ns = spin_ns
        self.queue.head_ptr.spin_limit = limit

    def admit(self, int env) -> None:
        """Reset an environment's record, before its process starts."""
        queue_admit(&self.queue, self.checked(env))
        self.last[env] = 0

    def retire(self, int env) -> None:
        store32(&env_at(self.queue.base_ptr, self.checked(env)).retire, 1)
        queue_call(&self.queue, env)

    cdef int checked(self, int env) except -1:
        if not 0 <= env < ENVS:
            raise IndexError(f"environment {env} is outside 0..{ENVS - 1}")
        return env

    def more(self, uint64_t count) -> None:
        """Start again with that many requests, on the same region. Everything sent must have ended."""
        if self.sent != self.answered + self.failed or count > self.total:
            raise ValueError(f"{count} more requests than {self.total}, or {self.sent - self.answered} are under way")
        self.sent = self.answered = self.failed = 0
        self.total = count
        memset(self.ended_ptr, 0, count + 1)
        memset(self.last, 0, sizeof(self.last))

    def run(self, uint64_t duration_ns, int victim=0, uint64_t after=0) -> bool:
        """Go on for that long, or until every request has ended. Whether they have. Raises OSError.

        `victim` is a process to SIGKILL on the way, once that many more answers have come; nothing waits for it.
        """
        cdef int failed
        with nogil:
            failed = self.go_on(monotonic_ns() + duration_ns, victim, self.answered + after)
        if failed:
            raise OSError(failed, os.strerror(failed))
        return self.answered + self.failed == self.total

    cdef int go_on(self, uint64_t stop_ns, int victim, uint64_t kill_at) noexcept nogil:
        """0, or an errno."""
        cdef int quiet = 0, failed = 0
        while self.answered + self.failed < self.total and not failed:
            failed = self.send()
            if victim and self.answered >= kill_at:
                kill(victim, SIGKILL)
                victim = 0
            if self.collect():
                quiet = -1
            relax()
            quiet += 1
            if quiet >= PATIENCE:
                quiet = 0
                failed = failed or self.nap()
            if monotonic_ns() >= stop_ns:
                break
        return failed

    cdef int send(self) noexcept nogil:
        """Fill the window. 0, or an errno."""
        cdef queue_t* q = &self.queue
        cdef int index
        cdef sent_t* sent_ptr
        cdef slot_t* slot_ptr
        while self.sent < self.total and SLOTS - self.free_count < self.window:
            self.sent += 1
            self.free_count -= 1
            index = self.free_slots[self.free_count]
            slot_ptr = slot_at(q.base_ptr, index)
            sent_ptr = &self.table[index]
            sent_ptr.generation += 1
            sent_ptr.number = self.sent
            sent_ptr.outstanding = True
            memcpy(slot_ptr.request_id, &self.sent, 8)
            slot_ptr.in_len = 8 * words_of(self.sent)
            fill(slot_ptr, self.sent, words_of(self.sent))
            if queue_publish(q, index, sent_ptr.generation) < 0:
                return ENOBUFS
            self.wake()
        return 0

    cdef void wake(self) noexcept nogil:
        """Wake a sleeper, unless one that is awake looks for work."""
        cdef int w
        fence()
        for w in range(self.queue.words):
            if load64(&self.queue.head_ptr.spinning[w]) & self.queue.live[w]:
                return
        queue_wake(&self.queue)

    cdef int collect(self) noexcept nogil:
        """Settle what is finished. How many."""
        cdef int w, settled = 0
        cdef uint64_t bits
        for w in range(self.queue.words):
            bits = take_finished(&self.queue, w)
            while bits:
                settled += self.drain(w * 64 + lowest_bit(bits))
                bits &= bits - 1
        return settled

    cdef int drain(self, int env) noexcept nogil:
        cdef int index, settled = 0
        while True:
            index = pop_done(&self.queue, env)
            if index < 0:
                self.foreign += index == ILLEGAL
                return settled
            settled += self.settle(env, index)

    cdef int settle(self, int env, int index) noexcept nogil:
        cdef sent_t* sent_ptr = &self.table[index]
        cdef slot_t* slot_ptr = slot_at(self.queue.base_ptr, index)
        cdef uint64_t number = sent_ptr.number
        if not sent_ptr.outstanding or load64(&slot_ptr.word) != make_word(DONE, env, sent_ptr.generation):
            self.foreign += 1
            return 0
        if slot_ptr.out_flags or slot_ptr.out_len != 8 * words_of(~number) \
                or not intact(slot_ptr, ~number, words_of(~number)):
            self.torn += 1
        if not sent_ptr.again:
            self.reordered += number <= self.last[env]
            self.last[env] = number
        self.answered += 1
        self.end(index)
        return 1

    cdef void end(self, int index) noexcept nogil:
        cdef sent_t* sent_ptr = &self.table[index]
        sent_ptr.outstanding = False
        self.ended_ptr[sent_ptr.number] += 1
        self.doubled += self.ended_ptr[sent_ptr.number] > 1
        store64(&slot_at(self.queue.base_ptr, index).word, make_word(FREE, 0, sent_ptr.generation))
        self.free_slots[self.free_count] = index
        self.free_count += 1

    cdef int nap(self) noexcept nogil:
        """Sleep until an answer rings, as the core does. 0, or an errno."""
        cdef queue_t* q = &self.queue
        cdef pollfd waited
        cdef uint64_t count
        cdef int failed = 0
        waited.fd = self.event_fd
        waited.events = POLLIN
        store32(&q.head_ptr.core_asleep, 1)
        fence()
        if not any_finished(q):
            self.naps += 1
            failed = poll(&waited, 1, NAP_MS)
            if failed == 0 and any_finished(q):     # flagged, and the bell must follow
                failed = poll(&waited, 1, BELL_MS)
                self.unrung += failed == 0
            failed = errno if failed < 0 or (failed and read(self.event_fd, &count, 8) != 8) else 0
        store32(&q.head_ptr.core_asleep, 0)
        return 0 if failed == EINTR else failed

    def bury(self, int env) -> tuple:
        """What the core does when an environment is gone. How many requests that (settled, failed, sent again)."""
        cdef queue_t* q = &self.queue
        cdef int index, settled = 0, failed = 0, again = 0
        cdef uint64_t word
        settled = self.drain(self.checked(env))
        for index in range(SLOTS):
            if not self.table[index].outstanding:
                continue
            word = load64(&slot_at(q.base_ptr, index).word)
            if word_phase(word) == READY and not ready_holds(q, index):
                self.table[index].again = True
                again += queue_append(q, index) == 0
            elif word_phase(word) == DONE and word_owner(word) == env:
                settled += self.settle(env, index)
            elif word_phase(word) == CLAIMED and word_owner(word) == env:
                self.failed += 1
                failed += 1
                self.end(index)
        queue_forget(q, env)
        queue_wake(q)
        return settled, failed, again

    @property
    def unended(self) -> int:
        """Requests that were sent and have not ended."""
        cdef uint64_t number, count = 0
        for number in range(1, self.sent + 1):
            count += self.ended_ptr[number] == 0
        return count
