"""F3: gives events to the environments of their functions, so that nobody else has to wait for it.

HOW MANY AT ONCE. What is in a lane runs in the order in which it came, so an event in it is an event that a caller
waits behind. A queue has as many in its lane as its environments have to do for AHEAD_NS, at least one for each, less
what callers have there; the rest is told to the scaling as the lane's backlog. Of a limit of concurrency that several
queues share each has an equal part at most. Where tenants are kept apart each event goes to its tenant's lane, and so
that no tenant holds up another, those whose lane is full are passed over, up to PASSED_MAX of them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from ..._ext.event import Event, EventQueue, Traffic
from ..._ext.lane import Lane
from ..._ext.meter import Quota
from ...clock import Timing
from ...errors import EngineClosedError, EngineError, LambdaError, ResourceNotFoundException, TooManyRequestsException
from ...wire.payload import tenant_of
from ..pools import Pool
from ..routes import Split, Tenanted
from .lineage import counts_of, header_of, is_recursive, key_of
from .queues import EventQueues
from .rules import Condition, back_off_s, is_too_old

AHEAD_NS: Final = 200_000
AHEAD_MOST: Final = 64  # for one environment
PASSED_MAX: Final = 256

log = logging.getLogger("engine.events")


class Runner(Protocol):
    """Where functions are found."""

    def lane(self, reference: str, qualifier: str | None = None) -> Lane:
        """Raises ResourceNotFoundException, and what keeps a function from being run."""

    def route(self, reference: str, qualifier: str | None = None) -> Lane | Split | Tenanted:
        """As `lane`; of an alias with weights both lanes, and where tenants' lanes are found."""

    def lane_in(self, home: Pool, tenant_id: str) -> Lane | None:
        """A tenant's lane; None where the version is replaced. Raises as `lane`, and TooManyRequestsException."""

    def arn(self, name: str) -> str:
        """Unqualified."""

    def allows_recursion(self, name: str) -> bool:
        """Whether it may be called by itself as often as it likes."""


