# Who is woken for an invocation that was published, and the freezing of environments that something else runs in.
#
# An idle environment sleeps: its one thread waits for its bell, and nothing of it runs. One in which user code left
# threads or children would go on running, unbilled: it is frozen as soon as it is idle (`freeze`), and thawed before
# its bell is rung (`wake`). Both look at the lane and write to the kernel without letting go of the interpreter lock,
# so no invocation can be published in between: an environment is frozen only while nothing waits in the ready ring that
# it could claim, and whoever publishes afterwards finds it marked as frozen.

from libc.stdint cimport uint64_t
from engine._ext.environment cimport Environment, read_number, write_word
from engine._ext.lane cimport Lane
from engine._ext.layout cimport *
from engine._ext.queue cimport queue_call

cdef enum:
    HURRY_NS = 50000        # about what waking an idle CPU costs


cdef inline bint wake(Lane lane) noexcept:
    """Wake an environment, unless one that is awake will be there sooner than a sleeper could be. Whether one was."""
    cdef int w, asleep = 0, first = -1
    cdef uint64_t bits, here
    if lane.ready == 0:
        return False
    fence()
    for w in range(lane.queue.words):
        here = lane.queue.live[w] & ~lane.frozen[w]
        if load64(&lane.queue.head_ptr.spinning[w]) & here:
            return False
        bits = load64(&lane.queue.head_ptr.sleeping[w]) & here
        if bits and first < 0:      # lowest first: high numbers fall idle and retire
            first = w * 64 + lowest_bit(bits)
        asleep += count_bits(bits)
    if asleep + lane.frozen_count == 0:
        return False
    if asleep + lane.frozen_count < lane.ready and \
            lane.outstanding * lane.longest_ns < HURRY_NS * <double>(lane.ready - lane.frozen_count - asleep):
        return False
    if first < 0:
        first = first_frozen(lane)
        if first < 0:
            return False
        thaw(lane, <Environment>lane.environments[first])
    queue_call(&lane.queue, first)
    return True


cdef inline int first_frozen(Lane lane) noexcept:
    cdef int w
    for w in range(ENV_WORDS):
        if lane.frozen[w]:
            return w * 64 + lowest_bit(lane.frozen[w])
    return -1


cdef inline void thaw(Lane lane, Environment env) noexcept:
    """Let it run again. Nothing for one that is not frozen."""
    cdef uint64_t bit = <uint64_t>1 << (env.index & 63)
    if env.index >= 0 and lane.frozen[env.index >> 6] & bit:
        lane.frozen[env.index >> 6] &= ~bit
        lane.frozen_count -= 1
        write_word(env.freezer_fd, env.thaw_word)


cdef inline void freeze(Lane lane, Environment env) noexcept:
    """Stop an idle environment. The caller has seen that nothing waits which it could claim.

    Not one that is about to end: what it leaves behind could not die either, and its init would wait for that.
    """
    cdef uint64_t bit = <uint64_t>1 << (env.index & 63)
    if not env.retiring and not lane.frozen[env.index >> 6] & bit and write_word(env.freezer_fd, env.freeze_word):
        lane.frozen[env.index >> 6] |= bit
        lane.frozen_count += 1


cdef inline bint has_company(Environment env) noexcept:
    """Whether more runs in there than its init and its one thread; False where that cannot be counted or frozen."""
    return env.freezer_fd >= 0 and env.tasks_fd >= 0 and read_number(env.tasks_fd) > OWN_TASKS


cdef enum:
    OWN_TASKS = 2
