"""F3: the life of an event: accepted once it is on disk, run, tried again or ended, and its result sent on.

AT LEAST ONCE. An event that was accepted is run until its function has answered, it has failed for good or it is too
old. It may be run again where the engine is killed after the run and before that was written (a few milliseconds), or
while it runs; nothing else repeats one. What follows from its end - a parcel for each destination, or an event for a
function - is written in the commit that removes it.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from asyncio import InvalidStateError
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from ..._ext.event import Event, EventQueue, Traffic
from ..._ext.lane import Lane
from ..._ext.result import InvokeResult, uuid_text
from ..._ext.scheduler import Scheduler
from ...clock import Timing
from ...config import ASYNC_EVENT_MAX_BYTES, EVENT_QUEUE_BYTES, EVENTS_MAX
from ...errors import EngineClosedError, EngineError, ServiceException, TooManyRequestsException
from ...store.event_store import Opening, Step
from ...store.snapshot import LATEST
from ...wire.payload import too_large
from ..routes import Split, Tenanted
from . import lineage, records
from .couriers import Courier
from .deliveries import Deliveries
from .feeder import Feeder, Runner
from .keeper import Keeper
from .parcels import destination_kind
from .pen import Pen
from .queues import WINDOW_EVENTS, WINDOWS_BYTES, EventQueues
from .records import Response
from .rules import Again, Condition, Terms, after_error
from .statistics import queue_statistics

WAITING_BYTES: Final = 268_435_456  # accepted and not written yet
FREE_BYTES: Final = 262_144  # https://aws.amazon.com/lambda/pricing/: one more request for each 64 KB above
RECURSIVE: Final = Response(400, function_error="RecursiveInvocationException")
MESSAGES: Final = {  # of dead letters, where no function said anything
    "ZeroReservedConcurrency": "Function not invoked. Function is configured with zero reserved concurrent executions",
    "EventAgeExceeded": "Rate Exceeded.",
    "RecursiveInvocation": "The function was invoked in a recursive loop and is stopped",
}

log = logging.getLogger("engine.events")


class Waiting(Protocol):
    """Whoever waits for an event to be accepted: a future, or a door's ticket."""

    def set_result(self, result: InvokeResult) -> object: ...

    def set_exception(self, error: BaseException) -> object: ...


class Told:
    """Waits for an event to be accepted: `done` is told None, or what refused it."""

    def __init__(self, done: Callable[[BaseException | None], object]) -> None:
        self._done = done

    def set_result(self, _: InvokeResult) -> None:
        self._done(None)

    def set_exception(self, error: BaseException) -> None:
        self._done(error)


class Place(Runner, Protocol):
    """The engine around events."""

    @property
    def splits(self) -> Mapping[tuple[str, str | None], Split | Tenanted]:
        """References, as they were last given to `lane`, that lead to more than one lane."""

    def names(self, reference: str, qualifier: str | None) -> tuple[str, str | None]:
        """Bare name and qualifier."""

    def catalog(self) -> object:
        """What `terms` depends on: another object whenever anything in it has changed."""

    def terms(self, function: str, qualifier: str) -> Terms:
        """What is asked for events. Raises ResourceNotFoundException."""

    def charge(self, lane: Lane, size: int) -> None:
        """An event of so many bytes, which are more than come free, was accepted."""

    def watch(self, on: bool) -> None:
        """Whether answers to events are to be drained on the loop."""


