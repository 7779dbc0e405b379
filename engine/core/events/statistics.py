"""F3: what happened to events, as plain values, by the names of Lambda's metrics where it has one."""

from __future__ import annotations

from typing import Any

from ..._ext.event import EventQueue
from ...records.statistics import histogram_statistics


def queue_statistics(queue: EventQueue, oldest_ms: int | None, now_ms: int) -> dict[str, Any]:
    """Events of one function reference.

    AsyncEventsReceived, AsyncEventAge (from accepted to put into a lane, in ms), AsyncEventsDropped (given up without
    success), RecursiveInvocationsDropped, DestinationDeliveryFailures, DeadLetterErrors: as CloudWatch has them, since
    the engine was opened; so retries, throttles (tries that found no concurrency), destinations_delivered (dead letters
    too). depth: accepted and not done now, of which in_flight run and put_off wait for a retry. bytes: of payloads.
    oldest_age_ms: of the oldest of them, None where there are none. backing_off: it could not be run, and waits.
    """
    return {
        "AsyncEventsReceived": queue.received,
        "AsyncEventAge": histogram_statistics(queue.ages),
        "AsyncEventsDropped": queue.lost,
        "RecursiveInvocationsDropped": queue.recursive,
        "DestinationDeliveryFailures": queue.undelivered,
        "DeadLetterErrors": queue.undead,
        "retries": queue.retries,
        "throttles": queue.throttles,
        "destinations_delivered": queue.delivered,
        "depth": queue.events,
        "bytes": queue.length,
        "in_flight": queue.in_flight,
        "put_off": queue.put_off,
        "oldest_age_ms": None if oldest_ms is None else max(0, now_ms - oldest_ms),
        "backing_off": queue.pause is not None,
    }
