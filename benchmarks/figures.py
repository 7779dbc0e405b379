"""What a figure is, which way it is better, and how rounds become one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    key: str
    title: str
    unit: str
    more_is_better: bool = False
    ends_section: bool = False  # a line below it in the table


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over all rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))


def percentile(samples: Sequence[int], share: float) -> float:
    """The nearest-rank percentile; `share` is 0.99 for p99. `samples` must not be empty."""
    ordered = sorted(samples)
    return float(ordered[min(len(ordered) - 1, int(len(ordered) * share))])


def times_better(figure: Figure, value: float, than: float) -> float | None:
    """How many times better `value` is `than` another: above 1 is better, whichever way the figure runs."""
    above, below = (value, than) if figure.more_is_better else (than, value)
    return above / below if below else None
