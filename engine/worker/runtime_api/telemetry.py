"""Telemetry: what is told of an environment's life, and what it prints, to the extensions that have subscribed.

What comes before the end of init is kept for those who subscribe later, in bounds: the first record is of a time when
no extension has been started.
"""

from __future__ import annotations

import json
import time

from ...records.report import iso_ms
from .delivery import Delivery
from .loop import Loop
from .subscription import LOGS, Subscription

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

KEPT_BYTES = 1_048_576  # of records before the end of init
PLATFORM: Final = "platform"
FELL_BEHIND = "Consumer seems to have fallen behind as it has not acknowledged receipt of logs."
LOGS_ONLY = ("platform.end", "platform.fault")
TELEMETRY_ONLY = ("platform.initStart", "platform.initRuntimeDone", "platform.initReport")
FIELDS_OF_LOGS: Final = {  # what the older interface has of a record
    "platform.start": ("requestId", "version"),
    "platform.report": ("requestId", "metrics"),
    "platform.runtimeDone": ("requestId", "status"),
}
METRICS_OF_LOGS = ("durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs")


class Telemetry:
    """`as_json`: what the function prints are JSON objects, which newer schemas hand on as such."""

    def __init__(self, loop: Loop, *, as_json: bool) -> None:
        self._loop, self._as_json = loop, as_json
        self._subscribers: dict[str, tuple[Subscription, Delivery]] = {}
        self._kept: list[tuple[str, str, Any]] | None = []
        self._kept_bytes = 0

    def platform(self, kind: str, record: Mapping[str, Any] | str) -> None:
        """Something of the platform's: `kind` is platform.start and its like."""
        self._add(PLATFORM, kind, record, 200)

    def line(self, source: str, text: str) -> None:
        """A line that was printed; source: function or extension."""
        self._add(source, source, text, len(text))

    def _add(self, category: str, kind: str, record: Any, size: int) -> None:
        told = iso_ms(time.time_ns() // 1_000_000), kind, record
        for subscription, delivery in self._subscribers.values():
            if category in subscription.types:
                self._send(subscription, delivery, told)
        if self._kept is not None and self._kept_bytes < KEPT_BYTES:
            self._kept.append(told)
            self._kept_bytes += size

    def _send(self, subscription: Subscription, delivery: Delivery, told: tuple[str, str, Any]) -> None:
        when, kind, record = told
        shaped = self._shaped(subscription, kind, record)
        if shaped is not None:
            event = {"time": when, "type": kind, "record": shaped}
            delivery.add(json.dumps(event, separators=(",", ":")).encode())

    def _shaped(self, subscription: Subscription, kind: str, record: Any) -> Any:
        """As this subscriber has asked for it; None for what its schema does not have."""
        if subscription.dialect is LOGS:
            return _of_logs(subscription.schema, kind, record)
        if kind in LOGS_ONLY:
            return None
        if kind == "function" and self._as_json and subscription.schema != subscription.dialect.schemas[0]:
            return _object(record)
        return record

    # --- subscribers --------------------------------------------------------------------------------------------------

    def may_subscribe(self, name: str, subscription: Subscription) -> bool:
        """False for who has subscribed by the other interface."""
        before = self._subscribers.get(name)
        return before is None or before[0].dialect is subscription.dialect

    def subscribe(self, name: str, subscription: Subscription) -> None:
        """Send it what has been, and what comes. A second time changes nothing but what is asked for."""
        state = {"name": name, "state": "Subscribed", "types": list(subscription.types)}
        if name not in self._subscribers:
            delivery = Delivery(self._loop, subscription, lambda records, lost: self._dropped(name, records, lost))
            self._subscribers[name] = subscription, delivery
            for told in self._kept or []:
                if told[1].partition(".")[0] in subscription.types:
                    self._send(subscription, delivery, told)
        kind = "logsSubscription" if subscription.dialect is LOGS else "telemetrySubscription"
        self.platform(f"platform.{kind}", state)

    def _dropped(self, name: str, records: int, lost: int) -> None:
        subscription, delivery = self._subscribers[name]
        record = {"droppedBytes": lost, "droppedRecords": records, "reason": FELL_BEHIND}
        self._send(subscription, delivery, (iso_ms(time.time_ns() // 1_000_000), "platform.logsDropped", record))

    def close(self) -> None:
        """Init is over: who has not subscribed will not."""
        self._kept = None

    @property
    def is_closed(self) -> bool:
        return self._kept is None

    @property
    def is_delivered(self) -> bool:
        """Whether every subscriber has taken everything."""
        return all(delivery.is_done for _, delivery in self._subscribers.values())

    def flush(self) -> None:
        """Send what is gathered."""
        for _, delivery in self._subscribers.values():
            delivery.flush()


def _of_logs(schema: str, kind: str, record: Any) -> Any:
    if kind in TELEMETRY_ONLY or (kind == "platform.runtimeDone" and schema == LOGS.schemas[0]):
        return None
    if kind not in FIELDS_OF_LOGS:
        return record
    shaped = {name: record[name] for name in FIELDS_OF_LOGS[kind] if name in record}
    if "metrics" in shaped:
        shaped["metrics"] = {name: shaped["metrics"][name] for name in METRICS_OF_LOGS if name in shaped["metrics"]}
    return shaped


def _object(line: str) -> Any:
    if not line.startswith("{"):
        return line
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line
