# The shared queue: every step that the core and an environment take on a region. Inlined into both ends; those of an
# environment are in queue.h, for libraries of other languages take them too.
#
# WHO WRITES, WHO READS
#   slot.word         the core (FREE -> READY, DONE -> FREE) and whoever holds the slot (READY -> CLAIMED by compare and
#                     swap, CLAIMED -> DONE by its owner). Claim and owner are one word, so there is no instant at which
#                     a claimed slot has no known owner.
#   ready ring        the core alone appends; any environment pops by compare and swap on `ready_head`. A cell holds
#                     `position << 16 | slot`: a consumer that was overtaken sees a foreign position and looks again.
#                     Cells are never handed back by consumers, so one that dies in between blocks nothing. The ring
#                     is a hint: the word decides.
#   completion ring   one per environment: it appends, the core pops. At most SLOTS invocations are outstanding and each
#                     stands in at most one ring, so a ring of SLOTS entries cannot overflow.
#   finished bitmap   an environment sets its bit after it appended; the core swaps the word with zero, then drains.
#
# WHAT EACH ORDER IS FOR
#   store64(word, READY)      release: the request's bytes are visible before the phase is.
#   cas64(word, CLAIMED)      acquire: pairs with the above; release: the owner is visible with the claim.
#   store64(word, DONE)       release: the answer's bytes before the phase.
#   store64(done_tail)        release: the ring entry before the tail that covers it.
#   or64(finished), fence     sequentially consistent, then `core_asleep` is read; the core stores `core_asleep`,
#                             fences, then reads `finished`. One of the two sees the other: no lost wake-up (Dekker's
#                             argument).
#   or64(sleeping), fence     the same argument between an environment going to sleep and the core publishing: the core
#                             publishes, fences, reads `sleeping`; the environment sets its bit, fences, reads the tail.
#
# WHEN SOMEBODY DIES
#   after the pop, before the claim    the slot is READY and in no ring: `queue_republish` appends it again. Publishing
#                                      twice is harmless, one compare and swap wins.
#   after the claim                    the word names the dead owner: its completion ring is drained first, then what is
#                                      still CLAIMED by it is ended.
#   asleep or spinning                 its bits are cleared when its record is reset.
#   the core                           environments are killed by the zygote that watches the core's process.
#
# WHAT THE CORE BELIEVES
#   Nothing. `queue_t` is private memory: the tail, the heads of the completion rings and the set of live environments
#   are never read back from the region. Every value that is read is checked, and -1 means "not something an honest
#   environment could have written".

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memset
from engine._ext.layout cimport *
from engine._ext.kernel cimport futex_wake, ring_bell

cdef extern from "region/queue.h":
    enum:
        NONE        # nothing there
        ILLEGAL     # the region holds what no honest environment writes
    slot_t* slot_at(char*, int) noexcept nogil
    env_t* env_at(char*, int) noexcept nogil
    uint16_t* ring_at(char*, int) noexcept nogil
    uint64_t* ready_at(char*, uint64_t) noexcept nogil
    uint64_t make_word(int phase, int owner, uint64_t generation) noexcept nogil
    int word_phase(uint64_t) noexcept nogil
    int word_owner(uint64_t) noexcept nogil
    uint64_t word_generation(uint64_t) noexcept nogil
    int pop_ready(char*) noexcept nogil
    bint claim_seen(char*, int env, int index, uint64_t seen) noexcept nogil
    int claim_next(char*, int env, uint64_t* claimed_ptr) noexcept nogil
    void flag_finished(char*, int env, int event_fd) noexcept nogil
    void mark_done(char*, int env, int index, uint64_t word) noexcept nogil
    void append_done(char*, int env, int index) noexcept nogil
    void finish(char*, int env, int index, uint64_t word, int event_fd) noexcept nogil
    bint work_waits(char*, int env) noexcept nogil
    bint may_spin(char*) noexcept nogil
    bint spin_for_work(char*, int env) noexcept nogil
    void sleep_for_work(char*, int env) noexcept nogil

cdef struct queue_t:
    region_t* head_ptr
    char* base_ptr
    uint64_t tail                   # of the ready ring, the core's own copy
    uint64_t done_head[ENVS]        # of each completion ring
    uint64_t live[ENV_WORDS]        # environments that may own a slot
    int words                       # words of `live` in use
    int bells[ENVS]                 # 1 + the eventfd that wakes an environment which does not sleep on its bell, or 0


cdef inline void queue_format(queue_t* q, char* base_ptr) noexcept nogil:
    """Start afresh on a region of zeros. A thread may be looking at the queue (`any_finished`), so its pointers
    go from the old region straight to the new one."""
    q.words = 0
    q.tail = 0
    memset(q.done_head, 0, sizeof(q.done_head))
    memset(q.live, 0, sizeof(q.live))
    memset(q.bells, 0, sizeof(q.bells))
    q.base_ptr = base_ptr
    q.head_ptr = <region_t*>base_ptr
    q.head_ptr.abi = REGION_ABI
    q.head_ptr.slots = SLOTS
    q.head_ptr.envs = ENVS
    q.head_ptr.slot_stride = SLOT_STRIDE
    q.head_ptr.core_asleep = 1
    store64(&q.head_ptr.magic, REGION_MAGIC)


