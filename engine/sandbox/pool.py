"""F1: a bounded stock of cells to be used again. How a cell is made, reset or removed is its mechanism's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from engine.errors import EngineError

from .contract import CELLS_MAX

STOCK_MAX: Final = 64


class Reusable(Protocol):
    def reset(self) -> bool:
        """Make an emptied cell as good as new; False when it cannot be."""

    def remove(self) -> bool:
        """Kill what is inside and remove every trace; False when something unkillable holds it."""


C = TypeVar("C", bound=Reusable)


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """`stuck` cells could not be removed yet; each give-back and `close` try them again."""

    in_stock: int
    out: int
    made: int
    reused: int
    stuck: int


class CellPool(Generic[C]):
    """Cells in stock, and a count of those out. At most `CELLS_MAX` are out and `STOCK_MAX` in stock."""

    def __init__(self, make: Callable[[], C], most_out: int = CELLS_MAX) -> None:
        self._make = make
        self._most_out = most_out
        self._stock: deque[C] = deque()
        self._out: set[C] = set()
        self._stuck: list[C] = []
        self._made = self._reused = 0
        self._closed = False

    def take(self) -> C:
        """A cell from the stock, or a new one. EngineError at the bound."""
        self._refuse_when_closed()
        if len(self._out) + len(self._stuck) >= self._most_out:
            raise EngineError(f"{self._most_out} cells are open: release one before opening another")
        cell = self._stock.popleft() if self._stock else self._make_one()
        self._out.add(cell)
        return cell

    def give_back(self, cell: C) -> None:
        """Reset the cell into the stock; remove it when the stock is full, or it cannot be reset."""
        if cell not in self._out:
            return
        self._out.discard(cell)
        if not self._closed and len(self._stock) < STOCK_MAX and _is_reset(cell):
            self._stock.append(cell)
            self._reused += 1
        else:
            self._stuck.append(cell)
        self._stuck = [stuck for stuck in self._stuck if not stuck.remove()]

    def close(self) -> int:
        """Remove every cell, those out included; how many could not be removed. Idempotent: it retries."""
        self._closed = True
        self._stuck += [*self._stock, *self._out]
        self._stock.clear()
        self._out.clear()
        self._stuck = [stuck for stuck in self._stuck if not stuck.remove()]
        return len(self._stuck)

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(len(self._stock), len(self._out), self._made, self._reused, len(self._stuck))

    def _make_one(self) -> C:
        cell = self._make()
        self._made += 1
        return cell

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise EngineError("this limits mechanism was closed: open another")


def _is_reset(cell: Reusable) -> bool:
    try:
        return cell.reset()
    except OSError:
        return False
