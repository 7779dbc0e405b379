"""AWS's services, as moto serves them, for all tests of events."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from aws import Aws, serving


@pytest.fixture(scope="session")
def aws() -> Iterator[Aws]:
    with serving() as made:
        yield made