cdef inline bint is_live(queue_t* q, int env) noexcept nogil:
    return <uint32_t>env < <uint32_t>ENVS and (q.live[env >> 6] >> (env & 63)) & 1


cdef inline void queue_forget(queue_t* q, int env) noexcept nogil:
    """Take the bits of an environment that is gone; its record is reset when the number is used again."""
    cdef uint64_t bit = <uint64_t>1 << (env & 63)
    q.live[env >> 6] &= ~bit
    q.bells[env] = 0
    and64(&q.head_ptr.sleeping[env >> 6], ~bit)
    and64(&q.head_ptr.spinning[env >> 6], ~bit)
    and64(&q.head_ptr.finished[env >> 6], ~bit)


cdef inline void queue_admit(queue_t* q, int env) noexcept nogil:
    queue_forget(q, env)
    memset(env_at(q.base_ptr, env), 0, sizeof(env_t))
    q.done_head[env] = 0
    q.live[env >> 6] |= <uint64_t>1 << (env & 63)
    if (env >> 6) >= q.words:
        q.words = (env >> 6) + 1


cdef inline int queue_append(queue_t* q, int index) noexcept nogil:
    """Append a hint to the ready ring. ILLEGAL when the ring is full: only a forged `ready_head` can do that."""
    cdef uint64_t head = load64(&q.head_ptr.ready_head)
    if head > q.tail or q.tail - head >= READY_CAP:
        return ILLEGAL
    store64(ready_at(q.base_ptr, q.tail), (q.tail << 16) | <uint64_t>index)
    q.tail += 1
    store64(&q.head_ptr.ready_tail, q.tail)
    return 0


cdef inline int queue_publish(queue_t* q, int index, uint64_t generation) noexcept nogil:
    store64(&slot_at(q.base_ptr, index).word, make_word(READY, 0, generation))
    return queue_append(q, index)


cdef inline bint ready_holds(queue_t* q, int index) noexcept nogil:
    """Whether the part of the ring that is not yet popped names this slot."""
    cdef uint64_t position = load64(&q.head_ptr.ready_head)
    if position > q.tail or q.tail - position > READY_CAP:
        return False
    while position != q.tail:
        if (load64(ready_at(q.base_ptr, position)) & 0xFFFF) == <uint64_t>index:
            return True
        position += 1
    return False


cdef inline void queue_skip(queue_t* q) noexcept nogil:
    """Pop every hint, where none of the slots they name is READY any more: nobody else may be there to do it."""
    cdef uint64_t position = load64(&q.head_ptr.ready_head)
    cdef int _tries
    for _tries in range(1000):
        if position >= q.tail or cas64(&q.head_ptr.ready_head, position, q.tail):
            return
        position = load64(&q.head_ptr.ready_head)


cdef inline int queue_wake(queue_t* q) noexcept nogil:
    """Wake one environment that sleeps; its number, or NONE. Lowest first: high numbers fall idle and retire."""
    cdef int w, env
    cdef uint64_t bits
    fence()
    for w in range(q.words):
        bits = load64(&q.head_ptr.sleeping[w]) & q.live[w]
        if bits:
            env = w * 64 + lowest_bit(bits)
            queue_call(q, env)
            return env
    return NONE


cdef inline void queue_call(queue_t* q, int env) noexcept nogil:
    """Ring the bell of one environment, whether it sleeps or not."""
    and64(&q.head_ptr.sleeping[env >> 6], ~(<uint64_t>1 << (env & 63)))
    add32(&env_at(q.base_ptr, env).bell, 1)
    futex_wake(&env_at(q.base_ptr, env).bell, 1)
    if q.bells[env]:
        ring_bell(q.bells[env] - 1)


cdef inline bint any_sleeping(queue_t* q) noexcept nogil:
    cdef int w
    for w in range(q.words):
        if load64(&q.head_ptr.sleeping[w]) & q.live[w]:
            return True
    return False


cdef inline bint any_finished(queue_t* q) noexcept nogil:
    cdef int w
    for w in range(q.words):
        if load64(&q.head_ptr.finished[w]):
            return True
    return False


cdef inline uint64_t take_finished(queue_t* q, int w) noexcept nogil:
    if load64(&q.head_ptr.finished[w]) == 0:
        return 0
    return swap64(&q.head_ptr.finished[w], 0) & q.live[w]


cdef inline int pop_done(queue_t* q, int env) noexcept nogil:
    """The next slot that this environment says it finished; NONE; or ILLEGAL."""
    cdef uint64_t waiting = load64(&env_at(q.base_ptr, env).done_tail) - q.done_head[env]
    cdef int index
    if waiting == 0:
        return NONE
    if waiting > SLOTS:
        return ILLEGAL
    index = load16(ring_at(q.base_ptr, env) + (q.done_head[env] & (SLOTS - 1)))
    q.done_head[env] += 1
    return index if index < SLOTS else ILLEGAL
