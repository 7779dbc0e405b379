"""F5: one log group: which functions log into it, and what is kept of it as a document of the core's.

A group is there once a function has logged into it, as in AWS, or once somebody made it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ...errors import ResourceNotFoundException
from ...model import LogStream, LogSummary
from .. import documents
from ..call import Call, Place
from ..codecs.contract import Refusal

KIND: Final = "log-group"
DAY_MS: Final = 86_400_000
NO_GROUP: Final = "The specified log group does not exist."
NO_STREAM: Final = "The specified log stream does not exist."


@dataclass(frozen=True, slots=True)
class Group:
    """`functions`: those that have logged into it. `said`: what is kept of it; empty where nothing is."""

    name: str
    created_ms: int
    stored_bytes: int
    functions: tuple[str, ...]
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def retention_days(self) -> int | None:
        days: int | None = self.said.get("retentionInDays")
        return days

    @property
    def kept_from_ms(self) -> int:
        """Events before this have expired."""
        return 0 if self.retention_days is None else max(0, now_ms() - self.retention_days * DAY_MS)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def group_arn(place: Place, name: str) -> str:
    return f"arn:aws:logs:{place.region}:{place.account_id}:log-group:{name}"


def name_of(identifier: str) -> str:
    """The group that a name or an ARN is of."""
    return identifier.split(":", 6)[-1].removesuffix(":*") if identifier.startswith("arn:") else identifier


def asked_group(given: Mapping[str, Any]) -> str:
    """Raises Refusal unless one of a name and an identifier is given."""
    name, identifier = given.get("logGroupName"), given.get("logGroupIdentifier")
    if (name is None) == (identifier is None):
        told = "Exactly one of logGroupName and logGroupIdentifier must be specified"
        raise Refusal("InvalidParameterException", told)
    return str(name) if identifier is None else name_of(identifier)


def group_of(name: str, summaries: Sequence[LogSummary], said: Mapping[str, Any]) -> Group:
    """Made of what functions have logged, and of what is kept."""
    began = [summary.first_event_ms for summary in summaries]
    return Group(
        name,
        said.get("creationTime") or min(began, default=0),
        sum(summary.stored_bytes for summary in summaries),
        tuple(summary.function_name for summary in summaries),
        said,
    )


async def look_for(call: Call, name: str) -> Group | None:
    """None where there is no such group."""
    summaries = await call.client.log_summaries(log_group=name)
    kept = await documents.find(call.client, KIND, name)
    said: Mapping[str, Any] = {} if kept is None else kept.document
    return group_of(name, summaries, said) if summaries or said else None


async def find(call: Call, name: str) -> Group:
    """Raises Refusal where there is no such group."""
    group = await look_for(call, name)
    if group is None:
        raise Refusal("ResourceNotFoundException", NO_GROUP)
    return group


async def keep(call: Call, group: Group, **changes: Any) -> None:
    """Keep changes of what is said of a group; None takes away."""
    said = {**group.said, "creationTime": group.created_ms, **changes}
    await call.client.put_resource(KIND, group.name, {name: value for name, value in said.items() if value is not None})


async def streams_of(call: Call, group: Group) -> list[tuple[str, LogStream]]:
    """With the function that each is of, by name of stream; those whose last event has expired are gone."""
    found: list[tuple[str, LogStream]] = []
    for function in group.functions:
        try:
            streams = await call.client.log_streams(function)
        except ResourceNotFoundException:
            continue  # it was deleted in this instant, and its log with it
        found += [(function, stream) for stream in streams if stream.last_event_ms >= group.kept_from_ms]
    return sorted(found, key=lambda each: each[1].name)
