"""What a supervisor does to a lane: admit and bury environments, sweep for what went wrong, end invocations itself.

None of this is on the path of an invocation that goes well.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset
from engine._ext.environment cimport Environment, cut_text
from engine._ext.kernel cimport monotonic_ns
from engine._ext.lane cimport Lane, entry_t
from engine._ext.layout cimport *
from engine._ext.meter cimport Quota
from engine._ext.queue cimport *
from engine._ext.waking cimport freeze, has_company, thaw


cdef enum:
    CLAIM_NS = 5000000000       # what is idle claims when it is called; a CPU quota or a busy host may come between
    CALLS_APART_NS = 1000000000     # further apart, two calls are about two invocations
    ANNOUNCE_NS = 5000000000    # an answer is announced right after it is written; a CPU quota may come between
    TICK_LOG_BYTES = 1 << 20    # log bytes taken from one environment in one tick


def admit(Lane lane, str stream, bint late=False) -> Environment:
    """A record for an environment about to be forked. Raises OverflowError when the region holds no more."""
    cdef int index
    cdef Environment env
    for index in range(len(lane.environments)):
        if lane.environments[index] is None:
            break
    else:
        index = len(lane.environments)
        if index == ENVS:
            raise OverflowError(f"{lane.name} has {ENVS} environments, the most that one version can have")
        lane.environments.append(None)
    lane.meter.serials += 1
    env = Environment(index, lane.meter.serials, stream)
    env.late = late
    queue_admit(&lane.queue, index)
    lane.environments[index] = env
    lane.starting += 1
    return env


def wake_by(Lane lane, Environment env, int event_fd) -> None:
    """It waits for an eventfd, among others: ring that too, until the environment is no more."""
    lane.queue.bells[env.index] = event_fd + 1


def charge(Lane lane, Quota quota) -> None:
    """Count what is outstanding against another quota from now on."""
    cdef int _i
    for _i in range(lane.outstanding):
        lane.quota.give_back()
        if quota.used >= quota.limit and quota.beyond is not None:
            quota.beyond.used += 1      # past its limit too: what was accepted is not taken back
            quota.borrowed += 1
        quota.used += 1
    lane.quota = quota


def init_error_type(Lane lane, Environment env) -> str:
    """What an environment whose init failed says was the reason: its own words, cut to TYPE_MAX bytes."""
    cdef env_t* record_ptr
    if env.index < 0:
        return ""
    record_ptr = env_at(lane.queue.base_ptr, env.index)
    return record_ptr.init_type[:min(record_ptr.init_type_len, TYPE_MAX)].decode("ascii", "replace")


def take_output(Lane lane, Environment env) -> bytes:
    """What an environment printed that belongs to no invocation: during its init, or after its last answer."""
    cdef uint64_t dropped
    lane.read_log(env, env.log_taken + TICK_LOG_BYTES)
    return cut_text(env, env.log_taken, &dropped)


def pump_logs(Lane lane) -> int:
    """Take what environments have printed meanwhile, so that a full pipe holds nobody up. Bytes taken."""
    cdef Environment env
    cdef uint64_t taken = 0
    for env in lane.environments:
        if env is not None:
            taken += lane.read_log(env, env.log_taken + TICK_LOG_BYTES)
    return taken


def bury(Lane lane, Environment env) -> list:
    """Take an environment that is gone out of the lane: its last answers are settled, slots it held are freed.

    Returns the slots of invocations it died on: the caller ends each with `fail`.
    """
    cdef int index, number = env.index
    cdef slot_t* slot_ptr
    cdef uint64_t word
    lost = []
    if number < 0:
        return lost
    if is_live(&lane.queue, number):
        lane.drain_environment(env, SLOTS)
    for index in range(lane.used_top):
        slot_ptr = slot_at(lane.queue.base_ptr, index)
        word = load64(&slot_ptr.word)
        if lane.entries[index].held and lane.entries[index].owner == number:
            lane.entries[index].held = False
            lane.free_slot(index)
        elif lane.entries[index].outstanding and word_phase(word) in (CLAIMED, DONE) and word_owner(word) == number:
            if word_phase(word) == CLAIMED or not is_live(&lane.queue, number) or not lane.settle(env, index):
                lost.append(index)
    queue_forget(&lane.queue, number)
    leave(lane, env)
    return lost


cdef int leave(Lane lane, Environment env) except -1:
    thaw(lane, env)
    lane.environments[env.index] = None
    env.index = -1
    if env.withdrawn:
        pass
    elif env.is_ready:
        lane.ready -= 1
    else:
        lane.starting -= 1
    return 0


def outstanding_slots(Lane lane) -> list:
    """Slots whose invocation nobody has answered yet."""
    return [index for index in range(lane.used_top) if lane.entries[index].outstanding]


def is_outstanding(Lane lane, int index, uint64_t generation) -> bool:
    """Whether that very invocation still waits for its answer in this slot."""
    return lane.entries[index].outstanding and lane.entries[index].generation == generation


def request_id(Lane lane, int index) -> bytes:
    """The 16 bytes of the request id in a slot, from private memory."""
    return <bytes>lane.entries[index].request_id[:16]


def fail(Lane lane, Environment env, int index, bytes payload, int outcome, str error_type, *, bint hold=False,
         bint whole_timeout=False, uint32_t memory_kb=0, object generation=None) -> None:
    """End an invocation with the core's own answer.

    Does nothing when it has ended meanwhile, or is not of the `generation` that is given. `hold` keeps the slot out of
    use until its owner is buried, for it may still write there. `whole_timeout` reports the function's time limit as
    its duration, to the nanosecond.
    """
    cdef entry_t* entry_ptr = &lane.entries[index]
    cdef uint64_t now_ns = monotonic_ns()
    cdef uint64_t claimed_ns = entry_ptr.claimed_ns
    if not entry_ptr.outstanding or (generation is not None and generation != entry_ptr.generation):
        return
    if claimed_ns == 0:
        claimed_ns = claimed_at(lane, index, now_ns)
    claimed_ns = max(claimed_ns, entry_ptr.published_ns)    # a sweep's clock may be older than the invocation
    if env is None:
        env = Environment(-1, 0, "")
        env.served = 1
    if hold:
        entry_ptr.held = True
        entry_ptr.owner = env.index
    lane.read_log(env, env.log_taken + TICK_LOG_BYTES)
    lane.answer(env, index, payload, outcome, error_type, claimed_ns,
                claimed_ns + lane.timeout_ns if whole_timeout else max(now_ns, claimed_ns), memory_kb, env.log_taken)


cdef uint64_t claimed_at(Lane lane, int index, uint64_t now_ns) noexcept:
    """When a slot was claimed, by its owner's stamp where that is possible at all."""
    cdef uint64_t stamp_ns = slot_at(lane.queue.base_ptr, index).claimed_ns
    return stamp_ns if lane.entries[index].published_ns <= stamp_ns <= now_ns else now_ns


