"""A run over time: where things are counted, and that it stays bounded."""

from __future__ import annotations

import numpy as np
import pytest

from engine.load.timeline import BINS_MAX, POINTS, Timeline, bin_width_s

S = 1_000_000_000


def test_answers_count_where_they_came_and_arrivals_where_they_were_due() -> None:
    timeline = Timeline(10 * S, S)
    intended = np.array([10 * S, 10 * S + 5, 11 * S], np.int64)
    done = np.array([10 * S + 7, 12 * S, 12 * S + 9], np.int64)
    timeline.answered(intended, done, done - intended)
    timeline.close()
    assert timeline.asked_in[:4].tolist() == [2, 1, 0, 0]
    assert timeline.answered_in[:4].tolist() == [1, 0, 2, 0]
    assert set(timeline.latencies_ns) == {0, 2}
    assert timeline.latencies_ns[2][3] == 2 * S - 5
    assert timeline.bins == 3


def test_a_bin_is_reckoned_over_all_batches_that_fall_into_it() -> None:
    timeline = Timeline(0, S)
    for first in (0, 50):
        latency = np.arange(first + 1, first + 51, dtype=np.int64) * 1_000_000
        timeline.answered(np.zeros(50, np.int64), np.full(50, S // 2, np.int64), latency)
    timeline.close()
    p50, p90, p99, highest = timeline.latencies_ns[0]
    assert [round(value / 1e6) for value in (p50, p90, p99)] == [50, 90, 99]
    assert highest == 100_000_000


def test_what_comes_after_the_last_bin_is_counted_in_it() -> None:
    timeline = Timeline(0, S)
    timeline.erred(10**15)
    timeline.cold(-5)
    assert (timeline.errors_in[-1], timeline.cold_in[0], timeline.bins) == (1, 1, BINS_MAX)


@pytest.mark.parametrize("duration_s", [0.01, 1, 29, 31, 600, 3_600, 86_400])
def test_a_run_has_few_enough_bins_to_be_drawn(duration_s: float) -> None:
    assert duration_s / bin_width_s(duration_s) <= POINTS
