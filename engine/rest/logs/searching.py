"""F5: the events of a group by time, stream and pattern."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ...errors import ResourceNotFoundException
from ...model import LogSlice, StoredLogEvent
from ..call import Call
from ..codecs.contract import Refusal
from ..filter_patterns import Match, PatternError, compiled
from .events import AT_ONCE, EVENTS_MAX, PAGE_BYTES, bytes_of
from .group import NO_STREAM, Group, asked_group, find, streams_of
from .paging import invalid_token, read_token, token_of

LOOKED_AT_MAX: Final = 20_000  # for one page, however few of them match


@dataclass(slots=True)
class Search:
    """One page of FilterLogEvents. `cursors`: by function how far it was searched; without those that are done."""

    call: Call
    streams: list[str]
    start_ms: int
    end_ms: int | None
    match: Match | None
    back: bool
    cursors: dict[str, str]
    found: list[StoredLogEvent] = field(default_factory=list)
    looked_at: int = 0
    size: int = 0

    async def run(self, wanted: int) -> None:
        """Until so many are found, enough was looked at, or nothing is left."""
        while self.cursors and len(self.found) < wanted and self.looked_at < LOOKED_AT_MAX and self.size < PAGE_BYTES:
            for function in list(self.cursors):
                limit = min(AT_ONCE, wanted - len(self.found))
                if limit > 0:
                    self._take(function, await self._part(function, limit))

    async def _part(self, function: str, limit: int) -> LogSlice:
        cursor = self.cursors[function]
        try:
            return await self.call.client.log_events(
                function,
                after="" if self.back else cursor,
                before=cursor if self.back else None,
                streams=self.streams,
                start_ms=self.start_ms,
                end_ms=self.end_ms,
                limit=limit,
            )
        except ResourceNotFoundException:  # it was deleted in this instant, and its log with it
            return LogSlice((), "", "", False)

    def _take(self, function: str, part: LogSlice) -> None:
        self.looked_at += len(part.events)
        found = [event for event in part.events if self.match is None or self.match(event.message)]
        self.found += found
        self.size += bytes_of(found)
        if part.has_more:
            self.cursors[function] = part.before if self.back else part.after
        else:
            del self.cursors[function]


async def filter_log_events(call: Call) -> Mapping[str, Any]:
    """A page is sorted by time; from page to page it goes by when events were kept, so that none is lost or doubled."""
    given = call.given
    group = await find(call, asked_group(given))
    back = not given.get("startFromHead", True)
    end_ms = given.get("endTime")
    search = Search(
        call,
        await _streams(call, group),
        max(given.get("startTime") or 0, group.kept_from_ms),
        None if end_ms is None else end_ms + 1,  # which is within, unlike that of GetLogEvents
        pattern_of(given.get("filterPattern", "")),
        back,
        _cursors(given.get("nextToken"), group, back),
    )
    await search.run(min(int(given.get("limit") or EVENTS_MAX), EVENTS_MAX))
    events = sorted(search.found, key=lambda event: (event.timestamp_ms, event.ingested_ms), reverse=back)
    return {
        "events": [_shape(event) for event in events],
        "searchedLogStreams": [],
        "nextToken": token_of(search.cursors, back) if search.cursors else None,
    }


def _shape(event: StoredLogEvent) -> dict[str, Any]:
    return {
        "logStreamName": event.stream,
        "timestamp": event.timestamp_ms,
        "message": event.message,
        "ingestionTime": event.ingested_ms,
        "eventId": event.event_id,
    }


def pattern_of(text: str) -> Match | None:
    """None matches everything. Raises Refusal for what is no filter pattern."""
    try:
        return compiled(text)
    except PatternError as error:
        raise Refusal("InvalidParameterException", str(error)) from error


def _cursors(token: str | None, group: Group, back: bool) -> dict[str, str]:
    if not token:
        return dict.fromkeys(group.functions, "")
    cursors, same_way = read_token(token, dict, bool)
    if same_way is not back or not all(isinstance(each, str) for each in cursors.values()):
        raise invalid_token()
    return {function: cursor for function, cursor in cursors.items() if function in group.functions}


async def _streams(call: Call, group: Group) -> list[str]:
    """The streams to look through; none is all of them. Raises Refusal."""
    names, prefix = call.given.get("logStreamNames", []), call.given.get("logStreamNamePrefix")
    if names and prefix is not None:
        told = "logStreamNamePrefix and logStreamNames are mutually exclusive parameters."
        raise Refusal("InvalidParameterException", told)
    if not names and prefix is None:
        return []
    there = [stream.name for _, stream in await streams_of(call, group)]
    if prefix is not None:
        return [name for name in there if name.startswith(prefix)] or [prefix]
    if not set(names) <= set(there):
        raise Refusal("ResourceNotFoundException", NO_STREAM)
    return list(names)
