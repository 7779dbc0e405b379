"""F5: what came of the calls: counts, bills, latencies, and all of it over time. No clock and no target here.

On the path of a call it only stores four numbers; they are counted in batches, at the latest with the next tick.

service: from sending to the answer. latency: from when the call was meant to be sent, so that a stall is charged with
every call that it delayed. lateness: the difference, which is the generator's own and the loop's. Only answers have
latencies, function errors among them; throttled, refused and failed calls are counted, not timed.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import numpy as np
import orjson

from .. import errors
from .distribution import Array, Counts
from .targets import Answered
from .timeline import Timeline

Kind: TypeAlias = Literal["function", "throttle", "refusal", "transport"]

BATCH: Final = 1_024  # calls, each four numbers
TYPES_MAX: Final = 100  # of errors that are told apart, per function; the rest is OTHER
OTHER: Final = "(other)"


@dataclass(slots=True)
class FunctionTally:
    """One function's part."""

    name: str
    answered: int = 0
    warm: int = 0
    not_sent: int = 0
    billed_ms: int = 0
    mb_ms: int = 0
    unbilled: int = 0  # answers that did not tell what they were billed
    starts: Counter[str] = field(default_factory=Counter)
    errors: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    service: Counts = field(default_factory=Counts)
    latency: Counts = field(default_factory=Counts)

    def erred(self, kind: Kind, name: str) -> None:
        key = (kind, name)
        if key not in self.errors and len(self.errors) >= TYPES_MAX:
            key = (kind, OTHER)
        self.errors[key] += 1


class Tally:
    """Counts of one run that begins at `start_ns` and has a bin of its timeline per `bin_ns`."""

    def __init__(self, names: list[str], start_ns: int, bin_ns: int) -> None:
        self.functions = [FunctionTally(name) for name in names]
        self.timeline = Timeline(start_ns, bin_ns)
        self.service, self.latency, self.lateness = Counts(), Counts(), Counts()
        self.service_max_ns = self.latency_max_ns = self.lateness_max_ns = 0
        self.recent: Array = np.zeros(0, np.int64)  # latencies of the last batch
        self._samples = array("q")

    def answered(self, index: int, result: Answered, intended_ns: int, sent_ns: int, done_ns: int) -> None:
        """An answer, be it a function's error."""
        samples, function = self._samples, self.functions[index]
        samples.extend((index, intended_ns, sent_ns, done_ns))
        start = result.start
        if start == "warm":
            function.warm += 1
        else:
            function.starts[start] += 1
            if start != "unknown":
                self.timeline.cold(done_ns)
        if result.function_error is not None:
            self.timeline.erred(done_ns)
            function.erred("function", error_type(result.payload))
        billed_ms, memory_mb = result.billed_ms, result.memory_mb
        if billed_ms is None or memory_mb is None:
            function.unbilled += 1
        else:
            function.billed_ms += billed_ms
            function.mb_ms += billed_ms * memory_mb
        if len(samples) >= BATCH * 4:
            self.flush()

    def failed(self, index: int, error: Exception, intended_ns: int, done_ns: int) -> None:
        """A call that ended with an exception instead of an answer."""
        kind, name = failure_type(error)
        self.functions[index].erred(kind, name)
        self.timeline.asked(intended_ns)
        self.timeline.erred(done_ns)

    def not_sent(self, index: int, intended_ns: int) -> None:
        """An arrival for which there was no room or no time."""
        self.functions[index].not_sent += 1
        self.timeline.asked(intended_ns)

    def flush(self) -> None:
        """Count what was stored."""
        if not self._samples:
            return
        index, intended, sent, done = np.array(self._samples, np.int64).reshape(-1, 4).T
        del self._samples[:]
        service, latency, lateness = done - sent, done - intended, sent - intended
        self.service.add(service)
        self.latency.add(latency)
        self.lateness.add(lateness)
        self.service_max_ns = max(self.service_max_ns, int(service.max()))
        self.latency_max_ns = max(self.latency_max_ns, int(latency.max()))
        self.lateness_max_ns = max(self.lateness_max_ns, int(lateness.max()))
        self.recent = latency
        for number in np.unique(index):
            function, its = self.functions[number], index == number
            function.answered += int(its.sum())
            function.service.add(service[its])
            function.latency.add(latency[its])
        self.timeline.answered(intended, done, latency)

    @property
    def count_answered(self) -> int:
        """As of the last flush."""
        return sum(function.answered for function in self.functions)

    @property
    def count_errors(self) -> int:
        return sum(function.errors.total() for function in self.functions)


def error_type(payload: bytes) -> str:
    """The `errorType` of Lambda's error document."""
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return "not JSON"
    return str(document.get("errorType", "no errorType"))[:200] if isinstance(document, dict) else "no errorType"


def failure_type(error: Exception) -> tuple[Kind, str]:
    if isinstance(error, errors.TooManyRequestsException):
        return "throttle", error.reason or error.type
    if isinstance(error, errors.LambdaError):
        return "refusal", error.type
    return "transport", type(error).__name__
