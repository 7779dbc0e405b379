"""F3: the methods of `Engine` for schedules, named as EventBridge Scheduler's. What they do: `schedules.registry`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from ..model import Schedule
from ..wire.payload import encode_payload
from .control import Control
from .schedules.registry import Schedules


class SchedulePlane(ABC):
    """What of an engine is about schedules. `_opened` raises where it is not open."""

    schedules: Schedules

    @abstractmethod
    def _opened(self) -> Control: ...

    async def create_schedule(
        self,
        name: str,
        expression: str,
        function: str,
        *,
        timezone: str = "UTC",
        payload: object = None,
        state: Literal["ENABLED", "DISABLED"] = "ENABLED",
        flexible_window_minutes: int = 0,
        start_ms: int | None = None,
        end_ms: int | None = None,
        maximum_retry_attempts: int | None = None,
        maximum_event_age_s: int | None = None,
        dead_letter_arn: str | None = None,
        action_after_completion: Literal["NONE", "DELETE"] = "NONE",
        description: str = "",
    ) -> Schedule:
        """Have a function invoked at the times that an expression names, as an event is: see `invoke`.

        expression: `rate(5 minutes)`, `cron(0 12 * * ? *)` or `at(2026-12-24T18:00:00)`, read in `timezone`. payload: a
        JSON value, or `bytes` that are JSON already; None is Scheduler's own event. What the rest means: `Schedule`. A
        time at which the engine was closed is made good once, the latest of several, within maximum_event_age_s.
        Raises ResourceConflictException when the name is taken, ResourceNotFoundException for a function that is not
        there, ValidationException, and ServiceException when the disk fails.
        """
        self._opened()
        return await self.schedules.create(
            Schedule(
                name=name,
                expression=expression,
                function=function,
                timezone=timezone,
                payload=_input(payload),
                state=state,
                flexible_window_minutes=flexible_window_minutes,
                start_ms=start_ms,
                end_ms=end_ms,
                maximum_retry_attempts=maximum_retry_attempts,
                maximum_event_age_s=maximum_event_age_s,
                dead_letter_arn=dead_letter_arn,
                action_after_completion=action_after_completion,
                description=description,
            )
        )

    async def update_schedule(
        self,
        name: str,
        expression: str,
        function: str,
        *,
        timezone: str = "UTC",
        payload: object = None,
        state: Literal["ENABLED", "DISABLED"] = "ENABLED",
        flexible_window_minutes: int = 0,
        start_ms: int | None = None,
        end_ms: int | None = None,
        maximum_retry_attempts: int | None = None,
        maximum_event_age_s: int | None = None,
        dead_letter_arn: str | None = None,
        action_after_completion: Literal["NONE", "DELETE"] = "NONE",
        description: str = "",
    ) -> Schedule:
        """Put this in the place of a schedule; what is not given has its default again. Raises as `create_schedule`."""
        self._opened()
        return await self.schedules.update(
            Schedule(
                name=name,
                expression=expression,
                function=function,
                timezone=timezone,
                payload=_input(payload),
                state=state,
                flexible_window_minutes=flexible_window_minutes,
                start_ms=start_ms,
                end_ms=end_ms,
                maximum_retry_attempts=maximum_retry_attempts,
                maximum_event_age_s=maximum_event_age_s,
                dead_letter_arn=dead_letter_arn,
                action_after_completion=action_after_completion,
                description=description,
            )
        )

    async def get_schedule(self, name: str) -> Schedule:
        """Raises ResourceNotFoundException."""
        self._opened()
        return self.schedules.get(name)

    async def list_schedules(self) -> list[Schedule]:
        """All of them, by name. When each comes next: `stats`."""
        self._opened()
        return self.schedules.all()

    async def delete_schedule(self, name: str) -> None:
        """Raises ResourceNotFoundException. What it has invoked already runs on."""
        self._opened()
        await self.schedules.delete(name)


def _input(payload: object) -> bytes | None:
    """None is no payload here, not an empty one."""
    return payload if payload is None or isinstance(payload, bytes) else encode_payload(payload)