def sweep(Lane lane, uint64_t now_ns) -> list:
    """Look at every outstanding slot. Returns [(environment, slot, generation)] of those over their time limit.

    Repairs on the way what a killed or hostile environment can leave: slots that are READY and in no ring, answers that
    were never announced, sleepers whose bit was lost. A word that nobody honest writes poisons the region.
    """
    cdef uint64_t hinted[SLOT_WORDS]
    cdef uint64_t word
    cdef int index, owner, waiting = 0
    cdef Environment env
    overdue, busy = [], set()
    if not read_hints(lane, hinted):
        return overdue
    for index in range(lane.used_top):
        if not lane.entries[index].outstanding:
            continue
        word = load64(&slot_at(lane.queue.base_ptr, index).word)
        owner = word_owner(word)
        if word_generation(word) != lane.entries[index].generation or word_phase(word) not in (READY, CLAIMED, DONE):
            lane.poison()
            return overdue
        if word_phase(word) == READY:
            waiting += 1
            if not (hinted[index >> 6] >> (index & 63)) & 1 and queue_append(&lane.queue, index) < 0:
                lane.poison()
                return overdue
            continue
        if owner >= len(lane.environments) or lane.environments[owner] is None:
            lane.poison()
            return overdue
        env = lane.environments[owner]
        if not env.withdrawn:
            busy.add(owner)
        if not is_live(&lane.queue, owner):
            continue    # condemned: its end is under way
        if lane.entries[index].owner != owner:
            lane.entries[index].owner = owner
            lane.entries[index].claimed_ns = claimed_at(lane, index, now_ns)
        if word_phase(word) == CLAIMED and now_ns >= lane.entries[index].claimed_ns + lane.timeout_ns:
            overdue.append((env, index, lane.entries[index].generation))
        elif word_phase(word) == DONE:
            unannounced(lane, env, index, now_ns)
            if lane.poisoned:
                return overdue
    if waiting and lane.ready > len(busy):
        for env in lane.environments:
            if (env is not None and env.is_ready and not env.withdrawn and env.index not in busy
                    and is_live(&lane.queue, env.index)):
                call(lane, env, now_ns)
    return overdue


