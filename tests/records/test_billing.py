"""Billed time from measured time, and money from billed time."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records.bill import Bill
from engine.records.billing import (
    NS_PER_MS,
    billed_ms,
    billed_ms_from_ns,
    ephemeral_gb_seconds,
    gb_seconds,
    printed_ms,
    reported_ns,
)
from engine.records.prices import PriceList

# Lambda's longest invocation is 900 s.
times_ns = st.integers(min_value=0, max_value=900 * 1_000 * NS_PER_MS)
PRICES = PriceList.load()


@pytest.mark.parametrize(
    ("duration_ms", "init_ms", "billed"),
    [(250.06, 100.77, 351), (2.37, 423.98, 427), (1.0, None, 1), (1.01, None, 2), (3000.0, None, 3000), (0.0, None, 1)],
)
def test_lambdas_own_examples(duration_ms: float, init_ms: float | None, billed: int) -> None:
    assert billed_ms(duration_ms, init_ms) == billed


def test_a_snapshot_start_bills_its_restore() -> None:
    assert billed_ms(10.2, None, 789.9) == 801


@given(times_ns, st.none() | times_ns, st.none() | times_ns)
def test_billed_time_covers_the_measured_and_less_than_a_millisecond_more(
    duration_ns: int, init_ns: int | None, restore_ns: int | None
) -> None:
    together = duration_ns + (init_ns or 0) + (restore_ns or 0)
    billed_ns = billed_ms_from_ns(duration_ns, init_ns, restore_ns) * NS_PER_MS
    assert together <= billed_ns
    assert billed_ns < together + NS_PER_MS or (together == 0 and billed_ns == NS_PER_MS)


@given(times_ns, times_ns, times_ns)
def test_longer_never_costs_less(duration_ns: int, more_ns: int, init_ns: int) -> None:
    assert billed_ms_from_ns(duration_ns, init_ns) <= billed_ms_from_ns(duration_ns + more_ns, init_ns)
    assert billed_ms_from_ns(duration_ns) <= billed_ms_from_ns(duration_ns, init_ns)


@given(st.integers(min_value=0, max_value=90_000_000), st.integers(min_value=0, max_value=1_000_000))
def test_no_float_bills_a_millisecond_of_its_own(duration_hundredths: int, init_hundredths: int) -> None:
    exact = max(1, -(-(duration_hundredths + init_hundredths) // 100))
    assert billed_ms(duration_hundredths / 100, init_hundredths / 100) == exact


@given(st.integers(min_value=1, max_value=900_000 * NS_PER_MS))
def test_a_warm_report_agrees_with_itself(duration_ns: int) -> None:
    assert billed_ms(float(printed_ms(duration_ns))) == billed_ms_from_ns(duration_ns)


@given(times_ns, times_ns)
def test_recomputing_a_cold_report_never_finds_less_than_was_billed(duration_ns: int, init_ns: int) -> None:
    recomputed = billed_ms(float(printed_ms(duration_ns)), float(printed_ms(init_ns)))
    assert 0 <= recomputed - billed_ms_from_ns(duration_ns, init_ns) <= 1


@given(times_ns, st.integers(min_value=1, max_value=900))
def test_a_time_out_is_reported_as_exactly_the_limit_and_nothing_is_reported_as_longer(
    duration_ns: int, timeout_s: int
) -> None:
    limit_ns = timeout_s * 1_000_000_000
    assert reported_ns(duration_ns, timeout_s, timed_out=True) == limit_ns
    assert reported_ns(duration_ns, timeout_s, timed_out=False) == min(duration_ns, limit_ns)


@pytest.mark.parametrize("times", [(-1,), (1, -1), (1, None, -1)])
def test_a_negative_time_is_refused(times: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="cannot be negative"):
        billed_ms_from_ns(*times)


def test_gb_seconds_are_exact() -> None:
    assert gb_seconds(1_000, 1_024) == 1
    assert gb_seconds(1, 128) == Decimal("0.000125")
    assert ephemeral_gb_seconds(1_000, 512) == 0
    assert ephemeral_gb_seconds(2_000, 1_536) == 2


@pytest.mark.parametrize(
    ("architecture", "gb_s", "dollars"),
    [
        ("x86_64", "1", "0.0000166667"),
        ("arm64", "1", "0.0000133334"),
        ("x86_64", "6000000001", "100000.2000150000"),
        ("x86_64", "15000000001", "235000.2000133334"),
        ("arm64", "7500000001", "100000.5000120001"),
    ],
)
def test_durations_cost_lambdas_price_tier_by_tier(architecture: str, gb_s: str, dollars: str) -> None:
    assert PRICES.cost(0, Decimal(gb_s), architecture) == Decimal(dollars)


def test_requests_storage_and_provisioned_concurrency_have_prices_of_their_own() -> None:
    zero = Decimal(0)
    assert PRICES.cost(1_000_000, zero) == Decimal("0.20")
    assert PRICES.cost(0, zero, ephemeral_gb_seconds=Decimal(10)) == Decimal("0.000000309")
    assert PRICES.cost(0, zero, provisioned_gb_seconds=Decimal(1)) == Decimal("0.0000041667")
    assert PRICES.cost(0, zero, provisioned_duration_gb_seconds=Decimal(1)) == Decimal("0.0000097222")


@given(st.integers(0, 10**11), st.integers(0, 10**11))
def test_a_months_cost_does_not_depend_on_how_it_is_cut(first: int, second: int) -> None:
    whole = PRICES.cost(0, Decimal(first + second))
    parts = PRICES.cost(0, Decimal(first)) + PRICES.cost(0, Decimal(second), already_used=Decimal(first))
    assert whole == parts


def test_the_free_tier_covers_a_million_requests_and_400_000_gb_seconds() -> None:
    assert PRICES.cost(1_000_000, Decimal(400_000), free_tier=True) == 0
    assert PRICES.cost(2_000_000, Decimal(400_001), free_tier=True) == Decimal("0.2000166667")


def test_a_region_that_is_not_listed_has_the_default_prices_and_says_so(tmp_path: Path) -> None:
    assert PRICES.cost(5, Decimal(7), region="eu-nowhere-1") == PRICES.cost(5, Decimal(7))
    assert PRICES.is_estimate("eu-nowhere-1")
    assert not PRICES.is_estimate("us-east-1")
    text = (Path(__file__).parents[2] / "engine/records/prices.json").read_text()
    other = tmp_path / "prices.json"
    other.write_text(text.replace('"0.20"', '"0.40"'))
    assert PriceList.load(other).cost(1_000_000, Decimal(0)) == Decimal("0.40")


def bill_of_two() -> Bill:
    bill = Bill(PRICES)
    bill.add("resize", "$LATEST", "2026-03-01", 1_000, 200_000, 1_024)
    bill.add("resize", "1", "2026-03-02", 1_000, 100_000, 1_024, ephemeral_mb=1_536)
    bill.add("hello", "$LATEST", "2026-03-01", 500_000, 500_000, 128, "arm64")
    return bill


def test_a_bill_has_a_line_per_function_version_or_day() -> None:
    bill = bill_of_two()
    assert [(line.function, line.requests, line.gb_seconds) for line in bill.lines()] == [
        ("hello", 500_000, Decimal("62.5")),
        ("resize", 2_000, Decimal(300)),
    ]
    assert [(line.function, line.version) for line in bill.lines("version")] == [
        ("hello", "$LATEST"),
        ("resize", "$LATEST"),
        ("resize", "1"),
    ]
    assert [(line.function, line.day) for line in bill.lines("day")][1:] == [
        ("resize", "2026-03-01"),
        ("resize", "2026-03-02"),
    ]


def test_lines_add_up_to_the_total() -> None:
    bill = bill_of_two()
    expected = (
        Decimal("0.1") + Decimal("62.5") * Decimal("0.0000133334")  # hello
        + Decimal("0.0004") + 300 * Decimal("0.0000166667") + 100 * Decimal("0.0000000309")  # resize
    )  # fmt: skip
    assert sum(line.cost for line in bill.lines("day")) == bill.total().cost == expected
    assert (bill.total().requests, bill.total().gb_seconds) == (502_000, Decimal("362.5"))
    storage_alone = 100 * Decimal("0.0000000309")
    assert bill.total(free_tier=True).cost == storage_alone


rows = st.tuples(
    st.sampled_from(["a", "b"]),
    st.sampled_from(["$LATEST", "1"]),
    st.sampled_from(["2026-01-30", "2026-02-01"]),
    st.integers(0, 10**6),
    st.integers(0, 10**9),
    st.integers(128, 10_240),
    st.sampled_from(["x86_64", "arm64"]),
)


@given(st.lists(rows, max_size=20), st.randoms())
def test_the_order_of_additions_does_not_change_a_bill(uses: list[tuple], random) -> None:  # type: ignore[no-untyped-def,type-arg]
    shuffled = list(uses)
    random.shuffle(shuffled)
    bills = []
    for order in (uses, shuffled):
        bill = Bill(PRICES)
        for use in order:
            bill.add(*use)
        bills.append((bill.lines("day"), bill.total()))
    assert bills[0] == bills[1]
