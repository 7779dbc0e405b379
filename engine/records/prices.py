"""F1: Lambda's prices as data (`prices.json`), and what an amount of use costs. What was used is `bill.py`'s.

A region that the file does not list has the prices of its `default_region`: many regions share us-east-1's, the others
are dearer, so such a bill is an estimate and `PriceList.is_estimate` says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine import config

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Tier:
    """A price per GB-s that holds up to a month's total of `up_to` GB-s; None: without end."""

    up_to: Decimal | None
    gb_second: Decimal


@dataclass(frozen=True, slots=True)
class ArchitecturePrices:
    """`provisioned_*`: what is kept ready costs per GB-s, and what runs on it costs per GB-s (no tiers)."""

    tiers: tuple[Tier, ...]
    provisioned_gb_second: Decimal
    provisioned_duration_gb_second: Decimal

    def duration_cost(self, gb_seconds: Decimal, already_used: Decimal = _ZERO) -> Decimal:
        """On-demand GB-s, counted on from what the month has already seen."""
        cost, start, end = _ZERO, already_used, already_used + gb_seconds
        for tier in self.tiers:
            stop = end if tier.up_to is None else min(end, tier.up_to)
            cost += max(_ZERO, stop - start) * tier.gb_second
            start = max(start, stop)
        return cost


@dataclass(frozen=True, slots=True)
class RegionPrices:
    per_million_requests: Decimal
    ephemeral_storage_gb_second: Decimal
    architectures: Mapping[str, ArchitecturePrices]


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices in US dollars, exact."""

    regions: Mapping[str, RegionPrices]
    default_region: str
    free_requests: int
    free_gb_seconds: Decimal

    @classmethod
    def load(cls, path: Path | None = None) -> PriceList:
        """The list that ships with the package, or another file of the same form."""
        source = Path(__file__).with_name("prices.json") if path is None else path
        document = json.loads(source.read_text(encoding="utf-8"))
        regions = {name: _region(prices) for name, prices in document["regions"].items()}
        free = document["free_tier"]
        return cls(regions, document["default_region"], int(free["requests"]), Decimal(free["gb_seconds"]))

    def region(self, name: str) -> RegionPrices:
        """A region's prices; those of `default_region` where it is not listed."""
        return self.regions.get(name) or self.regions[self.default_region]

    def is_estimate(self, region: str) -> bool:
        """Whether the region is not listed, so that the default region's prices stand in."""
        return region not in self.regions

    def cost(
        self,
        requests: int,
        gb_seconds: Decimal,
        architecture: str = "x86_64",
        ephemeral_gb_seconds: Decimal = _ZERO,
        *,
        provisioned_gb_seconds: Decimal = _ZERO,
        provisioned_duration_gb_seconds: Decimal = _ZERO,
        region: str = config.REGION_DEFAULT,
        already_used: Decimal = _ZERO,
        free_tier: bool = False,
    ) -> Decimal:
        """Dollars, not rounded. `ephemeral_gb_seconds` is what lies above the 512 MB that every function has.

        `already_used` is the month's GB-s before these, which place them in a tier. `free_tier` takes one month's
        free requests and GB-s off: only sensible for a whole month's numbers. KeyError for an unknown architecture.
        """
        prices = self.region(region)
        rates = prices.architectures[architecture]
        if free_tier:
            requests = max(0, requests - self.free_requests)
            gb_seconds = max(_ZERO, gb_seconds - self.free_gb_seconds)
        return (
            requests * prices.per_million_requests / 1_000_000
            + rates.duration_cost(gb_seconds, already_used)
            + ephemeral_gb_seconds * prices.ephemeral_storage_gb_second
            + provisioned_gb_seconds * rates.provisioned_gb_second
            + provisioned_duration_gb_seconds * rates.provisioned_duration_gb_second
        )


def _region(prices: dict[str, Any]) -> RegionPrices:
    return RegionPrices(
        Decimal(prices["per_million_requests"]),
        Decimal(prices["ephemeral_storage_gb_second"]),
        {name: _architecture(rates) for name, rates in prices["architectures"].items()},
    )


def _architecture(rates: dict[str, Any]) -> ArchitecturePrices:
    tiers = tuple(
        Tier(None if (end := tier["up_to_gb_seconds"]) is None else Decimal(end), Decimal(tier["gb_second"]))
        for tier in rates["tiers"]
    )
    return ArchitecturePrices(
        tiers, Decimal(rates["provisioned_gb_second"]), Decimal(rates["provisioned_duration_gb_second"])
    )
