"""What a comparison is: figures, how one contender is measured, what is decided by it. Not which ones there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .contract import Contender
from .figures import Figure, Spread

Turn = dict[str, float]


@dataclass(slots=True)
class Outcome:
    """What all rounds gave: figures by contender, and why a contender is missing."""

    turns: dict[str, list[Turn]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)

    def spread(self, name: str, key: str) -> Spread | None:
        values = [turn[key] for turn in self.turns.get(name, ()) if key in turn]
        return Spread.of(values) if values else None

    def median(self, name: str, key: str) -> float | None:
        spread = self.spread(name, key)
        return spread.median if spread else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`met` is None where a figure is missing."""

    what: str
    target: str
    measured: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`measure` gives one turn of a contender that is open; ratios are taken against `peer`."""

    figures: tuple[Figure, ...]
    measure: Callable[[Contender, float], Turn]
    verdicts: Callable[[Outcome], list[Verdict]]
    peer: str
    title: str
    caption: str
    contenders_across: bool  # in the table: contenders are columns, else rows
