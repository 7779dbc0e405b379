"""Options and fixtures of the queue's tests."""

from __future__ import annotations

import pytest
from kits import BothKit, CompiledKit, Kit, OracleKit


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--stress", action="store_true", help="queue: ten million hand-overs per shape, with kills too")


@pytest.fixture(params=[CompiledKit, OracleKit, BothKit])
def kit(request: pytest.FixtureRequest) -> Kit:
    """A formatted region and its core end: compiled, by the oracle, and both held against each other."""
    made: Kit = request.param()
    return made
