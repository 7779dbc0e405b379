"""An engine per test; functions from `code/`. Both ways of taking answers: by the blocked caller, and on a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS, ONE_VCPU_MB, Door, Function

CODE = Path(__file__).parent / "code"


@pytest.fixture(params=["blocking", "asyncio"])
def open_door(request: pytest.FixtureRequest) -> Iterator[Callable[..., Door]]:
    with ExitStack() as opened:
        yield lambda **settings: opened.enter_context(DOORS[request.param](**settings))


@pytest.fixture
def deploy(open_door: Callable[..., Door]) -> Callable[..., Function]:
    """Deploys a handler of `code/prints.py` into an engine of its own."""

    def create(handler: str, *, door: Door | None = None, **settings: Any) -> Function:
        opened = open_door() if door is None else door
        function = Function(opened, handler.replace("_", "-").replace(".", "-"))
        handler = handler if "." in handler else f"prints.{handler}"
        given: dict[str, Any] = {"code": CODE, "memory_mb": ONE_VCPU_MB, "timeout_s": 60, **settings}
        opened.create_function(function.name, handler=handler, **given)
        return function

    return create


@pytest.fixture
def own_lines() -> Callable[[list[str]], list[str]]:
    """What stands between START and END."""

    def cut(lines: list[str]) -> list[str]:
        starts = [n for n, line in enumerate(lines) if line.startswith("START RequestId: ")]
        ends = [n for n, line in enumerate(lines) if line.startswith("END RequestId: ")]
        assert len(starts) == len(ends) == 1
        return lines[starts[0] + 1 : ends[0]]

    return cut