cdef int call(Lane lane, Environment env, uint64_t now_ns) except -1:
    """Wake an idle environment for what waits. One that never comes was stopped or held up by its own function."""
    thaw(lane, env)
    queue_call(&lane.queue, env.index)
    if now_ns > env.last_called_ns + CALLS_APART_NS or env.used_ns > env.called_ns:
        env.called_ns = now_ns
    elif now_ns > env.called_ns + CLAIM_NS:
        lane.condemn(env)
    env.last_called_ns = now_ns
    return 0


def inspect(Lane lane) -> None:
    """Poison a lane whose ready ring was forged, so that nothing more is published there."""
    cdef uint64_t hinted[SLOT_WORDS]
    read_hints(lane, hinted)


cdef bint read_hints(Lane lane, uint64_t* hinted_ptr) except -1:
    """Which slots the ready ring names, as a bitmap. False, and the lane poisoned, when the ring was forged."""
    cdef uint64_t cell, position = load64(&lane.queue.head_ptr.ready_head)
    cdef int index
    memset(hinted_ptr, 0, SLOT_WORDS * sizeof(uint64_t))
    if lane.queue.tail - position > READY_CAP or lane.queue.head_ptr.magic != REGION_MAGIC or \
            lane.queue.head_ptr.abi != REGION_ABI:
        lane.poison()
        return False
    store64(&lane.queue.head_ptr.ready_tail, lane.queue.tail)
    while position != lane.queue.tail:
        cell = load64(ready_at(lane.queue.base_ptr, position))
        if cell >> 16 != position & 0xFFFFFFFFFFFFULL:      # the core alone writes there, and nobody would get past it
            lane.poison()
            return False
        index = <int>(cell & (SLOTS - 1))
        hinted_ptr[index >> 6] |= <uint64_t>1 << (index & 63)
        position += 1
    return True


cdef int unannounced(Lane lane, Environment env, int index, uint64_t now_ns) except -1:
    """A slot is DONE: its owner may have announced it and its bell was lost, or it may be held up just before it does.

    Only one that keeps its answer to itself for `ANNOUNCE_NS` breaks the protocol.
    """
    cdef uint64_t generation = lane.entries[index].generation
    lane.drain_environment(env, SLOTS)
    if not lane.entries[index].outstanding or lane.entries[index].generation != generation:
        return 0
    if lane.entries[index].done_seen_ns == 0:
        lane.entries[index].done_seen_ns = now_ns
    elif now_ns > lane.entries[index].done_seen_ns + ANNOUNCE_NS:
        lane.condemn(env)
    return 0


