"""F3: the engine as events see it: who runs them, what is asked of them, what they cost. And where they are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..._ext.lane import Lane
from ..._ext.scheduler import Scheduler
from ...clock import Timing
from ...records.ledger import InvocationLedger
from ...store.catalog import Catalog
from ...store.snapshot import LATEST
from ..dispatch import Dispatch
from .keeper import Keeper, MemoryKeeper, ProcessKeeper, Watcher
from .lifecycle import FREE_BYTES
from .rules import Terms

EVENTS_NAME: Final = "events.db"
STEP_BYTES: Final = 65_536


class EnginePlace:
    """See `lifecycle.Place`. `watch(on)` has answers drained on the loop for as long as events are in flight."""

    def __init__(
        self,
        catalog: Catalog,
        dispatch: Dispatch,
        scheduler: Scheduler,
        ledger: InvocationLedger,
        watch: Callable[[bool], None],
    ) -> None:
        self._catalog = catalog
        self._ledger = ledger
        self.lane = dispatch.lane
        self.route = dispatch.route
        self.lane_in = dispatch.lane_in
        self.splits = dispatch.splits
        self.watch = watch
        self.allows_recursion = catalog.allows_recursion

    def names(self, reference: str, qualifier: str | None) -> tuple[str, str | None]:
        return self._catalog.snapshot.names(reference, qualifier)

    def arn(self, name: str) -> str:
        return self._catalog.snapshot.arn(name)

    def catalog(self) -> object:
        return self._catalog.snapshot

    def terms(self, function: str, qualifier: str) -> Terms:
        snapshot = self._catalog.snapshot
        dead_letter = snapshot.resolve(function, qualifier or None).dead_letter_target_arn
        asked = snapshot.record(function).event_invoke.get(qualifier or LATEST)
        if asked is None:
            return Terms(dead_letter=dead_letter)
        told = {
            "retries": asked.maximum_retry_attempts,
            "age_ms": None if asked.maximum_event_age_s is None else asked.maximum_event_age_s * 1_000,
        }
        return Terms(
            **{name: value for name, value in told.items() if value is not None},
            on_success=asked.on_success,
            on_failure=asked.on_failure,
            dead_letter=dead_letter,
        )

    def charge(self, lane: Lane, size: int) -> None:
        self._ledger.charge_requests(lane.source, -(-(size - FREE_BYTES) // STEP_BYTES))


def keeper_of(folder: Path | None, loop: Watcher, timing: Timing, later: Callable[..., object]) -> Keeper:
    """What keeps the events of an engine with this data folder; None: only for as long as it lasts."""
    if folder is None:
        return MemoryKeeper(later)
    return ProcessKeeper(folder / EVENTS_NAME, loop, timing)
