"""F5: the events of one stream, page by page in both directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...model import StoredLogEvent
from ..call import Call
from ..codecs.contract import Refusal
from .group import NO_STREAM, Group, asked_group, find, streams_of
from .paging import invalid_token

EVENTS_MAX: Final = 10_000  # of a page
PAGE_BYTES: Final = 1_048_576
AT_ONCE: Final = 1_000  # asked of the core
OVERHEAD_BYTES: Final = 26  # as CloudWatch Logs counts an event


async def get_log_events(call: Call) -> Mapping[str, Any]:
    """At either end of the stream its token is given again, as AWS does; what is logged later comes with it."""
    given = call.given
    group = await find(call, asked_group(given))
    stream = given["logStreamName"]
    function = await _function_of(call, group, stream)
    back, cursor = _place(given)
    wanted = min(int(given.get("limit") or EVENTS_MAX), EVENTS_MAX)
    events: list[StoredLogEvent] = []
    begin: str | None = None
    while True:
        part = await call.client.log_events(
            function,
            after="" if back else cursor,
            before=cursor if back else None,
            streams=[stream],
            start_ms=max(given.get("startTime") or 0, group.kept_from_ms),
            end_ms=given.get("endTime"),
            limit=min(AT_ONCE, wanted - len(events)),
        )
        events = [*part.events, *events] if back else [*events, *part.events]
        cursor, other_end = (part.before, part.after) if back else (part.after, part.before)
        begin = other_end if begin is None else begin
        if not part.has_more or len(events) >= wanted or bytes_of(events) >= PAGE_BYTES:
            break
    first, last = (cursor, begin) if back else (begin, cursor)
    return {
        "events": [
            {"timestamp": event.timestamp_ms, "message": event.message, "ingestionTime": event.ingested_ms}
            for event in events
        ],
        "nextForwardToken": f"f/{last}",
        "nextBackwardToken": f"b/{first}",
    }


def bytes_of(events: Sequence[StoredLogEvent]) -> int:
    return sum(len(event.message) + OVERHEAD_BYTES for event in events)


def _place(given: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether backward, and from where."""
    token = given.get("nextToken")
    if not token:
        return not given.get("startFromHead", False), ""
    if token[:3] not in ("f/@", "b/@"):
        raise invalid_token()
    return token[0] == "b", token[2:]


async def _function_of(call: Call, group: Group, stream: str) -> str:
    """The function that a stream is of. Raises Refusal."""
    for function, each in await streams_of(call, group):
        if each.name == stream:
            return function
    raise Refusal("ResourceNotFoundException", NO_STREAM)
