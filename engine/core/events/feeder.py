"""F3: gives events to the environments of their functions, so that nobody else has to wait for it.

HOW MANY AT ONCE. What is in a lane runs in the order in which it came, so an event in it is an event that a caller
waits behind. A queue has as many in its lane as its environments have to do for AHEAD_NS, at least one for each, less
what callers have there; the rest is told to the scaling as the lane's backlog. Of a limit of concurrency that several
queues share each has an equal part at most.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

from ..._ext.lane import Lane
from ..._ext.meter import Quota
from ...clock import Timing
from ...config import HOPS_MAX
from ...errors import EngineClosedError, EngineError, LambdaError, ResourceNotFoundException, TooManyRequestsException
from .lineage import counts_of, header_of, key_of
from .queue import Event, EventQueue
from .queues import EventQueues
from .rules import Condition, back_off_s, is_too_old

AHEAD_NS: Final = 200_000
AHEAD_MOST: Final = 64  # for one environment

log = logging.getLogger("engine.events")


class Runner(Protocol):
    """What runs events: the engine's dispatch and scheduler."""

    def lane(self, reference: str, qualifier: str | None = None) -> Lane:
        """Raises ResourceNotFoundException, and what keeps a function from being run."""

    def post(self, lane: Lane, request_id: bytes, payload: bytes, extra: bytes, waiter: object) -> None:
        """Accept it; TooManyRequestsException where there is no concurrency left for it."""

    def arn(self, name: str) -> str:
        """Unqualified."""


class Feeder:
    """`give_up(event, condition)` ends an event that is not run; `renew(queue)` takes a new look at its terms;
    `drop(queue, why)` forgets one whose function is no more."""

    def __init__(
        self,
        runner: Runner,
        timing: Timing,
        *,
        give_up: Callable[[Event, Condition], None],
        renew: Callable[[EventQueue], None],
        drop: Callable[[EventQueue, str], None],
    ) -> None:
        self._runner = runner
        self._timing = timing
        self._give_up = give_up
        self._renew = renew
        self._drop = drop
        self.queues: EventQueues
        self._busy: dict[Quota, int] = {}  # how many queues have something in flight under it
        self.closed = False

    def feed(self, queue: EventQueue) -> None:
        """Run as many of its events as there is room for now."""
        if self.closed or queue.pause is not None or not queue.window:
            return
        try:
            lane = self._runner.lane(queue.function, queue.reference)
        except ResourceNotFoundException as error:
            self._drop(queue, str(error))
            return
        except (EngineError, OSError) as error:  # its code cannot be read, or the like
            self._back_off(queue, error)
            return
        self._renew(queue)
        queue.lane = lane
        try:
            self._run(queue, lane, self._room(queue, lane))
        finally:
            _tell(queue)

    def _run(self, queue: EventQueue, lane: Lane, room: int) -> None:
        queues, now_ms = self.queues, self._timing.wall_ms()
        none_reserved = lane.quota.most == 0
        while queue.window:
            event = queues.take(queue)
            condition = self._reason_not_to(event, now_ms, none_reserved)
            if condition is not None:
                self._give_up(event, condition)
                continue
            if room <= 0:
                queues.put_back(event)
                break
            try:
                self._runner.post(lane, event.request_id, event.payload, event.extra, event)
            except TooManyRequestsException as error:
                queues.put_back(event)
                if queue.in_flight == 0:  # else the end of one of its own is what to wait for
                    queue.counts.throttles += 1
                    self._back_off(queue, error)
                break
            except (EngineError, OSError) as error:
                queues.put_back(event)
                self._back_off(queue, error)
                break
            room -= 1
            queue.failures = 0
            queue.in_flight += 1
            if queue.quota is None:
                queue.quota = lane.quota
                self._busy[lane.quota] = self._busy.get(lane.quota, 0) + 1
            queue.counts.ages.record(max(0, now_ms - event.accepted_ms) * 1_000_000)
        queues.fill(queue)

    def _reason_not_to(self, event: Event, now_ms: int, none_reserved: bool) -> Condition | None:
        if none_reserved:
            return "ZeroReservedConcurrency"
        if is_too_old(event.queue.terms, event.accepted_ms, now_ms):
            return "EventAgeExceeded"
        if event.extra and (header := header_of(event.extra)) is not None:
            earlier = counts_of(header).get(key_of(self._runner.arn(event.queue.function)), 0)
            if earlier >= HOPS_MAX:
                return "RecursiveInvocation"
        return None

    def _room(self, queue: EventQueue, lane: Lane) -> int:
        width = max(1, lane.ready + lane.starting)
        ahead = min(AHEAD_MOST, int(AHEAD_NS / lane.service_ns)) if lane.service_ns else 1
        callers = max(0, lane.outstanding - queue.in_flight)
        wanted = max(1, width * max(1, ahead) - callers)
        sharing = self._busy.get(lane.quota, 0) + (queue.quota is None)
        return min(wanted, max(1, lane.quota.most // sharing)) - queue.in_flight

    def _back_off(self, queue: EventQueue, error: Exception) -> None:
        """The function cannot be run now; the longer so, the more seldom it is tried."""
        if queue.pause is not None or self.closed:
            return
        queue.failures += 1
        if not isinstance(error, LambdaError):
            log.warning("events of %s wait: %s", queue.function, error)

        def go_on() -> None:
            queue.pause = None
            self.feed(queue)

        queue.pause = self._timing.after(back_off_s(queue.failures), go_on)

    # --- ends ---------------------------------------------------------------------------------------------------------

    def ended(self, event: Event) -> None:
        """One of those in flight has ended, however."""
        queue = event.queue
        queue.in_flight -= 1
        if queue.in_flight == 0 and queue.quota is not None:
            left = self._busy.pop(queue.quota) - 1
            if left:
                self._busy[queue.quota] = left
            queue.quota = None
            _tell(queue)

    def not_run(self, event: Event, error: BaseException) -> None:
        """It was in flight and no function saw to its end: the function was replaced, or the system failed."""
        if self.closed:
            return
        self.queues.put_back(event)
        if not isinstance(error, EngineClosedError):
            self._back_off(event.queue, error if isinstance(error, Exception) else EngineError(str(error)))


def _tell(queue: EventQueue) -> None:
    """Have the scaling know how much there is to do."""
    if queue.lane is not None:
        queue.lane.events = queue.in_flight
        queue.lane.backlog = 0 if queue.pause is not None else max(0, queue.waiting)
