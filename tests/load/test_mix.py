"""Weights, payload sizes, and draws by seed."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.load.mix import Mix, Weighted, parse_sizes, parse_weighted, sized_payload

DRAWS = 20_000


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=6), st.integers(0, 1_000))
@settings(deadline=None)
def test_functions_are_called_in_proportion_to_their_weights(weights: list[float], seed: int) -> None:
    calls = islice(Mix(weights, [b"{}"], [1.0], seed).calls(), DRAWS)
    counted = Counter(function for function, _ in calls)
    for function, weight in enumerate(weights):
        share = weight / sum(weights)
        deviation = (DRAWS * share * (1 - share)) ** 0.5
        assert abs(counted[function] - DRAWS * share) < 6 * deviation


def test_the_same_seed_draws_the_same_calls() -> None:
    def drawn(seed: int) -> list[tuple[int, bytes]]:
        return list(islice(Mix([1, 2], [b"1", b"2", b"3"], [1, 1, 5], seed).calls(), 5_000))

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_functions_and_payloads_are_drawn_independently() -> None:
    counted = Counter(islice(Mix([1, 1], [b"1", b"2"], [1, 1], 1).calls(), DRAWS))
    assert all(count == pytest.approx(DRAWS / 4, rel=0.1) for count in counted.values())
    assert len(counted) == 4


@given(st.integers(2, 100_000))
@settings(deadline=None)
def test_a_sized_payload_is_json_of_exactly_that_size(size: int) -> None:
    payload = sized_payload(size)
    assert len(payload) == size
    assert len(json.loads(payload)) == size - 2


def test_what_is_written_with_a_weight_is_read_with_it() -> None:
    assert parse_weighted("name=3") == Weighted("name", 3)
    assert parse_weighted("name") == Weighted("name", 1)
    assert parse_weighted("a=b=0.5") == Weighted("a=b", 0.5)
    payloads, weights = parse_sizes("16, 1024=9")
    assert ([len(payload) for payload in payloads], weights) == ([16, 1024], [1, 9])


@pytest.mark.parametrize("text", ["name=0", "name=-1", "name=nan", "name=inf", "name=many", "=3"])
def test_a_wrong_weight_is_refused_by_its_value(text: str) -> None:
    with pytest.raises(ValueError, match=repr(text)):
        parse_weighted(text)


@pytest.mark.parametrize("text", ["1", "7000000", "big", "-5", "1.5", ""])
def test_a_wrong_size_is_refused_by_its_value(text: str) -> None:
    with pytest.raises(ValueError, match=text or "''"):
        parse_sizes(text)
