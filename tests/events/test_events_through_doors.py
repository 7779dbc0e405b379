"""Events by every way in which an engine is held; callers go on meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS, ONE_VCPU_MB, PATIENCE_S, Door

CODE = Path(__file__).parent / "code"
EVENTS = 300


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    with DOORS[request.param](data_dir=tmp_path / "data") as made:
        made.create_function("says", code=CODE, handler="behaves.says", memory_mb=ONE_VCPU_MB)
        yield made


def counts(door: Door) -> dict[str, Any]:
    told: dict[str, Any] = door.stats("says")["functions"]["says"]["events"]["$LATEST"]
    return told


def wait_done(door: Door) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while counts(door)["depth"]:
        assert time.monotonic() < deadline


def test_events_and_calls_go_side_by_side(door: Door) -> None:
    ids = []
    for number in range(EVENTS):
        accepted = door.invoke("says", number, invocation_type="Event")
        assert accepted.status_code == 202
        ids.append(accepted.request_id)
        if number % 10 == 0:
            assert door.invoke("says", "called").json() == {"said": "called"}
    wait_done(door)
    ran = {line.request_id for line in door.logs("says") if line.message.startswith("REPORT")}
    assert ran >= set(ids)
    assert counts(door)["AsyncEventsReceived"] == EVENTS


def test_what_is_under_way_ends_before_the_engine_is_drained(door: Door) -> None:
    for number in range(EVENTS):
        door.invoke("says", number, invocation_type="Event")
    assert door.drain(PATIENCE_S)
    left = counts(door)
    assert left["in_flight"] == 0
    door.invoke("says", "late", invocation_type="Event")
    assert counts(door)["depth"] == left["depth"] + 1
