"""F5: StartLiveTail: what groups gain, as an event stream that goes on until the client leaves or three hours are over.

SDKs put `stream-` before the endpoint's host, so a client has to be told not to (`inject_host_prefix=False`).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import orjson

from ...errors import EngineError, ResourceNotFoundException
from ...model import StoredLogEvent
from ..asgi import Receive, Send
from ..call import Call
from ..codecs.contract import Refusal
from ..event_stream import CONTENT_TYPE, event, exception
from ..filter_patterns import Match
from .group import find, name_of
from .searching import pattern_of

UPDATE_S: Final = 1.0
SESSION_S: Final = 10_800.0
EVENTS_MAX: Final = 500  # of an update; more than these are sampled
GROUPS_MAX: Final = 10
JSON_TYPE: Final = "application/x-amz-json-1.1"


async def start_live_tail(call: Call, receive: Receive, send: Send) -> None:
    """Raises Refusal before it has begun."""
    names = [name_of(each) for each in call.given["logGroupIdentifiers"]]
    if len(names) > GROUPS_MAX:
        raise Refusal("InvalidParameterException", f"a session has at most {GROUPS_MAX} log groups, not {len(names)}")
    match = pattern_of(call.given.get("logEventFilterPattern", ""))
    tail = _Tail(call, names, match)
    await tail.begin()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", CONTENT_TYPE.encode())]})
    leaving = asyncio.ensure_future(_left(receive))
    try:
        async for message in _messages(tail, leaving):
            await send({"type": "http.response.body", "body": message, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        leaving.cancel()


async def _left(receive: Receive) -> None:
    """Until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        continue


async def _messages(tail: _Tail, leaving: asyncio.Future[None]) -> AsyncIterator[bytes]:
    yield event("initial-response", b"{}", JSON_TYPE)
    yield event("sessionStart", orjson.dumps(tail.told), JSON_TYPE)
    until = time.monotonic() + SESSION_S
    while time.monotonic() < until:
        try:
            update = await tail.update()
        except EngineError as error:
            yield exception("SessionStreamingException", orjson.dumps({"message": str(error)}))
            return
        yield event("sessionUpdate", orjson.dumps(update), JSON_TYPE)
        await asyncio.wait((leaving,), timeout=UPDATE_S)
        if leaving.done():
            return
    yield exception("SessionTimeoutException", orjson.dumps({"message": "The session has been open for three hours"}))


class _Tail:
    """Where a session is in the log of each function of its groups."""

    def __init__(self, call: Call, groups: list[str], match: Match | None) -> None:
        self._call = call
        self._groups = groups
        self._match = match
        self._names = frozenset(call.given.get("logStreamNames", ()))
        self._prefixes = tuple(call.given.get("logStreamNamePrefixes", ()))
        self._cursors: dict[str, str] = {}
        self.told = {
            **{key: call.given[key] for key in call.given if key != "logEventFilterPattern"},
            "requestId": str(uuid.uuid4()),
            "sessionId": str(uuid.uuid4()),
            "logEventFilterPattern": call.given.get("logEventFilterPattern", ""),
        }

    async def begin(self) -> None:
        """Remember where each log ends now. Raises Refusal for a group that is not there."""
        for name in self._groups:
            for function in (await find(self._call, name)).functions:
                self._cursors[function] = (await self._call.client.log_events(function, before="", limit=1)).after

    async def update(self) -> Mapping[str, Any]:
        """What came since the last one."""
        results: list[dict[str, Any]] = []
        sampled = False
        for name in self._groups:
            identifier = f"{self._call.place.account_id}:{name}"
            for summary in await self._call.client.log_summaries(log_group=name):
                async for each in self._gained(summary.function_name):
                    sampled = sampled or len(results) >= EVENTS_MAX
                    if not sampled:
                        results.append(_shape(each, identifier))
        return {"sessionMetadata": {"sampled": sampled}, "sessionResults": results}

    async def _gained(self, function: str) -> AsyncIterator[StoredLogEvent]:
        has_more = True
        while has_more:
            try:
                part = await self._call.client.log_events(function, after=self._cursors.get(function, ""))
            except ResourceNotFoundException:  # it was deleted in this instant
                return
            self._cursors[function], has_more = part.after, part.has_more
            for each in part.events:
                if self._wants(each):
                    yield each

    def _wants(self, each: StoredLogEvent) -> bool:
        everything = not self._names and not self._prefixes
        if not everything and each.stream not in self._names and not each.stream.startswith(self._prefixes):
            return False
        return self._match is None or self._match(each.message)


def _shape(each: StoredLogEvent, group: str) -> dict[str, Any]:
    return {
        "logStreamName": each.stream,
        "logGroupIdentifier": group,
        "message": each.message,
        "timestamp": each.timestamp_ms,
        "ingestionTime": each.ingested_ms,
    }
