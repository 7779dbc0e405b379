"""F1: what has been used, added up, and what Lambda would charge for it. Fed with plain numbers.

Sums are whole numbers (requests, MB·ms), so the order of additions never changes a bill.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from engine import config

from .billing import gb_seconds_from_mb_ms
from .prices import PriceList

# Past it the oldest day's rows join those of `EARLIER`, which are at most one per function version and architecture.
ROWS_MAX: Final = 100_000
EARLIER: Final = "earlier"


class _Key(NamedTuple):
    function: str
    version: str
    day: str
    architecture: str


@dataclass(slots=True)
class _Use:
    requests: int = 0
    mb_ms: int = 0
    ephemeral_mb_ms: int = 0

    def add(self, other: _Use) -> None:
        self.requests += other.requests
        self.mb_ms += other.mb_ms
        self.ephemeral_mb_ms += other.ephemeral_mb_ms


@dataclass(frozen=True, slots=True)
class BillLine:
    """`version` and `day` (ISO) are empty where the line adds over all of them. `cost` is in dollars, not rounded."""

    function: str
    version: str
    day: str
    requests: int
    gb_seconds: Decimal
    cost: Decimal


class Bill:
    """Use per function, version and day. A line's cost is at the first tier's prices; `total` knows the tiers."""

    def __init__(self, prices: PriceList, region: str = config.REGION_DEFAULT, rows_max: int = ROWS_MAX) -> None:
        self._prices = prices
        self._region = region
        self._rows_max = rows_max
        self._use: dict[_Key, _Use] = {}

    def add(
        self,
        function: str,
        version: str,
        day: str,
        requests: int,
        billed_ms: int,
        memory_mb: int,
        architecture: str = "x86_64",
        ephemeral_mb: int = config.EPHEMERAL_MIN_MB,
    ) -> None:
        """Add invocations of one version on one day (`YYYY-MM-DD`): how many, and their billed time together."""
        extra_mb = max(0, ephemeral_mb - config.EPHEMERAL_MIN_MB)
        self._row(_Key(function, version, day, architecture)).add(
            _Use(requests, billed_ms * memory_mb, billed_ms * extra_mb)
        )
        while len(self._use) > self._rows_max and self._fold_oldest_day():
            pass

    def lines(self, by: Literal["function", "version", "day"] = "function") -> list[BillLine]:
        """One line per function, per version of each function, or per function and day; sorted by name."""
        groups: defaultdict[tuple[str, str, str], list[tuple[_Key, _Use]]] = defaultdict(list)
        for key, use in self._use.items():
            version = key.version if by == "version" else ""
            day = key.day if by == "day" else ""
            groups[key.function, version, day].append((key, use))
        return [self._line(*group, rows) for group, rows in sorted(groups.items(), key=lambda item: item[0])]

    def total(self, *, free_tier: bool = False) -> BillLine:
        """Everything together, priced month by month through the tiers; on request less each month's free tier."""
        months: defaultdict[str, list[tuple[_Key, _Use]]] = defaultdict(list)
        for key, use in self._use.items():
            months[key.day[:7]].append((key, use))
        cost = sum((self._month_cost(rows, free_tier) for rows in months.values()), Decimal(0))
        requests = sum(use.requests for use in self._use.values())
        return BillLine("", "", "", requests, _gb_seconds(self._use.values()), cost)

    def _line(self, function: str, version: str, day: str, rows: list[tuple[_Key, _Use]]) -> BillLine:
        uses = [use for _, use in rows]
        cost = sum((self._cost(use, architecture) for architecture, use in _by_architecture(rows)), Decimal(0))
        return BillLine(function, version, day, sum(use.requests for use in uses), _gb_seconds(uses), cost)

    def _month_cost(self, rows: list[tuple[_Key, _Use]], free_tier: bool) -> Decimal:
        """The free tier is one for both architectures: x86_64, the dearer, uses it first."""
        cost = Decimal(0)
        free_requests = self._prices.free_requests if free_tier else 0
        free_gb_s = self._prices.free_gb_seconds if free_tier else Decimal(0)
        for architecture, use in sorted(_by_architecture(rows), reverse=True):
            gb_s = gb_seconds_from_mb_ms(use.mb_ms)
            cost += self._cost(use, architecture, min(free_requests, use.requests), min(free_gb_s, gb_s))
            free_requests -= min(free_requests, use.requests)
            free_gb_s -= min(free_gb_s, gb_s)
        return cost

    def _cost(
        self, use: _Use, architecture: str, free_requests: int = 0, free_gb_seconds: Decimal = Decimal(0)
    ) -> Decimal:
        return self._prices.cost(
            use.requests - free_requests,
            gb_seconds_from_mb_ms(use.mb_ms) - free_gb_seconds,
            architecture,
            gb_seconds_from_mb_ms(use.ephemeral_mb_ms),
            region=self._region,
        )

    def _row(self, key: _Key) -> _Use:
        return self._use.setdefault(key, _Use())

    def _fold_oldest_day(self) -> bool:
        days = {key.day for key in self._use} - {EARLIER}
        if not days:
            return False
        oldest = min(days)
        for key in [key for key in self._use if key.day == oldest]:
            self._row(key._replace(day=EARLIER)).add(self._use.pop(key))
        return True


def _by_architecture(rows: list[tuple[_Key, _Use]]) -> list[tuple[str, _Use]]:
    sums: defaultdict[str, _Use] = defaultdict(_Use)
    for key, use in rows:
        sums[key.architecture].add(use)
    return list(sums.items())


def _gb_seconds(uses: Iterable[_Use]) -> Decimal:
    return gb_seconds_from_mb_ms(sum(use.mb_ms for use in uses))
