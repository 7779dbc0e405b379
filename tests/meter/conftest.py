"""An engine per module and door, with functions that end in every billable way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS, ONE_VCPU_MB, Door, Function

SOURCE = """
import os
import time

kept = []


def handler(event, context):
    event = event or {}
    if "touch_mb" in event:
        kept.append(bytearray(event["touch_mb"] << 20))
        for place in range(0, len(kept[-1]), 4096):
            kept[-1][place] = 1
    if "spin_ms" in event:
        until = time.monotonic_ns() + event["spin_ms"] * 1_000_000
        while time.monotonic_ns() < until:
            pass
    if "raise" in event:
        raise ValueError(event["raise"])
    if "exit" in event:
        os._exit(event["exit"])
    if "hang" in event:
        time.sleep(3_600)
    if "forget" in event:
        kept.clear()
"""
NUMBERS = count(1)


@pytest.fixture(scope="module", params=["blocking", "uvloop"])
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    with DOORS[request.param]() as opened:
        yield opened


@pytest.fixture
def deploy(door: Door, tmp_path: Path) -> Callable[..., Function]:
    """Deploys the one handler, under a name that no other test uses."""

    def create(**settings: Any) -> Function:
        module = tmp_path / "app.py"
        module.write_text(SOURCE)
        function = Function(door, f"metered-{next(NUMBERS)}")
        given = {"code": module, "memory_mb": ONE_VCPU_MB, "timeout_s": 60, **settings}
        door.create_function(function.name, handler="app.handler", **given)
        return function

    return create
