from __future__ import annotations

import pytest
from timetables import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()
