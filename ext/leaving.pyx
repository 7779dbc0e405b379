"""How a supervisor has an environment end: when it is idle, or at once, in the time that its extensions take."""

from libc.stdint cimport uint32_t
from engine._ext.environment cimport Environment
from engine._ext.lane cimport Lane
from engine._ext.layout cimport *
from engine._ext.queue cimport env_at, queue_call, queue_forget
from engine._ext.waking cimport thaw

TIMED_OUT, NOW = RETIRE_TIMED_OUT, RETIRE_NOW      # for `retire` and `dismiss`


def retire(Lane lane, Environment env, *, int how=RETIRE_IDLE) -> None:
    """Ask an environment to end as soon as it is idle, or at once. It takes no further invocation.

    how: when it is idle, TIMED_OUT or NOW; the later of two holds.
    """
    cdef env_t* record_ptr
    env.retiring = True
    if env.index >= 0:
        record_ptr = env_at(lane.queue.base_ptr, env.index)
        if load32(&record_ptr.retire) < <uint32_t>how:
            store32(&record_ptr.retire, how)
        if load32(&record_ptr.farewell):
            withdraw(lane, env)
        thaw(lane, env)
        queue_call(&lane.queue, env.index)


def dismiss(Lane lane, Environment env, *, int how) -> None:
    """As `retire`, and nothing of what it says counts any more: see `condemn`. For one whose invocation is over."""
    retire(lane, env, how=how)
    if env.index >= 0:
        withdraw(lane, env)
        queue_forget(&lane.queue, env.index)


def wants_farewell(Lane lane, Environment env) -> bool:
    """Whether it says that it has extensions, which are to be told of its end."""
    return env.index >= 0 and env.is_ready and load32(&env_at(lane.queue.base_ptr, env.index).farewell) != 0


def leavers(Lane lane) -> list:
    """Environments that have begun to end by themselves and are seen to for the first time: nobody counts on them."""
    cdef Environment env
    found = []
    for env in lane.environments:
        if (env is not None and env.is_ready and not env.withdrawn
                and load32(&env_at(lane.queue.base_ptr, env.index).farewell) == FAREWELL_BEGUN):
            env.retiring = True
            withdraw(lane, env)
            found.append(env)
    return found


cdef int withdraw(Lane lane, Environment env) except -1:
    """Count on it no more, so that another is started for who waits, however long it takes to end."""
    if env.is_ready and not env.withdrawn:
        env.withdrawn = True
        lane.ready -= 1
    return 0
