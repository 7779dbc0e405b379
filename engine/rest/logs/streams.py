"""F5: log streams: one for each environment that has logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...model import LogStream
from ..call import Call
from ..codecs.contract import Refusal
from .group import asked_group, find, group_arn, streams_of
from .paging import page_of

STREAMS_MAX: Final = 50  # of a page


async def describe_log_streams(call: Call) -> Mapping[str, Any]:
    given = call.given
    name, prefix = asked_group(given), given.get("logStreamNamePrefix")
    by_time = given.get("orderBy") == "LastEventTime"
    if by_time and prefix is not None:
        raise Refusal("InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")
    group = await find(call, name)
    found = [stream for _, stream in await streams_of(call, group) if stream.name.startswith(prefix or "")]
    if by_time:
        found.sort(key=lambda stream: (stream.last_event_ms, stream.name))
    if given.get("descending"):
        found.reverse()
    taken, token = page_of(found, given, STREAMS_MAX, lambda stream: stream.name)
    arn = group_arn(call.place, group.name)
    return {"logStreams": [_shape(arn, stream) for stream in taken], "nextToken": token}


def _shape(arn: str, stream: LogStream) -> dict[str, Any]:
    return {
        "logStreamName": stream.name,
        "creationTime": stream.first_event_ms,
        "firstEventTimestamp": stream.first_event_ms,
        "lastEventTimestamp": stream.last_event_ms,
        "lastIngestionTime": stream.last_ingested_ms,
        "arn": f"{arn}:log-stream:{stream.name}",
        "storedBytes": 0,  # which AWS says of every stream since 2019
    }
