"""`python -m benchmarks policies`: a day by hand, its laws, that it comes out the same again, and that it runs."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.policies import BOUNDED, UNBOUNDED
from benchmarks.policies_replay import Contestant, Replay, Told
from benchmarks.policies_trace import Day, day_of, day_of_file, made_up_day
from engine.core.keep_alive.eviction import GreedyDual, LeastRecentlyUsed
from engine.core.keep_alive.fixed import Fixed
from engine.core.keep_alive.histogram import HybridHistogram
from engine.load.trace import KEYS, MINUTES, Trace, TraceRow

ROOT = Path(__file__).parent.parent.parent
MINUTE_NS = 60_000_000_000
TEN_MINUTES = Contestant("ten", lambda: Fixed(10 * MINUTE_NS))


def day(*spells: tuple[int, float], runs_minutes: float = 1.0, functions: int = 1, cold_ns: int = 10**9) -> Day:
    """Invocations by function and minute. Every function has 1,024 MB."""
    rows = [
        (function, minute * MINUTE_NS, (minute + runs_minutes) * MINUTE_NS, 1, runs_minutes * MINUTE_NS)
        for function, minute in sorted(spells, key=lambda spell: spell[1])
    ]
    columns = np.array(rows).T.astype(np.int64)
    return Day(*columns, [1_024] * functions, [cold_ns] * functions)


def test_a_day_by_hand() -> None:
    """At 0, 6 and 30 minutes, a minute each: held from 0 to 17 and from 30 to 41, at work for three."""
    told = Replay(day((0, 0), (0, 6), (0, 30)), TEN_MINUTES, None).run()
    assert (told.invocations, told.cold_starts, told.prewarms, told.evictions) == (3, 2, 0, 0)
    assert told.held_gb_hours == pytest.approx(28 / 60)
    assert told.wasted_share == pytest.approx(25 / 28)
    assert told.cold_start_hours == pytest.approx(2 / 3_600)
    assert told.cold_shares["p50"] == pytest.approx(200 / 3)


def test_a_timer_is_pre_warmed_by_hand() -> None:
    """Every 31 minutes for one: idle for 30, so from the sixth time on held from the 27th minute to its coming."""
    contestant = Contestant("histogram", lambda: HybridHistogram(10 * MINUTE_NS))
    told = Replay(day(*[(0, 31 * number) for number in range(10)]), contestant, None).run()
    assert (told.cold_starts, told.prewarms, told.prewarms_used) == (6, 5, 4)  # the tenth is the last
    cold, warm, last = 5 * 11, 5 * 1 + 4 * 3, 31 * 1.1 - 27
    assert told.held_gb_hours == pytest.approx((cold + warm + last) / 60)


def test_with_room_for_one_the_order_decides_by_hand() -> None:
    """0 is used three times, then 1 once: that 2 comes costs greedy-dual the 1, and the order of use the 0."""
    spells = [(0, 0), (0, 2), (0, 4), (1, 6), (2, 8), (0, 10)]
    made = day(*spells, functions=3)
    kept = {
        order.__name__: Replay(made, Contestant("", lambda: Fixed(60 * MINUTE_NS), order), 2 * 1_024).run()
        for order in (GreedyDual, LeastRecentlyUsed)
    }
    assert (kept["GreedyDual"].cold_starts, kept["GreedyDual"].evictions) == (3, 1)
    assert (kept["LeastRecentlyUsed"].cold_starts, kept["LeastRecentlyUsed"].evictions) == (4, 2)


@pytest.fixture(scope="module")
def made_up() -> Day:
    return made_up_day(100, 7)


def test_the_same_day_comes_out_the_same(made_up: Day) -> None:
    for contestant in (*UNBOUNDED, *BOUNDED):
        assert Replay(made_up, contestant, 5_000).run() == Replay(made_up_day(100, 7), contestant, 5_000).run()


def test_no_invocation_is_lost_and_longer_is_warmer(made_up: Day) -> None:
    told = [Replay(made_up, contestant, None).run() for contestant in UNBOUNDED]
    assert {each.invocations for each in told} == {made_up.invocations}
    fixed = told[:3]
    assert (
        fixed == sorted(fixed, key=lambda each: -each.cold_starts) == sorted(fixed, key=lambda each: each.held_gb_hours)
    )


def test_the_budget_is_passed_only_by_what_is_at_work(made_up: Day) -> None:
    told = [Replay(made_up, contestant, 8_000).run() for contestant in BOUNDED]
    assert all(each.evictions > 0 for each in told)
    roomy: list[Told] = [Replay(made_up, contestant, 10**9).run() for contestant in BOUNDED]
    assert {each.evictions for each in roomy} == {0}
    assert all(small.cold_starts >= large.cold_starts for small, large in zip(told, roomy, strict=True))
    assert all(small.held_gb_hours < large.held_gb_hours for small, large in zip(told, roomy, strict=True))


def test_spells_have_gaps_of_a_minute_or_more_and_every_invocation() -> None:
    counts = [0] * MINUTES
    counts[3:6] = [60, 60, 60]
    counts[8] = 1
    made = day_of(Trace((TraceRow("f", "http", tuple(counts)),), 0, 0), 1)
    assert made.counts.tolist() == [180, 1]
    assert made.invocations == 181


def test_the_made_up_day_has_the_published_shape() -> None:
    made = made_up_day(1_000, 1)
    per_function = np.bincount(made.functions, weights=made.counts, minlength=1_000)
    assert 0.35 < np.mean(per_function <= 24) < 0.55  # published: 45 %
    assert 0.75 < np.mean(per_function <= MINUTES) < 0.87  # published: 81 %
    assert 150 < np.median(made.sizes_mb) < 190  # published: 170 MB


def write_trace(path: Path) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*KEYS, *range(1, MINUTES + 1)])
        for period in (1, 7, 30):
            writer.writerow(["o", "a", f"f{period}", "timer", *(int(m % period == 0) for m in range(MINUTES))])
    return path


def test_a_file_of_the_azure_trace_is_replayed(tmp_path: Path) -> None:
    made = day_of_file(write_trace(tmp_path / "day.csv"), 2, 1)
    assert (made.invocations, made.left_out_rows) == (MINUTES + 206, 1)
    assert Replay(made, TEN_MINUTES, None).run().cold_starts == 2


@pytest.mark.parametrize("arguments", [["--smoke"], ["--trace", "day.csv", "--memory-gb", "1"]])
def test_the_command_runs_to_its_end(arguments: list[str], tmp_path: Path) -> None:
    given = [str(write_trace(tmp_path / each)) if each == "day.csv" else each for each in arguments]
    argv = [sys.executable, "-m", "benchmarks", "policies", "--json", "-", *given]
    ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert [len(told["unbounded"]), len(told["bounded"])] == [len(UNBOUNDED), len(BOUNDED)]
    assert all(row["invocations"] == told["invocations"] for row in told["unbounded"] + told["bounded"])
    assert "greedy-dual" in ran.stderr


def test_a_file_that_is_no_trace_is_named(tmp_path: Path) -> None:
    (tmp_path / "wrong.csv").write_text("a,b\n")
    argv = [sys.executable, "-m", "benchmarks", "policies", "--trace", str(tmp_path / "wrong.csv")]
    ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert (ran.returncode, "wrong.csv: the first line must name" in ran.stderr) == (1, True)
