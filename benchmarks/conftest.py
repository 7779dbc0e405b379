"""Fixtures of the primitives' benchmarks: `pytest benchmarks --benchmark-only`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

import pytest

from .contenders.engine_settings import FUNCTION, HANDLER, MEMORY_MB
from .source_tree import prefer_built_engine
from .work import CODE

if TYPE_CHECKING:
    from engine.sync import Engine


def pytest_configure() -> None:
    prefer_built_engine()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """An open engine, blocking API, default settings, with the echo function deployed and warm."""
    from engine.sync import Engine

    with Engine() as opened:
        opened.create_function(FUNCTION, code=CODE, handler=HANDLER, memory_mb=MEMORY_MB)
        opened.invoke(FUNCTION, {})
        yield opened


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    """Numbers never used before in this run, for names."""
    return count(1)
