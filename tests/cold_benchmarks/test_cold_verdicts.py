"""What `python -m benchmarks cold` and `… limits` decide, from made-up figures."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks import cold, limits
from benchmarks.cold_memory import note_memory
from benchmarks.cold_rounds import SNAPSHOT, Row, Rows, miss, note, note_latencies
from benchmarks.comparison import Verdict
from benchmarks.limits_cpu import SIZES_MB, Share, due, due_alone, groups
from benchmarks.limits_memory import Filled
from benchmarks.processes import Held


def decided(verdicts: list[Verdict]) -> dict[str, bool | None]:
    return {verdict.what: verdict.met for verdict in verdicts}


def test_a_start_is_held_against_its_bound_and_against_the_peer() -> None:
    rows: Rows = {"hello, machine idle, p50": Row("ms", [2.0, 9.0, 3.0], {"python3": [12.0, 11.0, 30.0]})}
    assert decided(cold.verdicts(rows))["hello, machine idle, p50"] is True
    rows["hello, machine idle, p50"].peers["python3"] = [11.0, 11.0, 30.0]
    assert decided(cold.verdicts(rows))["hello, machine idle, p50"] is False
    rows["hello, machine idle, p50"] = Row("ms", [3.1], {"python3": [100.0]})
    assert decided(cold.verdicts(rows))["hello, machine idle, p50"] is False


def test_rates_are_to_be_high_and_memory_low() -> None:
    for per_s, mb, met in ((500.0, 1.0, True), (499.0, 1.1, False)):
        rows: Rows = {"hello, sustained": Row("/s", [per_s], {"python3": [1.0]})}
        rows |= {f"hello, {kind} of one more": Row("MB", [most]) for kind, most in (("USS", 0.1), ("PSS", mb))}
        told = decided(cold.verdicts(rows))
        assert (told["hello, sustained"], told["hello, memory of one more"]) == (met, met)


def test_more_is_better_of_a_rate_and_less_of_a_time() -> None:
    assert cold.ratio(Row("/s", [600], {"python3": [100]}), "python3") == pytest.approx(6)
    assert cold.ratio(Row("ms", [2], {"python3": [12]}), "python3") == pytest.approx(6)


def test_snapshots_that_there_are_not_are_neither_met_nor_missed() -> None:
    rows: Rows = {}
    miss(rows, SNAPSHOT, "it had a cold one")
    told = {verdict.what: verdict for verdict in cold.verdicts(rows)}
    assert {verdict.met for verdict in told.values()} == {None}
    assert told[f"{SNAPSHOT}, p50"].measured == "not available: it had a cold one"
    assert told["hello, sustained"].measured == "not measured"
    assert cold.as_json(rows, {}, cold.Settings())["rows"][SNAPSHOT]["ours"] == []


def test_each_round_adds_a_figure_of_the_engine_and_of_each_peer() -> None:
    rows: Rows = {}
    for _ in range(2):
        note_latencies(rows, "start", [1_000_000] * 99 + [7_000_000], python3=[3_000_000], python3_imports=[9_000_000])
        note(rows, "rate", "/s", 5.0, python3=2.0)
    assert rows["start, p50"].ours == [1.0, 1.0]
    assert rows["start, p99"].ours == [7.0, 7.0]
    assert rows["start, p50"].peers == {"python3": [3.0, 3.0], "python3 imports": [9.0, 9.0]}
    assert rows["rate"].peers == {"python3": [2.0, 2.0]}


def test_memory_of_one_more_is_the_slope_and_not_what_the_engine_takes_itself() -> None:
    rows: Rows = {}
    looks = {count: Held(2 * count, 20_000_000 + 400_000 * count, 30_000_000 + 700_000 * count) for count in (10, 50)}
    note_memory(rows, "hello", looks, Held(1, 5_000_000, 8_000_000))
    assert rows["hello, USS of one more"].ours == [pytest.approx(0.4)]
    assert rows["hello, PSS of one more"].ours == [pytest.approx(0.7)]
    assert cold.ratio(rows["hello, PSS of one more"], "python3") == pytest.approx(8 / 0.7)


def test_each_size_runs_alone_then_as_many_as_there_is_cpu_for_then_too_many() -> None:
    assert groups(2) == [(128,), (512,), (1_769,), (3_538,), (128, 512, 1_769), (1_769, 3_538)]
    assert groups(1) == [(128,), (512,), (1_769,), (128, 512), (1_769, 3_538)]
    assert groups(4)[-2:] == [SIZES_MB, (1_769, 3_538) * 2]
    for cpus in (1, 2, 4, 8):
        assert sum(map(due_alone, groups(cpus)[-1])) > cpus >= sum(map(due_alone, groups(cpus)[-2]))


def test_what_is_due_is_a_cpu_for_1769_mb_and_less_for_all_alike_where_there_is_too_little() -> None:
    assert due((1_769, 3_538), 4) == [1.0, 2.0]
    assert due((1_769, 3_538), 2) == [pytest.approx(2 / 3), pytest.approx(4 / 3)]


def filled(**counts: dict[str, int]) -> Filled:
    hoped = {"at_limit": {"answered": 3}, "over_limit": {"killed for memory": 3}, "bystander": {"warm": 3}}
    return Filled(**{name: Counter(count) for name, count in {**hoped, **counts}.items()}, deaths=3)


@pytest.mark.parametrize(("got", "met"), [(1.04, True), (0.96, True), (1.06, False), (0.94, False)])
def test_a_share_may_be_a_twentieth_off(got: float, met: bool) -> None:
    share = Share(1_769, (1_769,), 1.0, got)
    assert decided(limits.verdicts(limits.Limited([share], filled())))["CPU of 1,769 MB, alone"] is met


def test_how_too_little_cpu_is_divided_is_shown_and_not_decided() -> None:
    short = Share(1_769, (1_769, 3_538), 2 / 3, 0.9)
    assert not any("CPU" in what for what in decided(limits.verdicts(limits.Limited([short], filled()))))


@pytest.mark.parametrize(
    "counts",
    [
        {"at_limit": {"answered": 2, "killed for memory": 1}},
        {"over_limit": {"killed for memory": 2, "answered": 1}},
        {"bystander": {"warm": 2, "cold": 1}},
    ],
)
def test_one_that_dies_lives_or_is_disturbed_against_its_limit_is_found(counts: dict[str, dict[str, int]]) -> None:
    assert set(decided(limits.verdicts(limits.Limited([], filled()))).values()) == {True}
    assert list(decided(limits.verdicts(limits.Limited([], filled(**counts)))).values()).count(False) == 1
