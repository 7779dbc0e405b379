"""The Azure trace: reading its CSV, choosing rows, and arrivals that keep every minute's count."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.load import trace
from engine.load.trace import KEYS, MINUTE_NS, MINUTES, TraceRow, Within

Write = Callable[[Sequence[Sequence[int]]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a trace with these counts in its first minutes and nothing in the others."""

    def make(rows: Sequence[Sequence[int]]) -> Path:
        path = tmp_path / "trace.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*KEYS, *range(1, MINUTES + 1)])
            for number, counts in enumerate(rows):
                zeros = [0] * (MINUTES - len(counts))
                writer.writerow([f"owner{number}", f"app{number}", f"function{number}", "http", *counts, *zeros])
        return path

    return make


def rows_of(*counts: Sequence[int]) -> list[TraceRow]:
    return [TraceRow(f"function{number}", "http", tuple(row)) for number, row in enumerate(counts)]


def test_the_busiest_rows_are_kept_in_order_and_the_rest_is_counted(write: Write) -> None:
    read = trace.read_trace(write([[1, 2], [50, 0], [0, 9], [9, 0], [0, 0]]), range(1, 3), 2)
    assert [row.function for row in read.rows] == ["function1", "function2"]  # of two with nine, the earlier
    assert (read.invocations, read.left_out_rows, read.left_out_invocations) == (59, 3, 12)


def test_only_the_chosen_minutes_count(write: Write) -> None:
    read = trace.read_trace(write([[100, 1, 2], [0, 5, 5]]), range(2, 4), 1)
    assert [(row.function, row.counts) for row in read.rows] == [("function1", (5, 5))]


counts = st.lists(st.integers(0, 40), min_size=1, max_size=5)


@given(st.lists(counts, min_size=1, max_size=5), st.sampled_from(["uniform", "poisson"]), st.integers(), st.data())
@settings(deadline=None)
def test_every_minute_of_every_row_has_exactly_its_count(
    rows: list[list[int]], within: Within, seed: int, data: st.DataObject
) -> None:
    speed = data.draw(st.sampled_from([0.5, 1.0, 60.0, 7.0]))
    arrived = list(trace.arrivals(rows_of(*rows), len(rows), within, seed, speed))
    minute_ns = MINUTE_NS / speed
    counted = Counter((function, int((at_ns + 0.5) // minute_ns)) for at_ns, function in arrived)
    wanted = {(f, minute): count for f, row in enumerate(rows) for minute, count in enumerate(row) if count}
    assert counted == wanted
    assert [at_ns for at_ns, _ in arrived] == sorted(at_ns for at_ns, _ in arrived)


def test_rank_i_goes_to_function_i_and_round_again() -> None:
    arrived = trace.arrivals(rows_of([5], [4], [3]), 2, "uniform", 1)
    assert Counter(function for _, function in arrived) == {0: 8, 1: 4}


def test_uniform_arrivals_are_evenly_spaced_and_poisson_ones_are_not() -> None:
    def gaps(within: Within) -> set[int]:
        times = [at_ns for at_ns, _ in trace.arrivals(rows_of([60]), 1, within, 1)]
        return {round((later - earlier) / 1e6) for earlier, later in pairwise(times)}

    assert gaps("uniform") == {1_000}
    assert len(gaps("poisson")) > 20


def test_poisson_arrivals_lie_anywhere_within_the_minute_alike() -> None:
    counted = Counter(at_ns * 10 // MINUTE_NS for at_ns, _ in trace.arrivals(rows_of([50_000]), 1, "poisson", 3))
    assert all(count == pytest.approx(5_000, rel=0.1) for count in counted.values())
    assert len(counted) == 10


def test_the_same_seed_replays_the_same_times() -> None:
    one, same, other = (list(trace.arrivals(rows_of([30, 9]), 1, "poisson", seed)) for seed in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize(("text", "minutes"), [("1-60", range(1, 61)), ("7", range(7, 8)), ("1440", range(1440, 1441))])
def test_minutes_are_counted_from_one_and_both_ends_included(text: str, minutes: range) -> None:
    assert trace.parse_minutes(text) == minutes


@pytest.mark.parametrize("text", ["0-5", "5-4", "1-1441", "a-b", "-3", "1-", ""])
def test_wrong_minutes_are_refused_by_their_value(text: str) -> None:
    with pytest.raises(ValueError, match=repr(text)):
        trace.parse_minutes(text)


def test_a_file_of_another_format_is_refused_by_line_and_value(tmp_path: Path, write: Write) -> None:
    other = tmp_path / "other.csv"
    other.write_text("name,count\nhello,3\n")
    with pytest.raises(ValueError, match=r"must name the columns HashOwner.*begins 'name,count' and has 2 columns"):
        trace.read_trace(other, range(1, 3), 1)
    broken = write([[1, 2], [3, 4]])
    broken.write_text(broken.read_text().replace("http,3,4", "http,3,many"))
    with pytest.raises(ValueError, match="line 3: has 'many' where a count must stand"):
        trace.read_trace(broken, range(1, 3), 1)


def test_minutes_without_an_invocation_are_refused(write: Write) -> None:
    with pytest.raises(ValueError, match=r"no invocation in minutes 5-6: choose others by --minutes"):
        trace.read_trace(write([[1, 2]]), range(5, 7), 1)
