"""F1: what Lambda would charge for what was used. Fed with sums, or with plain numbers.

Sums are whole numbers (requests, MB·ms), so the order of additions never changes a bill.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from engine import config

from ..errors import InvalidParameterValueException
from .billing import gb_seconds_from_mb_ms
from .prices import PriceList
from .rollups import By, RollupKey, Use, add_up

BYS: Final = ("function", "version", "day")
MONTH: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class BillLine:
    """`version` and `day` (ISO) are empty where the line adds over all of them. `cost` is in dollars, not rounded.

    `errors` are requests that ended in any other way than well; they cost the same. `gb_seconds` are those of
    invocations, on provisioned environments too; `provisioned_gb_seconds` what was provisioned, used or not.
    """

    function: str
    version: str
    day: str
    requests: int
    gb_seconds: Decimal
    cost: Decimal
    errors: int
    cold_starts: int
    billed_ms: int
    provisioned_gb_seconds: Decimal = Decimal(0)


class Bill:
    """Use per function, version and day. A line's cost is at the first tier's prices; `total` knows the tiers."""

    def __init__(self, prices: PriceList, sums: Iterable[tuple[RollupKey, Use]] = ()) -> None:
        self._prices = prices
        self._use: dict[RollupKey, Use] = add_up(sums)

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
        region: str = config.REGION_DEFAULT,
    ) -> None:
        """Add invocations of one version on one day (`YYYY-MM-DD`): how many, and their billed time together."""
        extra_mb = max(0, ephemeral_mb - config.EPHEMERAL_MIN_MB)
        use = Use(requests, billed_ms=billed_ms, mb_ms=billed_ms * memory_mb, ephemeral_mb_ms=billed_ms * extra_mb)
        key = RollupKey(function, version, day, architecture, memory_mb, region)
        self._use.setdefault(key, Use()).add(use)

    def lines(self, by: By = "function") -> list[BillLine]:
        """One line per function, per version of each function, or per function and day; sorted by name."""
        groups: defaultdict[tuple[str, str, str], list[tuple[RollupKey, Use]]] = defaultdict(list)
        for key, use in self._use.items():
            version = key.version if by == "version" else ""
            day = key.day if by == "day" else ""
            groups[key.function, version, day].append((key, use))
        return [self._line(*group, rows) for group, rows in sorted(groups.items(), key=lambda item: item[0])]

    def total(self, *, free_tier: bool = False) -> BillLine:
        """Everything together, priced month by month through the tiers; on request less each month's free tier."""
        months: defaultdict[str, list[tuple[RollupKey, Use]]] = defaultdict(list)
        for key, use in self._use.items():
            months[key.day[:7]].append((key, use))
        cost = sum((self._month_cost(rows, free_tier) for rows in months.values()), Decimal(0))
        return _bill_line("", "", "", self._use.values(), cost)

    def _line(self, function: str, version: str, day: str, rows: list[tuple[RollupKey, Use]]) -> BillLine:
        cost = sum((self._cost(use, *priced) for priced, use in _by_price(rows)), Decimal(0))
        return _bill_line(function, version, day, [use for _, use in rows], cost)

    def _month_cost(self, rows: list[tuple[RollupKey, Use]], free_tier: bool) -> Decimal:
        """The free tier is one for both architectures: x86_64, the dearer, uses it first.

        What ran on provisioned concurrency has no part in it, as on https://aws.amazon.com/lambda/pricing/.
        """
        cost = Decimal(0)
        free_requests = self._prices.free_requests if free_tier else 0
        free_gb_s = self._prices.free_gb_seconds if free_tier else Decimal(0)
        for priced, use in sorted(_by_price(rows), key=lambda row: row[0], reverse=True):
            gb_s = gb_seconds_from_mb_ms(use.mb_ms - use.provisioned_mb_ms)
            requests = use.requests - use.provisioned_requests
            cost += self._cost(use, *priced, min(free_requests, requests), min(free_gb_s, gb_s))
            free_requests -= min(free_requests, requests)
            free_gb_s -= min(free_gb_s, gb_s)
        return cost

    def _cost(
        self,
        use: Use,
        architecture: str,
        region: str,
        free_requests: int = 0,
        free_gb_seconds: Decimal = Decimal(0),
    ) -> Decimal:
        return self._prices.cost(
            use.requests - free_requests,
            gb_seconds_from_mb_ms(use.mb_ms - use.provisioned_mb_ms) - free_gb_seconds,
            architecture,
            gb_seconds_from_mb_ms(use.ephemeral_mb_ms),
            provisioned_gb_seconds=gb_seconds_from_mb_ms(use.configured_mb_ms),
            provisioned_duration_gb_seconds=gb_seconds_from_mb_ms(use.provisioned_mb_ms),
            region=region,
        )


def checked_by(by: str) -> None:
    """Raises InvalidParameterValueException unless a bill can be grouped by this."""
    if by not in BYS:
        raise InvalidParameterValueException(f"by={by!r}: choose one of {', '.join(map(repr, BYS))}")


def checked_month(month: str | None) -> None:
    """Raises InvalidParameterValueException for what is no month."""
    if month is not None and MONTH.fullmatch(month) is None:
        raise InvalidParameterValueException(
            f"month={month!r}: give year and month, such as '2026-11', or None for all"
        )


def _by_price(rows: list[tuple[RollupKey, Use]]) -> list[tuple[tuple[str, str], Use]]:
    """Use per architecture and region: what has prices, and tiers, of its own."""
    sums: defaultdict[tuple[str, str], Use] = defaultdict(Use)
    for key, use in rows:
        sums[key.architecture, key.region].add(use)
    return list(sums.items())


def _bill_line(function: str, version: str, day: str, uses: Iterable[Use], cost: Decimal) -> BillLine:
    together = Use()
    for use in uses:
        together.add(use)
    gb_seconds = gb_seconds_from_mb_ms(together.mb_ms)
    configured = gb_seconds_from_mb_ms(together.configured_mb_ms)
    counts = together.errors, together.cold_starts, together.billed_ms, configured
    return BillLine(function, version, day, together.requests, gb_seconds, cost, *counts)