def longest_running_ns(Lane lane, uint64_t now_ns) -> int:
    """For how long the invocation that runs longest has been running."""
    cdef uint64_t longest = 0
    cdef int index
    for index in range(lane.used_top):
        if (lane.entries[index].outstanding
                and word_phase(load64(&slot_at(lane.queue.base_ptr, index).word)) == CLAIMED):
            longest = max(longest, now_ns - claimed_at(lane, index, now_ns))
    return longest


def ring(Lane lane) -> None:
    """Wake environments for what waits in the ready ring."""
    lane.ring()


def reject_waiting(Lane lane, object error) -> int:
    """Give up on invocations that no environment has taken: their callers get this exception. How many."""
    cdef int index, rejected = 0
    cdef uint64_t ready_word
    for index in range(lane.used_top):
        ready_word = make_word(READY, 0, lane.entries[index].generation)
        if (lane.entries[index].outstanding and cas64(&slot_at(lane.queue.base_ptr, index).word, ready_word,
                                                      make_word(FREE, 0, lane.entries[index].generation))):
            waiter = lane.waiters[index]
            lane.waiters[index] = None
            lane.entries[index].outstanding = False
            lane.free_slot(index)
            lane.turn_away(waiter, error)
            rejected += 1
    queue_skip(&lane.queue)
    while lane.pending:
        lane.turn_away(lane.pending.popleft()[3], error)
        rejected += 1
    return rejected


def abandon(Lane lane, object error) -> None:
    """The engine closes: every caller still waiting gets this exception, whatever became of its invocation."""
    cdef int index
    reject_waiting(lane, error)
    for index in outstanding_slots(lane):
        waiter = lane.waiters[index]
        lane.waiters[index] = None
        lane.entries[index].outstanding = False
        lane.turn_away(waiter, error)


def idle_environments(Lane lane) -> list:
    """Environments that are ready and hold no slot, least recently used first."""
    cdef int index
    cdef uint64_t word
    busy = set()
    for index in range(lane.used_top):
        if lane.entries[index].outstanding or lane.entries[index].held:
            word = load64(&slot_at(lane.queue.base_ptr, index).word)
            if word_phase(word) == CLAIMED:
                busy.add(word_owner(word))
    idle = [env for env in lane.environments if env is not None and env.is_ready and env.index not in busy]
    idle.sort(key=lambda env: env.used_ns)
    return idle


def freeze_idle(Lane lane) -> int:
    """Stop idle environments in which user code left threads or processes running. How many are stopped.

    Only while nothing waits that they could claim; each is looked at once after it worked. What has company once is
    stopped from then on as soon as it is idle; not so where the company is a runtime, which is there by design.
    """
    cdef int index
    cdef Environment env
    cdef set busy = set()
    cdef uint64_t word
    for index in range(lane.used_top):
        if lane.entries[index].outstanding or lane.entries[index].held:
            word = load64(&slot_at(lane.queue.base_ptr, index).word)
            if word_phase(word) == READY:
                return lane.frozen_count
            busy.add(word_owner(word))
    for env in lane.environments:
        if (env is not None and env.is_ready and env.counted != env.served and env.index not in busy
                and is_live(&lane.queue, env.index)):
            env.counted = env.served
            if has_company(env):
                env.company = lane.queue.bells[env.index] == 0
                freeze(lane, env)
            else:
                env.company = False
    return lane.frozen_count


def reset(Lane lane) -> list:
    """Give a poisoned lane a fresh region; what waited for a slot is published there. Returns the environments of the
    old one: the caller ends them. Every outstanding invocation must have been ended with `fail` before."""
    cdef Environment env
    old = [env for env in lane.environments if env is not None]
    for env in old:
        leave(lane, env)
    lane.format()
    lane.pump()
    return old
