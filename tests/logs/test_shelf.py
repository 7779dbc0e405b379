"""Logs of all versions together: streams, and pages in both directions that lose and repeat nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._ext.meter import Ledger
from engine.errors import InvalidParameterValueException, ResourceNotFoundException
from engine.model import LogSlice
from engine.records.book import LogBook
from engine.records.shelf import NO_TIME, Shelf
from engine.sync import Engine

SOURCE = """
def handler(event, context):
    for number in range(event):
        print("line", number)
"""


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Engine]:
    """With the function `talks`, and its version 1."""
    (tmp_path / "app.py").write_text(SOURCE)
    with Engine() as engine:
        engine.create_function("talks", code=tmp_path / "app.py", handler="app.handler")
        engine.publish_version("talks")
        yield engine


def all_pages(engine: Engine, limit: int, **asked: object) -> list[LogSlice]:
    pages = [engine.log_events("talks", limit=limit, **asked)]  # type: ignore[arg-type]
    while pages[-1].has_more:
        pages.append(engine.log_events("talks", after=pages[-1].after, limit=limit, **asked))  # type: ignore[arg-type]
    return pages


def test_pages_of_any_size_hold_every_line_of_every_version_once(opened: Engine) -> None:
    for count, qualifier in ((3, None), (40, "1"), (0, None), (5, "1")):
        opened.invoke("talks", count, qualifier=qualifier)
    expected = len(opened.logs("talks")) + len(opened.logs("talks", qualifier="1"))
    for limit in (1, 7, 10_000):
        events = [event for page in all_pages(opened, limit) for event in page.events]
        assert len(events) == len({event.event_id for event in events}) == expected
        assert sum("REPORT" in event.message for event in events) == 4


def test_backward_pages_are_the_forward_ones(opened: Engine) -> None:
    for count in (3, 40, 0):
        opened.invoke("talks", count)
        opened.invoke("talks:1", count)
    forward = [event for page in all_pages(opened, 10_000) for event in page.events]
    pages = [opened.log_events("talks", before="", limit=7)]
    while pages[-1].has_more:
        pages.append(opened.log_events("talks", before=pages[-1].before, limit=7))
    assert [event for page in reversed(pages) for event in page.events] == forward
    again = opened.log_events("talks", after=pages[1].before, limit=len(pages[1].events))
    assert again.events == pages[1].events


def test_following_loses_and_repeats_nothing(opened: Engine) -> None:
    seen: list[str] = []
    cursor = ""
    for round_number in range(6):
        opened.invoke("talks", round_number, qualifier="1" if round_number % 2 else None)
        page = opened.log_events("talks", after=cursor, limit=5)
        while page.events:
            seen += [event.event_id for event in page.events]
            page = opened.log_events("talks", after=page.after, limit=5)
        cursor = page.after
        assert opened.log_events("talks", after=cursor).after == cursor
    assert sorted(seen) == sorted(event.event_id for event in opened.log_events("talks").events)


def test_streams_tell_their_times_and_one_can_be_read_alone(opened: Engine) -> None:
    before_ms = time.time_ns() // 1_000_000
    opened.invoke("talks", 2)
    opened.invoke("talks:1", 1)
    streams = opened.log_streams("talks")
    assert [stream.name.split("]")[0].split("[")[1] for stream in streams] == ["$LATEST", "1"]
    for stream in streams:
        assert before_ms - 1 <= stream.first_event_ms <= stream.last_event_ms <= stream.last_ingested_ms
        alone = opened.log_events("talks", streams=[stream.name])
        assert {event.stream for event in alone.events} == {stream.name}
        assert alone.events[0].timestamp_ms == stream.first_event_ms
        assert alone.events[-1].timestamp_ms == stream.last_event_ms
    assert opened.log_events("talks", streams=["no such stream"]).events == ()
    (summary,) = opened.log_summaries()
    assert (summary.function_name, summary.log_group) == ("talks", "/aws/lambda/talks")
    assert summary.stored_bytes > 0


def test_a_range_of_time_takes_what_lies_in_it(opened: Engine) -> None:
    opened.invoke("talks", 2)
    events = opened.log_events("talks").events
    last_ms = events[-1].timestamp_ms
    assert opened.log_events("talks", start_ms=last_ms + 1).events == ()
    assert opened.log_events("talks", end_ms=events[0].timestamp_ms).events == ()
    some = opened.log_events("talks", start_ms=last_ms, end_ms=last_ms + 1).events
    assert some == tuple(event for event in events if event.timestamp_ms == last_ms)


def test_a_deleted_log_is_gone_and_a_new_one_begins(opened: Engine) -> None:
    opened.invoke("talks", 2)
    cursor = opened.log_events("talks").after
    opened.delete_logs("talks")
    assert opened.log_events("talks").events == ()
    assert (opened.log_streams("talks"), opened.log_summaries(), opened.logs("talks")) == ([], [], [])
    opened.invoke("talks", 1)
    messages = [event.message for event in opened.log_events("talks", after=cursor).events]
    assert (messages[0].split()[0], messages[1]) == ("START", "line 0")
    opened.delete_function("talks")
    with pytest.raises(ResourceNotFoundException):
        opened.log_events("talks")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"limit": 0}, "use 1 to 10000"),
        ({"limit": 10_001}, "use 1 to 10000"),
        ({"after": "nonsense"}, "give back what a page had"),
        ({"after": "@", "before": ""}, "give one of them"),
    ],
)
def test_what_cannot_be_asked_is_refused(opened: Engine, asked: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidParameterValueException, match=told):
        opened.log_events("talks", **asked)  # type: ignore[arg-type]


def book_of_notes(version: str, times_ms: list[int]) -> LogBook:
    book = LogBook("f", version, Ledger(8), runtime_version="python", wall_offset_ns=0, text_bytes_max=10**6)
    for number, time_ms in enumerate(times_ms):
        book.note(0, time_ms * 1_000_000, f"s{number % 2}", f"{version} {number}")
    return book


@given(st.lists(st.integers(0, 50), max_size=20), st.lists(st.integers(0, 50), max_size=20), st.integers(1, 9))
def test_notes_of_several_books_come_in_pages_without_loss(first: list[int], second: list[int], limit: int) -> None:
    shelf = Shelf({"1": book_of_notes("1", first), "2": book_of_notes("2", second)})
    asked = {"streams": (), "start_ms": 0, "end_ms": NO_TIME, "limit": limit}
    forward, cursor = [], ""
    while True:
        page = shelf.events(after=cursor, before=None, **asked)  # type: ignore[arg-type]
        forward += page.events
        cursor = page.after
        if not page.has_more:
            break
    assert len({event.event_id for event in forward}) == len(forward) == len(first) + len(second)
    backward, cursor = [], ""
    while True:
        page = shelf.events(after="", before=cursor, **asked)  # type: ignore[arg-type]
        backward = [*page.events, *backward]
        cursor = page.before
        if not page.has_more:
            break
    assert sorted(event.event_id for event in backward) == sorted(event.event_id for event in forward)
