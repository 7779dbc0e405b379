"""Environments that are ready before anybody knows for which function: how many, and what becomes of them."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from threading import Condition
from typing import Any

import pytest
from doors import PATIENCE_S, BlockingDoor, on_loop, watched

from engine.core import blanks
from engine.core.blanks import DEMAND_MEMORY_NS, DEMAND_WINDOW_NS, STOCK_LEAST, STOCK_MOST, Demand

SECOND_NS = 1_000_000_000


def test_as_many_are_wanted_as_the_largest_burst_of_the_last_minute() -> None:
    demand = Demand()
    assert demand.wanted(0) == STOCK_LEAST
    for number in range(7):
        demand.started(SECOND_NS + number)
    for number in range(5):
        demand.started(30 * SECOND_NS + number * DEMAND_WINDOW_NS * 2)  # so far apart, each is a burst of one
    demand.started(31 * SECOND_NS)
    demand.started(31 * SECOND_NS + 1)
    demand.started(31 * SECOND_NS + 2)
    assert demand.wanted(32 * SECOND_NS) == 7
    assert demand.wanted(SECOND_NS + DEMAND_MEMORY_NS + 7) == 3
    assert demand.wanted(32 * SECOND_NS + DEMAND_MEMORY_NS) == STOCK_LEAST
    for number in range(2 * STOCK_MOST):
        demand.started(200 * SECOND_NS + number)
    assert demand.wanted(200 * SECOND_NS) == STOCK_MOST


def test_a_stock_that_a_burst_made_large_shrinks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with BlockingDoor() as door:
        births = door.inside._supervisor.births
        changed = Condition()
        for step in ("refill", "_listen"):  # what puts blanks into stock and takes them out, and what hears them speak
            monkeypatch.setattr(births, step, told_of(getattr(births, step), changed))

        def once_in_stock(count: int) -> None:
            def is_so() -> bool:
                return len(births._stock) == count and all(blank.own_pid > 0 for blank in births._stock)

            with changed:
                assert changed.wait_for(is_so, PATIENCE_S), births._stock

        once_in_stock(STOCK_LEAST)
        for _ in range(6):
            births._demand.started(time.monotonic_ns())
        door.inside._loop.call_soon_threadsafe(births.refill)
        once_in_stock(6)
        pids = [pid for blank in births._stock for pid in (blank.pid, blank.own_pid)]
        monkeypatch.setattr(blanks, "DEMAND_MEMORY_NS", 0)
        with watched(*pids[2 * STOCK_LEAST :]) as wait_gone:
            door.inside._loop.call_soon_threadsafe(door.inside._supervisor.keep_house)
            wait_gone()
        once_in_stock(STOCK_LEAST)


def told_of(step: Callable[..., None], changed: Condition) -> Callable[..., None]:
    def take(*arguments: Any) -> None:
        with changed:
            step(*arguments)
            changed.notify_all()

    return take


def test_what_the_host_refuses_to_ask_for_is_not_in_stock(monkeypatch: pytest.MonkeyPatch) -> None:
    with BlockingDoor() as door:
        births = door.inside._supervisor.births

        def refuse(*_: object) -> None:
            raise OSError(errno.ETOOMANYREFS, os.strerror(errno.ETOOMANYREFS))

        def refused() -> int:
            births._stock.clear()
            with monkeypatch.context() as patch:
                patch.setattr(births.zygote, "order", refuse)
                births.refill()
            return len(births._stock)

        assert on_loop(door.inside, refused) == 0
