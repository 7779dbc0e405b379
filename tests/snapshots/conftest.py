"""Fixtures of the snapshots' tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from families import Family


@pytest.fixture
def make_family() -> Iterator[Callable[..., Family]]:
    families: list[Family] = []

    def make(image_fd: int | None = None) -> Family:
        families.append(Family(image_fd))
        return families[-1]

    yield make
    for family in reversed(families):
        family.close()


@pytest.fixture
def family(make_family: Callable[..., Family]) -> Family:
    return make_family()
