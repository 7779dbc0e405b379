"""How a streamed invocation is accepted, and how a blocked thread waits for more of it. See scheduler.pyx."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from engine._ext.environment cimport Waiter
from engine._ext.flow cimport Flow
from engine._ext.kernel cimport getpid
from engine._ext.lane cimport Lane
from engine._ext.layout cimport store32
from engine._ext.scheduler cimport Scheduler

from engine.errors import EngineClosedError


def begin(Scheduler scheduler not None, Lane lane not None, bytes payload not None, bytes extra not None,
          bint wants_tail, Flow flow not None, *, bint on_loop=True) -> None:
    """Accept an invocation whose answer goes to `flow`. Raises as `Scheduler.call` does.

    on_loop: this is the thread of the loop that drains; else any thread, and whoever reads waits with `wait`.
    """
    if scheduler.pid != getpid():
        scheduler.refuse(lane)
    if on_loop:
        scheduler.post(lane, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), extra, flow, wants_tail, False)
        return
    store32(&lane.queue.head_ptr.core_asleep, 1)
    scheduler.submit(lane, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), extra, flow, wants_tail, NULL)


def wait(Scheduler scheduler not None, Lane lane not None, Flow flow not None) -> None:
    """Until there is more of it, or its end, in this thread. Raises EngineClosedError; a signal handler's exception."""
    cdef Waiter waiter = Waiter()
    flow.listener = waiter.news
    try:
        while not flow.has_news() and not waiter.told:
            if scheduler.closed:
                raise EngineClosedError("the engine was closed while this invocation ran")
            if scheduler.draining:
                scheduler.park(waiter)
                continue
            scheduler.draining = True
            try:
                scheduler.drain_until(waiter, lane)
            finally:
                scheduler.draining = False
                scheduler.call_next()
    finally:
        flow.listener = None
