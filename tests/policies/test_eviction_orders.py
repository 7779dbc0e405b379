"""Who makes room: the longest unused, or by greedy-dual what is cheap to have again."""

from __future__ import annotations

import pytest

from engine.core.keep_alive.contract import Candidate, Eviction
from engine.core.keep_alive.eviction import HISTORY_MAX, GreedyDual, LeastRecentlyUsed, victims


def candidate(name: str, used_ns: int, frequency: int = 1, cold_ms: float = 100, memory_mb: int = 100) -> Candidate:
    return Candidate((name, "1"), 1, used_ns, frequency, cold_ms * 1e6, memory_mb)


def names(eviction: Eviction, *candidates: Candidate, now_ns: int = 1_000, count: int = 0, memory_mb: int = 0) -> str:
    chosen = victims(eviction, candidates, now_ns, count=count, memory_mb=memory_mb)
    return "".join(each.key[0] for each in chosen)


def test_the_longest_unused_goes_first() -> None:
    assert names(LeastRecentlyUsed(), candidate("b", 2), candidate("a", 1), candidate("c", 3), count=2) == "ab"


def test_as_few_go_as_free_the_memory() -> None:
    three = [candidate(name, place, memory_mb=100) for place, name in enumerate("abc")]
    assert names(LeastRecentlyUsed(), *three, memory_mb=101) == "ab"
    assert names(LeastRecentlyUsed(), *three, memory_mb=100) == "a"
    assert names(LeastRecentlyUsed(), *three, memory_mb=1_000) == "abc"
    assert names(LeastRecentlyUsed(), *three) == ""


def test_greedy_dual_values_frequency_times_cold_start_over_memory() -> None:
    """1 * 100 ms / 100 MB = 1; of the others each is twice that for a reason of its own."""
    plain = candidate("p", 9)
    dear = [candidate("f", 1, frequency=2), candidate("c", 2, cold_ms=200), candidate("m", 3, memory_mb=50)]
    assert [GreedyDual().priority(each) for each in (plain, *dear)] == pytest.approx([1, 2, 2, 2])
    assert names(GreedyDual(), *dear, plain, count=4) == "pfcm"  # of equals the longest unused


def test_greedy_dual_ages_what_was_precious_once() -> None:
    """Each eviction raises the clock to the priority of what went: 1, 2, 3; then what was worth 3 is no better."""
    order, precious = GreedyDual(), candidate("p", 5, frequency=3)
    for number in range(1, 4):
        plain = candidate("x", number * 10 + 5)
        assert order.priority(plain) == pytest.approx(number)
        assert names(order, precious, plain, now_ns=(number + 1) * 10, count=1) == ("x" if number < 3 else "p")


def test_an_environment_has_the_clock_of_its_last_use() -> None:
    order = GreedyDual()
    order.evicted(4.0, 100)
    order.evicted(7.0, 200)
    order.evicted(5.0, 300)  # the clock does not go back
    assert [order.clock_at(time) for time in (0, 99, 100, 199, 200, 299, 300, 999)] == [0, 0, 4, 4, 7, 7, 7, 7]


def test_the_history_of_the_clock_is_bounded_and_goes_on() -> None:
    order = GreedyDual()
    for number in range(1, 3 * HISTORY_MAX):
        order.evicted(float(number), number * 10)
    assert len(order._clocks) <= HISTORY_MAX
    assert order.clock_at(30 * HISTORY_MAX) == 3 * HISTORY_MAX - 1
    assert 0 < order.clock_at(0) <= order._clocks[0]  # one of the oldest that are known


def test_several_that_go_at_once_leave_one_clock() -> None:
    order = GreedyDual()
    assert names(order, candidate("a", 1), candidate("b", 2, frequency=2), now_ns=50, count=2) == "ab"
    assert (order.clock_at(49), order.clock_at(50)) == (0, 2)