class Feeder:
    """`give_up(event, condition)` ends an event that is not run; `renew(queue)` takes a new look at its terms;
    `drop(queue, why)` forgets one whose function is no more."""

    def __init__(
        self,
        traffic: Traffic,
        runner: Runner,
        timing: Timing,
        *,
        give_up: Callable[[Event, Condition], None],
        renew: Callable[[EventQueue], None],
        drop: Callable[[EventQueue, str], None],
    ) -> None:
        self._traffic = traffic
        self._runner = runner
        self._timing = timing
        self._give_up = give_up
        self._renew = renew
        self._drop = drop
        self.queues: EventQueues
        self._busy: dict[Quota, int] = {}  # how many queues have something in flight under it
        self._splits: dict[EventQueue, Split] = {}  # of those whose events go to two versions
        self._passed: dict[EventQueue, Counter[Lane]] = {}  # of those with tenants: events passed over, by full lane
        self.closed = False
        self.resting = False  # what is under way ends, and nothing more begins

    def feed(self, queue: EventQueue) -> None:
        """Run as many of its events as there is room for now."""
        if queue.in_flight == 0:
            self._rest(queue)
        if self.closed or self.resting or queue.dropped or queue.pause is not None or not queue.window:
            return
        try:
            route = self._runner.route(queue.function, queue.reference)
        except ResourceNotFoundException as error:
            self._drop(queue, str(error))
            return
        except (EngineError, OSError) as error:  # its code cannot be read, or the like
            self._back_off(queue, error)
            return
        self._renew(queue)
        lane = self._take_route(queue, route)
        try:
            self._run(queue, lane, route)
        finally:
            if queue.in_flight and queue.quota is None:
                queue.quota = lane.quota
                self._busy[lane.quota] = self._busy.get(lane.quota, 0) + 1
            self._tell(queue)
        self.queues.fill(queue)

    def _take_route(self, queue: EventQueue, route: Lane | Split | Tenanted) -> Lane:
        """Have a queue's events go there from now on; lanes that they went to before need none for them any more."""
        if isinstance(route, Tenanted):
            self._passed.setdefault(queue, Counter())
            queue.lane = route.home.lane
            return queue.lane
        if route is queue.lane and queue not in self._splits:
            return queue.lane
        now = route.lanes if isinstance(route, Split) else (route,)
        for lane in self.lanes_of(queue):
            if lane not in now:
                lane.events = lane.backlog = 0
        queue.lane = now[0]
        if isinstance(route, Split):
            self._splits[queue] = route
        else:
            self._splits.pop(queue, None)
        return now[0]

    def forget(self, queue: EventQueue) -> None:
        """It is dropped: its lanes need no room for it any more."""
        for lane in self.lanes_of(queue):
            lane.backlog = 0
        self._splits.pop(queue, None)
        self._passed.pop(queue, None)

    def lanes_of(self, queue: EventQueue) -> tuple[Lane, ...]:
        """Where a queue's events go, of tenants where they wait for room; none where none went yet."""
        if queue in self._passed:
            return tuple(self._passed[queue])
        split = self._splits.get(queue)
        if split is not None:
            return split.lanes
        return () if queue.lane is None else (queue.lane,)

    def _run(self, queue: EventQueue, lane: Lane, route: Lane | Split | Tenanted) -> None:
        traffic, now_ms = self._traffic, self._timing.wall_ms()
        before = queue.in_flight
        try:
            if lane.quota.most == 0:
                while queue.window:
                    self._give_up(traffic.take(queue), "ZeroReservedConcurrency")
            if isinstance(route, Tenanted):
                self._run_tenanted(queue, route, now_ms)
            elif isinstance(route, Split):
                self._run_split(queue, route, now_ms)
            else:
                self._run_all(queue, lane, now_ms)
        except TooManyRequestsException as error:
            if queue.in_flight == 0:  # else the end of one of its own is what to wait for
                queue.throttles += 1
                self._back_off(queue, error)
        except (EngineError, OSError) as error:
            self._back_off(queue, error)
        if queue.in_flight > before:
            queue.failures = 0

    def _run_all(self, queue: EventQueue, lane: Lane, now_ms: int) -> None:
        room = self._room(queue, lane)
        while (event := self._traffic.run(queue, lane, room, now_ms)) is not None:
            if not self._run_special(event, lane, room, now_ms):
                return

    def _run_split(self, queue: EventQueue, split: Split, now_ms: int) -> None:
        """One after the other, each in its own lane: where that has no room, those behind it wait too."""
        while queue.window:
            event = self._traffic.take(queue)
            lane = split.lane_of(event.request_id)
            taken = queue.in_flight > 0 and lane.outstanding >= self._width(lane)
            room = 0 if taken else max(1, lane.quota.most // self._sharing(queue, lane))
            if not self._run_special(event, lane, room, now_ms):
                return

    def _run_tenanted(self, queue: EventQueue, route: Tenanted, now_ms: int) -> None:
        """In order for each tenant: where one's lane is full its events are passed over, and stay the first."""
        room = max(1, route.home.lane.quota.most // self._sharing(queue, route.home.lane))
        passed: list[Event] = []
        full: Counter[Lane] = Counter()
        try:
            while queue.window and len(passed) < PASSED_MAX:
                event = self._traffic.take(queue)
                if (condition := self._reason_not_to(event, now_ms)) is not None:
                    self._give_up(event, condition)
                    continue
                lane = self._lane_of(event, route) if queue.in_flight < room else None
                if lane is None:
                    self._traffic.put_back(event)
                    return
                if lane in full or (lane.events > 0 and lane.outstanding >= self._width(lane)):
                    full[lane] += 1
                    passed.append(event)
                else:
                    self._run_for_tenant(event, lane, now_ms)
        finally:
            for event in reversed(passed):
                self._traffic.put_back(event)
            for lane in self._passed[queue].keys() - full.keys():
                lane.backlog = 0
            self._passed[queue] = full
            for lane, waiting in full.items():
                lane.backlog = waiting

    def _lane_of(self, event: Event, route: Tenanted) -> Lane | None:
        """Of an event that was taken off, and is the next again where this raises. None: see `Runner.lane_in`."""
        try:
            return self._runner.lane_in(route.home_of(event.request_id), tenant_of(event.extra) or "")
        except BaseException:
            self._traffic.put_back(event)
            raise

    def _run_for_tenant(self, event: Event, lane: Lane, now_ms: int) -> None:
        try:
            self._traffic.run_one(event, lane, now_ms)
        except BaseException:
            self._traffic.put_back(event)
            raise
        event.lane = lane  # which counts it until it has ended
        lane.events += 1

    def _run_special(self, event: Event, lane: Lane, room: int, now_ms: int) -> bool:
        """Whether there may be room for another."""
        queue = event.queue
        if (condition := self._reason_not_to(event, now_ms)) is not None:
            self._give_up(event, condition)
            return True
        if queue.in_flight >= room:
            self._traffic.put_back(event)
            return False
        try:
            self._traffic.run_one(event, lane, now_ms)
        except BaseException:
            self._traffic.put_back(event)
            raise
        return True

    def _reason_not_to(self, event: Event, now_ms: int) -> Condition | None:
        if is_too_old(event.queue.terms, event.accepted_ms, now_ms):
            return "EventAgeExceeded"
        header = header_of(event.extra)
        if header is not None:
            runs = counts_of(header).get(key_of(self._runner.arn(event.queue.function)), 0)
            if is_recursive(runs) and not self._runner.allows_recursion(event.queue.function):
                return "RecursiveInvocation"
        return None

    def _room(self, queue: EventQueue, lane: Lane) -> int:
        """How many of its events may be in flight."""
        callers = max(0, lane.outstanding - queue.in_flight)
        wanted = max(1, self._width(lane) - callers)
        return min(wanted, max(1, lane.quota.most // self._sharing(queue, lane)))

    def _width(self, lane: Lane) -> int:
        """How many its environments may have between them."""
        return max(1, lane.ready + lane.starting) * self._ahead(lane)

    def _ahead(self, lane: Lane) -> int:
        """How many an environment may have in its lane."""
        return max(1, min(AHEAD_MOST, int(AHEAD_NS / lane.service_ns))) if lane.service_ns else 1

    def _sharing(self, queue: EventQueue, lane: Lane) -> int:
        """Among how many queues the lane's limit of concurrency is dealt out."""
        return max(1, self._busy.get(lane.quota, 0) + (queue.quota is None))

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

    def not_run(self, event: Event, error: object) -> None:
        """It was in flight and no function saw to its end: the function was replaced, or the system failed."""
        if self.closed:
            return
        self._traffic.put_back(event)
        if not isinstance(error, EngineClosedError):
            self._back_off(event.queue, error if isinstance(error, Exception) else EngineError(str(error)))

    def _rest(self, queue: EventQueue) -> None:
        """Nothing of it is in flight any more."""
        if queue.quota is not None:
            left = self._busy.pop(queue.quota) - 1
            if left:
                self._busy[queue.quota] = left
            queue.quota = None
            self._tell(queue)

    def _tell(self, queue: EventQueue) -> None:
        """Have the scaling know how much there is to do. Of tenants it knows by lane already."""
        if queue in self._passed:
            return
        backlog = 0 if queue.pause is not None else max(0, queue.to_run)
        split = self._splits.get(queue)
        if split is not None:
            for (lane, running), (_, waiting) in zip(split.shares(queue.in_flight), split.shares(backlog), strict=True):
                lane.events, lane.backlog = running, waiting
        elif queue.lane is not None:
            queue.lane.events, queue.lane.backlog = queue.in_flight, backlog
