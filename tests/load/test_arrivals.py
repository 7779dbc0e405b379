"""When calls are meant to be sent: rates, randomness by seed, bursts. All in virtual time: nothing waits."""

from __future__ import annotations

from itertools import islice, pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.load import arrivals

SAMPLES = 20_000


@given(st.floats(0.01, 1e6), st.integers(1, 500))
@settings(deadline=None)
def test_a_constant_rate_never_drifts(rate: float, count: int) -> None:
    times = list(islice(arrivals.constant(rate), count))
    assert times[0] == 0
    assert abs(times[-1] - (count - 1) * 1e9 / rate) <= 1
    assert times == sorted(times)


@pytest.mark.parametrize("seed", range(5))
def test_poisson_gaps_have_the_mean_and_the_variance_of_an_exponential_distribution(seed: int) -> None:
    rate = 1_000.0
    times = list(islice(arrivals.poisson(rate, Random(seed)), SAMPLES))
    gaps_s = [(later - earlier) / 1e9 for earlier, later in pairwise([0, *times])]
    mean = sum(gaps_s) / SAMPLES
    variance = sum((gap - mean) ** 2 for gap in gaps_s) / SAMPLES
    assert mean == pytest.approx(1 / rate, rel=5 / SAMPLES**0.5)  # five standard errors
    assert variance == pytest.approx(1 / rate**2, rel=5 * 8**0.5 / SAMPLES**0.5)


@pytest.mark.parametrize("seed", range(5))
def test_poisson_counts_per_second_have_a_variance_like_their_mean(seed: int) -> None:
    seconds = 1_000
    counts = [0] * seconds
    for at_ns in arrivals.poisson(20, Random(seed)):
        if at_ns >= seconds * 1_000_000_000:
            break
        counts[at_ns // 1_000_000_000] += 1
    mean = sum(counts) / seconds
    variance = sum((count - mean) ** 2 for count in counts) / seconds
    assert mean == pytest.approx(20, rel=0.05)
    assert variance / mean == pytest.approx(1, abs=5 * (2 / seconds) ** 0.5)


@given(st.integers(), st.floats(0.1, 1e5))
@settings(deadline=None)
def test_a_seed_gives_the_same_arrivals_again(seed: int, rate: float) -> None:
    one, other = (list(islice(arrivals.poisson(rate, Random(seed)), 50)) for _ in range(2))
    assert one == other == sorted(one)


@given(st.integers(1, 50), st.floats(0.001, 10), st.integers(1, 20))
@settings(deadline=None)
def test_bursts_come_whole_and_on_time(size: int, every_s: float, bursts: int) -> None:
    times = list(islice(arrivals.bursts(size, every_s), size * bursts))
    assert [times.count(at) for at in sorted(set(times))] == [size] * bursts
    assert sorted(set(times)) == [int(number * every_s * 1e9) for number in range(bursts)]
