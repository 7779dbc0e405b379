"""The stock of cells made ahead, with cells that only count."""

from __future__ import annotations

import pytest

from engine.errors import EngineError
from engine.sandbox.pool import STOCK_MAX, CellPool, PoolStatistics


class Counted:
    """A cell without a kernel: the pool's own arithmetic is what is looked at here."""

    def __init__(self) -> None:
        self.resets: bool | OSError = True
        self.removes = True
        self.removed = 0

    def reset(self) -> bool:
        if isinstance(self.resets, OSError):
            raise self.resets
        return self.resets

    def remove(self) -> bool:
        self.removed += 1
        return self.removes


def test_cells_given_back_are_handed_out_again() -> None:
    pool = CellPool(Counted)
    cell, other = pool.take(), pool.take()
    pool.give_back(other)
    assert pool.statistics() == PoolStatistics(in_stock=1, out=1, made=2, reused=1, stuck=0)
    pool.give_back(cell)
    pool.give_back(cell)
    assert pool.statistics() == PoolStatistics(in_stock=2, out=0, made=2, reused=2, stuck=0)
    assert pool.take() is other


def test_the_stock_is_bounded() -> None:
    pool = CellPool(Counted)
    cells = [pool.take() for _ in range(STOCK_MAX + 1)]
    for cell in cells:
        pool.give_back(cell)
    assert pool.statistics().in_stock == STOCK_MAX
    assert [cell.removed for cell in cells] == [0] * STOCK_MAX + [1]


def test_past_the_bound_opening_is_refused_until_a_release() -> None:
    pool = CellPool(Counted, most_out=1)
    cell = pool.take()
    with pytest.raises(EngineError, match="1 cells are open"):
        pool.take()
    pool.give_back(cell)
    assert pool.take() is cell


@pytest.mark.parametrize("answer", [False, OSError(16, "busy")])
def test_a_cell_that_cannot_be_reset_is_removed(answer: bool | OSError) -> None:
    pool = CellPool(Counted)
    cell = pool.take()
    cell.resets = answer
    pool.give_back(cell)
    assert cell.removed == 1
    assert pool.statistics() == PoolStatistics(in_stock=0, out=0, made=1, reused=0, stuck=0)


def test_a_stuck_cell_is_tried_again_and_told_at_the_end() -> None:
    pool = CellPool(Counted)
    stuck, other = pool.take(), pool.take()
    stuck.resets = stuck.removes = False
    pool.give_back(stuck)
    assert pool.statistics().stuck == 1
    pool.give_back(other)
    assert stuck.removed == 2
    assert pool.close() == 1
    stuck.removes = True
    assert pool.close() == 0
