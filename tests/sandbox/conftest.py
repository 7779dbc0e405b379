"""Fixtures of the limits tests; after each test nothing may be left."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator

import psutil
import pytest
from tenants import MECHANISMS, Tenant, leftovers

from engine.sandbox.contract import Cell, Mechanism

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture(params=MECHANISMS)
def mechanism(request: pytest.FixtureRequest) -> Iterator[Mechanism]:
    opened = MECHANISMS[request.param]()
    yield opened
    opened.close()


@pytest.fixture
def tenant() -> Iterator[Callable[[Cell, str], Tenant]]:
    started: list[Tenant] = []

    def start(cell: Cell, body: str) -> Tenant:
        started.append(Tenant(cell, body))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Orphans of killed tenants come to this process, so that they are reaped and counted, not left to init."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = set(psutil.Process().children())
    yield
    left = set(psutil.Process().children()) - before
    dead = {child for child in left if child.status() == psutil.STATUS_ZOMBIE}
    for child in dead:
        os.waitpid(child.pid, 0)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    assert left - dead == set()
    assert leftovers() == []
