"""F3: the schedules of one engine as its users know them: made, changed and deleted, each once that is on disk."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..._ext.lane import Lane
from ...clock import Timing
from ...errors import LambdaError, ResourceNotFoundException, ValidationException
from ...model import Schedule
from ...store.catalog import Catalog
from ..events.keeper import Keeper
from ..events.lifecycle import EventLifecycle
from .shelf import Kept, Shelf
from .ticks import Tick, Ticks
from .timetable import Timetable
from .validation import validate_schedule
from .written import schedule_of_text


class Schedules:
    """Everything is called on the loop's thread. `lane` finds what runs a function; `later` calls in the next turn.

    `unwritten`: by schedule, the tick whose event is not on disk yet.
    """

    def __init__(
        self,
        catalog: Catalog,
        lane: Callable[[str], Lane],
        events: EventLifecycle,
        keeper: Keeper,
        timing: Timing,
        later: Callable[..., object],
    ) -> None:
        self._catalog = catalog
        self._timing = timing
        self.unwritten: dict[str, Tick] = {}
        self._shelf = Shelf(keeper, timing, later, self.unwritten, restore=self._restore)
        self._ticks = Ticks(
            events,
            lane,
            lambda: catalog.snapshot,
            timing,
            self.unwritten,
            written=self._shelf.reached,
            settled=self._shelf.look,
            lost=self._lost,
        )
        self._table = Timetable(
            timing, fire=self._ticks.fire, keep=self._shelf, jitter=random.randrange, given_up=self._ticks.give_up
        )

    def begin(self, found: Iterable[tuple[str, str, int]]) -> None:
        """Go on with what was found: name, text and position of each."""
        kept = {name: Kept(schedule_of_text(name, text), position_ms) for name, text, position_ms in found}
        self._shelf.load(kept)
        self._table.load(kept.values())

    def close(self) -> None:
        """No tick from now on. Before events are stopped."""
        self._table.close()
        self._ticks.close()
        self._shelf.close()

    async def create(self, asked: Schedule) -> Schedule:
        """Raises as `validate_schedule`, `Timetable.create` and the catalog do, and ServiceException."""
        now_ms = self._timing.wall_ms()
        made = replace(asked, created_ms=now_ms, last_modified_ms=now_ms)
        validate_schedule(made, now_ms)
        self._check_function(made.function)
        self._table.create(made)
        await self._shelf.written(made.name)
        return made

    async def update(self, asked: Schedule) -> Schedule:
        """Put it in the place of the one of its name. A function that it had already may be gone."""
        now_ms, before = self._timing.wall_ms(), self._table.get(asked.name)
        made = replace(asked, created_ms=before.created_ms, last_modified_ms=now_ms)
        validate_schedule(made, now_ms)
        if made.function != before.function:
            self._check_function(made.function)
        self._table.update(made)
        await self._shelf.written(made.name)
        return made

    def _check_function(self, reference: str) -> None:
        if self._catalog.resolve(reference).tenant_isolation is not None:
            raise ValidationException(
                f"{reference} keeps its tenants apart, and a schedule names none: invoke it from another function"
            )

    async def delete(self, name: str) -> None:
        """Raises ResourceNotFoundException, ServiceException."""
        self._table.delete(name)
        self._ticks.forget(name)
        await self._shelf.written(name)

    def get(self, name: str) -> Schedule:
        """Raises ResourceNotFoundException."""
        return self._table.get(name)

    def all(self) -> list[Schedule]:
        """By name."""
        return list(self._table.list())

    def statistics(self, function: str | None = None) -> dict[str, dict[str, Any]]:
        """By name; only those of one function where it is given. `problem` is None where all is well."""
        problems, counts = self._table.problems(), self._table.statistics()
        told = {}
        for schedule in self._table.list():
            name = schedule.name
            if function is None or self._name_of(schedule) == function:
                lost = self._ticks.lost[name]
                told[name] = {
                    "next_ms": self._table.next_ms(name),
                    "fired": counts[name].fired - lost,
                    "missed": counts[name].missed + lost,
                    "problem": problems.get(name),
                }
        return told

    def _name_of(self, schedule: Schedule) -> str | None:
        try:
            return self._catalog.snapshot.names(schedule.function)[0]
        except LambdaError:
            return None

    def _lost(self, name: str, scheduled_ms: int) -> None:
        """A tick was given up after all: it is accounted for."""
        with suppress(ResourceNotFoundException):
            self._shelf.put(self._table.get(name), scheduled_ms)

    def _restore(self, name: str, kept: Kept | None) -> None:
        """A change could not be written."""
        if kept is None:
            self._ticks.forget(name)
            with suppress(ResourceNotFoundException):
                self._table.delete(name)
            return
        try:
            self._table.update(kept.schedule)
        except ResourceNotFoundException:
            self._table.load([kept])
        except ValidationException:  # it could not be read, and was being mended: then that is written after all
            self._shelf.put(self._table.get(name), kept.position_ms)
