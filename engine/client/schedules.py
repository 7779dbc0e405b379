"""F2: the methods of both clients for schedules: the same names, one to wait for and one that waits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, TypeVar

from ..model import Schedule
from ..wire.payload import event_bytes
from . import answers

T = TypeVar("T")
State: TypeAlias = Literal["ENABLED", "DISABLED"]
Action: TypeAlias = Literal["NONE", "DELETE"]


class AsynchronousSchedules(ABC):
    """For event loops. `_ask` sends a request and reads its answer."""

    @abstractmethod
    async def _ask(self, method: str, reader: Callable[[Any], T], **arguments: Any) -> T: ...

    async def create_schedule(
        self,
        name: str,
        expression: str,
        function: str,
        *,
        timezone: str = "UTC",
        payload: object = None,
        state: State = "ENABLED",
        flexible_window_minutes: int = 0,
        start_ms: int | None = None,
        end_ms: int | None = None,
        maximum_retry_attempts: int | None = None,
        maximum_event_age_s: int | None = None,
        dead_letter_arn: str | None = None,
        action_after_completion: Action = "NONE",
        description: str = "",
    ) -> Schedule:
        """Have a function invoked at the times that an expression names; see `engine.Engine.create_schedule`."""
        arguments = {
            "name": name,
            "expression": expression,
            "function": function,
            "timezone": timezone,
            "payload": None if payload is None else event_bytes(payload),
            "state": state,
            "flexible_window_minutes": flexible_window_minutes,
            "start_ms": start_ms,
            "end_ms": end_ms,
            "maximum_retry_attempts": maximum_retry_attempts,
            "maximum_event_age_s": maximum_event_age_s,
            "dead_letter_arn": dead_letter_arn,
            "action_after_completion": action_after_completion,
            "description": description,
        }
        return await self._ask("create_schedule", answers.schedule, **arguments)

    async def update_schedule(
        self,
        name: str,
        expression: str,
        function: str,
        *,
        timezone: str = "UTC",
        payload: object = None,
        state: State = "ENABLED",
        flexible_window_minutes: int = 0,
        start_ms: int | None = None,
        end_ms: int | None = None,
        maximum_retry_attempts: int | None = None,
        maximum_event_age_s: int | None = None,
        dead_letter_arn: str | None = None,
        action_after_completion: Action = "NONE",
        description: str = "",
    ) -> Schedule:
        """Put this in the place of a schedule; what is not given has its default again."""
        arguments = {
            "name": name,
            "expression": expression,
            "function": function,
            "timezone": timezone,
            "payload": None if payload is None else event_bytes(payload),
            "state": state,
            "flexible_window_minutes": flexible_window_minutes,
            "start_ms": start_ms,
            "end_ms": end_ms,
            "maximum_retry_attempts": maximum_retry_attempts,
            "maximum_event_age_s": maximum_event_age_s,
            "dead_letter_arn": dead_letter_arn,
            "action_after_completion": action_after_completion,
            "description": description,
        }
        return await self._ask("update_schedule", answers.schedule, **arguments)

    async def get_schedule(self, name: str) -> Schedule:
        """Raises ResourceNotFoundException."""
        return await self._ask("get_schedule", answers.schedule, name=name)

    async def list_schedules(self) -> list[Schedule]:
        """All of them, by name."""
        return await self._ask("list_schedules", answers.schedules)

    async def delete_schedule(self, name: str) -> None:
        """What it has invoked already runs on."""
        await self._ask("delete_schedule", answers.nothing, name=name)


class BlockingSchedules(ABC):
    """For threads. `_ask` sends a request and reads its answer."""

    @abstractmethod
    def _ask(self, method: str, reader: Callable[[Any], T], **arguments: Any) -> T: ...

    def create_schedule(
        self,
        name: str,
        expression: str,
        function: str,
        *,
        timezone: str = "UTC",
        payload: object = None,
        state: State = "ENABLED",
        flexible_window_minutes: int = 0,
        start_ms: int | None = None,
        end_ms: int | None = None,
        maximum_retry_attempts: int | None = None,
        maximum_event_age_s: int | None = None,
        dead_letter_arn: str | None = None,
        action_after_completion: Action = "NONE",
        description: str = "",
    ) -> Schedule:
        """Have a function invoked at the times that an expression names; see `engine.Engine.create_schedule`."""
        arguments = {
            "name": name,
            "expression": expression,
            "function": function,
            "timezone": timezone,
            "payload": None if payload is None else event_bytes(payload),
            "state": state,
            "flexible_window_minutes": flexible_window_minutes,
            "start_ms": start_ms,
            "end_ms": end_ms,
            "maximum_retry_attempts": maximum_retry_attempts,
            "maximum_event_age_s": maximum_event_age_s,
            "dead_letter_arn": dead_letter_arn,
            "action_after_completion": action_after_completion,
            "description": description,
        }
        return self._ask("create_schedule", answers.schedule, **arguments)

    def update_schedule(
        self,
        name: str,
        expression: str,
        function: str,
        *,
        timezone: str = "UTC",
        payload: object = None,
        state: State = "ENABLED",
        flexible_window_minutes: int = 0,
        start_ms: int | None = None,
        end_ms: int | None = None,
        maximum_retry_attempts: int | None = None,
        maximum_event_age_s: int | None = None,
        dead_letter_arn: str | None = None,
        action_after_completion: Action = "NONE",
        description: str = "",
    ) -> Schedule:
        """Put this in the place of a schedule; what is not given has its default again."""
        arguments = {
            "name": name,
            "expression": expression,
            "function": function,
            "timezone": timezone,
            "payload": None if payload is None else event_bytes(payload),
            "state": state,
            "flexible_window_minutes": flexible_window_minutes,
            "start_ms": start_ms,
            "end_ms": end_ms,
            "maximum_retry_attempts": maximum_retry_attempts,
            "maximum_event_age_s": maximum_event_age_s,
            "dead_letter_arn": dead_letter_arn,
            "action_after_completion": action_after_completion,
            "description": description,
        }
        return self._ask("update_schedule", answers.schedule, **arguments)

    def get_schedule(self, name: str) -> Schedule:
        """Raises ResourceNotFoundException."""
        return self._ask("get_schedule", answers.schedule, name=name)

    def list_schedules(self) -> list[Schedule]:
        """All of them, by name."""
        return self._ask("list_schedules", answers.schedules)

    def delete_schedule(self, name: str) -> None:
        """What it has invoked already runs on."""
        self._ask("delete_schedule", answers.nothing, name=name)