class EventLifecycle:
    """All events of one engine. Everything is called on the loop's thread, but for what lanes tell of their ends.

    `soon(call)` calls in the loop's next turn, from any thread.
    """

    def __init__(
        self,
        place: Place,
        scheduler: Scheduler,
        keeper: Keeper,
        courier: Courier,
        timing: Timing,
        soon: Callable[..., object],
    ) -> None:
        self._place = place
        self._keeper = keeper
        self._courier = courier
        self._timing = timing
        self._soon = soon
        self._watching = False
        self._at_rest: asyncio.Event | None = None
        self._large: set[Event] = set()  # of those that are not written yet
        self._asked: set[asyncio.Future[dict[int, int]]] = set()
        self.traffic = Traffic(
            scheduler,
            lambda: soon(self._settle),
            events_most=EVENTS_MAX,
            bytes_most=EVENT_QUEUE_BYTES,
            window_events=WINDOW_EVENTS,
            window_bytes_most=WINDOWS_BYTES,
        )
        self.pen = Pen(keeper, timing, soon, on_appended=self._accepted)
        self._feeder = Feeder(self.traffic, place, timing, give_up=self._give_up, renew=self._renew, drop=self._drop)
        self.queues = self._feeder.queues = EventQueues(
            self.traffic, keeper, self.pen, timing, feed=self._feed, names=place.names
        )
        self.deliveries = Deliveries(
            keeper, self.pen, timing, courier, invoke=self._invoke_with_record, count=self._count_delivery
        )

    # --- opening and closing ------------------------------------------------------------------------------------------

    def begin(self, opening: Opening) -> None:
        """Go on with what was found."""
        self._keeper.attach()
        self.queues.load(opening.last, opening.queues)
        self.deliveries.begin(opening.parcels)
        self.queues.begin()

    async def drain(self, within_s: float) -> bool:
        """Begin no more events, and wait for those under way. Whether all of them ended in that time."""
        self._feeder.resting = True
        if self.traffic.in_flight:
            self._at_rest = asyncio.Event()
            try:
                await asyncio.wait_for(self._at_rest.wait(), within_s)
            except TimeoutError:
                return False
        return True

    def stop(self) -> None:
        """Run no more; what was accepted is kept. Then `close`, which blocks, from any thread."""
        self._feeder.closed = True
        self._settle()
        self.queues.close()
        self.deliveries.close()
        self.pen.flush()
        for event in self.pen.unwritten():
            told = "the engine was closed while this event was written: it may run when its data_dir is opened again"
            self._refuse(event, EngineClosedError(told))
        self._keeper.detach()
        for asked in list(self._asked):
            asked.cancel()

    def close(self) -> None:
        """Return once all that happened is written."""
        self._courier.close()
        self._keeper.close()

    # --- accepting ----------------------------------------------------------------------------------------------------

    def accept(
        self,
        lane: Lane,
        reference: str,
        qualifier: str | None,
        payload: bytes,
        extra: bytes,
        waiting: Waiting,
        steps: Sequence[Step] = (),
    ) -> None:
        """Keep an event for a function that exists; `waiting` is told once it is on disk, and `steps` with it.

        Raises RequestTooLargeException, TooManyRequestsException where too many wait already, EngineClosedError.
        """
        if self._feeder.closed:
            raise EngineClosedError("the engine is closed")
        if len(payload) > ASYNC_EVENT_MAX_BYTES:
            raise too_large(len(payload), ASYNC_EVENT_MAX_BYTES)
        if self._keeper.waiting_bytes > WAITING_BYTES:
            raise TooManyRequestsException("Rate Exceeded.", reason="CallerRateLimitExceeded")
        queue = self.queues.queue(reference, qualifier)
        event = self.traffic.accept(queue, lane, payload, extra, self._timing.wall_ms(), waiting)
        split = self._place.splits.get((reference, qualifier))
        if split is not None:
            event.lane = split.lane_of(event.request_id)
        if len(payload) > FREE_BYTES:
            self._large.add(event)
        self.pen.append(event, steps)

    def _accepted(self, events: list[Event], error: str | None) -> None:
        if error is not None:
            for event in events:
                self._refuse(event, ServiceException(error))
            return
        for event in self._large.intersection(events) if self._large else ():
            self._large.discard(event)
            if event.lane is not None:
                self._place.charge(event.lane, len(event.payload))
        touched = self.traffic.written(events)
        for queue in touched:
            if queue.dropped:  # while these were on their way
                self.pen.step("drop", queue.id)
        self._feed_all(touched)

    def _refuse(self, event: Event, error: EngineError) -> None:
        self.traffic.dismiss(event)
        self._large.discard(event)
        try:
            event.waiting.set_exception(error)
        except InvalidStateError:  # whoever called stopped waiting
            pass

    # --- running ------------------------------------------------------------------------------------------------------

    def _feed(self, queue: EventQueue) -> None:
        self._feeder.feed(queue)
        if (self.traffic.in_flight > 0) != self._watching:
            self._watching = self.traffic.in_flight > 0
            self._place.watch(self._watching)

    def _feed_all(self, queues: list[EventQueue]) -> None:
        for queue in queues:
            self._feed(queue)

    def more_room(self, lane: Lane) -> None:
        """A lane whose events wait for room has an environment more."""
        for queue in self.queues.all():
            if lane in self._feeder.lanes_of(queue):
                self._feed(queue)

    def _renew(self, queue: EventQueue) -> None:
        catalog = self._place.catalog()
        if queue.terms_of is not catalog:
            queue.terms = self._place.terms(queue.function, queue.qualifier)
            queue.age_ms = queue.terms.age_ms
            queue.keeps_success = queue.terms.on_success is not None
            queue.terms_of = catalog

    def _settle(self) -> None:
        """See to all that has ended since the last turn."""
        done: list[int] = []
        others: list[tuple[Event, object]] = []
        touched = self.traffic.settle(done, others)
        if done:
            self.pen.remove(done)
        for event, outcome in others:
            if event.queue.dropped:
                continue  # its function was deleted while it ran
            if isinstance(outcome, InvokeResult):
                self._answered(event, outcome)
            else:
                self._feeder.not_run(event, outcome)
        self._feed_all(touched)
        if self._at_rest is not None and self.traffic.in_flight == 0:
            self._at_rest.set()

    def _answered(self, event: Event, result: InvokeResult) -> None:
        event.attempts += 1
        if result.function_error is None:
            self._end(event, "Success", result)
            return
        terms, now_ms = event.queue.terms, self._timing.wall_ms()
        what = after_error(terms, event.attempts, event.accepted_ms, now_ms)
        if isinstance(what, Again):
            event.queue.retries += 1
            self.queues.put_off(event, what.due_ms)
        else:
            self._end(event, what, result)

    # --- ending -------------------------------------------------------------------------------------------------------

    def _give_up(self, event: Event, condition: Condition) -> None:
        """It is not run, or not again."""
        self._end(event, condition, None)

    def _end(self, event: Event, condition: Condition, result: InvokeResult | None) -> None:
        queue, terms = event.queue, event.queue.terms
        succeeded = condition == "Success"
        queue.lost += not succeeded
        queue.recursive += condition == "RecursiveInvocation"
        target = terms.on_success if succeeded else terms.on_failure
        if target is not None:
            self._send_record(event, condition, result, target)
        if not succeeded and terms.dead_letter is not None:
            self._send_dead_letter(event, condition, result, terms.dead_letter)
        self.pen.remove([event.seq])
        self.traffic.dismiss(event)

    def _send_record(self, event: Event, condition: Condition, result: InvokeResult | None, target: str) -> None:
        arn, now_ms = self._arn(event), self._timing.wall_ms()
        record = records.invocation_record(
            request_id=uuid_text(event.request_id),
            function_arn=arn,
            condition=condition,
            attempts=event.attempts,
            when_ms=now_ms,
            event=event.payload,
            response=_response(condition, result),
        )
        if destination_kind(target) == "lambda":
            header = lineage.header_of(event.extra) or lineage.beginning(
                uuid_text(event.request_id), self._place.arn(event.queue.function)
            )
            body: dict[str, Any] = {"function": target, "payload": record, "trace": header}
        else:
            body = records.destination(
                target,
                record,
                succeeded=condition == "Success",
                function_arn=arn,
                when_ms=now_ms,
                unique=str(uuid.uuid4()),
            ).to_map()
        self.deliveries.add(self.queues.new_number(), event.queue.id, body)

    def _send_dead_letter(self, event: Event, condition: Condition, result: InvokeResult | None, target: str) -> None:
        response = _response(condition, result)
        told = MESSAGES.get(condition, "") if result is None else records.error_message(result.payload)
        parcel = records.dead_letter(
            target,
            event.payload,
            request_id=uuid_text(event.request_id),
            status_code=None if response is None else response.status_code,
            error_message=told,
        )
        self.deliveries.add(self.queues.new_number(), event.queue.id, {**parcel.to_map(), "dead_letter": True})

    def _arn(self, event: Event) -> str:
        arn = self._place.arn(event.queue.function)
        return f"{arn}:{event.queue.qualifier}" if event.queue.qualifier else arn

    def _invoke_with_record(self, body: dict[str, Any], done: Callable[[str | None], None]) -> None:
        """A destination that is a function here gets the record as an event of its own."""
        target = body["function"]

        def told(error: BaseException | None) -> None:
            done(None if error is None else f"{target}: {error}")

        try:
            lane = self._place.lane(target)
            name, _ = self._place.names(target, None)
            hop = lineage.arriving(body["trace"], self._place.arn(name))
            extra = lineage.with_header(b"", hop.header)
            self.accept(lane, target, None, body["payload"], extra, Told(told))
        except (EngineError, OSError) as error:
            refused = error
            self._soon(lambda: told(refused))

    def _count_delivery(self, number: int, is_dead_letter: bool, delivered: bool) -> None:
        queue = self.queues.by_id(number)
        if queue is None:
            return
        if delivered:
            queue.delivered += 1
        elif is_dead_letter:
            queue.undead += 1
        else:
            queue.undelivered += 1

    # --- what happened ------------------------------------------------------------------------------------------------

    async def statistics(self, function: str | None) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
        """By function, or of one, and by qualifier: see `queue_statistics`. And of all together."""
        now_ms = self._timing.wall_ms()
        queues = [queue for queue in self.queues.all() if function in (None, queue.function)]
        oldest = await self._oldest_ms() if any(queue.events for queue in queues) else {}
        told: dict[str, dict[str, Any]] = {}
        for queue in queues:
            by_qualifier = told.setdefault(queue.function, {})
            by_qualifier[queue.qualifier or LATEST] = queue_statistics(queue, oldest.get(queue.id), now_ms)
        return told, {
            "depth": self.traffic.events,
            "bytes": self.traffic.length,
            "in_memory_bytes": self.traffic.window_bytes,
            "destinations_waiting": self.deliveries.waiting,
        }

    async def _oldest_ms(self) -> dict[int, int]:
        answer: asyncio.Future[dict[int, int]] = asyncio.get_running_loop().create_future()
        self._asked.add(answer)
        answer.add_done_callback(self._asked.discard)
        self.pen.flush()

        def answered(error: str | None, result: Any) -> None:
            if not answer.done():
                answer.set_result({} if error is not None else result)

        self._keeper.ask("oldest_ms", (), answered)
        return await answer

    def forget(self, function: str) -> None:
        """A function was deleted: its events go with it."""
        for queue in self.queues.all():
            if queue.function == function:
                self._drop(queue, f"{function} was deleted")

    def _drop(self, queue: EventQueue, why: str) -> None:
        self._feeder.forget(queue)
        lost = self.queues.drop(queue)
        if lost:
            log.warning("%d events are dropped: %s", lost, why)


def _response(condition: Condition, result: InvokeResult | None) -> Response | None:
    if condition == "RecursiveInvocation":
        return RECURSIVE
    if result is None:
        return None
    return Response(result.status_code, result.executed_version, result.function_error, result.payload)
