"""The targets of the engine's socket: ratios of medians over rounds, and what is said where a side is missing."""

from __future__ import annotations

import pytest

from benchmarks.comparison import Outcome, Turn
from benchmarks.peers import PEERS, verdicts
from benchmarks.report import as_json

REDIS = {"sequential_p50_us": 20.0, "in_flight_per_s": 100_000.0, "pipelined_per_s": 1_000_000.0}


def outcome(ours: Turn, redis: Turn = REDIS) -> Outcome:
    return Outcome(
        turns={"engine-socket": [ours], "redis": [redis]}, titles={"engine-socket": "ours", "redis": "Redis"}
    )


@pytest.mark.parametrize(
    ("p50_us", "in_flight", "pipelined", "met"),
    [
        (40.0, 70_000.0, 200_000.0, [True, True, True]),
        (40.1, 70_000.0, 200_000.0, [False, True, True]),
        (40.0, 69_999.0, 200_000.0, [True, False, True]),
        (40.0, 70_000.0, 199_999.0, [True, True, False]),
    ],
)
def test_each_target_is_met_up_to_its_bound(p50_us: float, in_flight: float, pipelined: float, met: list[bool]) -> None:
    ours = {"sequential_p50_us": p50_us, "in_flight_per_s": in_flight, "pipelined_per_s": pipelined}
    assert [verdict.met for verdict in verdicts(outcome(ours))] == [*met, None, None]  # nor HTTP, nor runtimes


def test_http_is_held_against_uvicorn_that_echoes_itself() -> None:
    for rate, met in ((10_000.0, True), (9_999.0, False)):
        turns = {"engine-http": [{"in_flight_per_s": rate}], "uvicorn": [{"in_flight_per_s": 20_000.0}]}
        assert verdicts(Outcome(turns=turns))[3].met is met


def test_a_runtime_is_held_against_the_same_client_on_a_minimal_server() -> None:
    for rate, met in ((15_000.0, True), (14_999.0, False)):
        turns = {"engine-runtime-api": [{"in_flight_per_s": rate}], "runtime-api": [{"in_flight_per_s": 10_000.0}]}
        assert verdicts(Outcome(turns=turns))[4].met is met


def test_pipelined_calls_are_held_against_redis_without_pipelining() -> None:
    assert verdicts(outcome({"pipelined_per_s": 250_000.0}))[2].measured == "2.50x (250,000 / 100,000 per s)"


def test_the_median_over_rounds_decides() -> None:
    rounds = outcome({})
    rounds.turns["engine-socket"] = [{"sequential_p50_us": p50_us} for p50_us in (10.0, 30.0, 900.0)]
    assert verdicts(rounds)[0].measured == "1.50x (30.0 / 20.0 µs); best 0.50x (10.0 / 20.0 µs)"


@pytest.mark.parametrize("missing", [outcome({}), outcome(REDIS, {}), Outcome()])
def test_what_was_not_measured_is_neither_met_nor_missed(missing: Outcome) -> None:
    assert {verdict.met for verdict in verdicts(missing)} == {None}


def test_programs_get_ratios_against_redis_and_failures_by_name() -> None:
    measured = outcome({"sequential_p50_us": 10.0, "in_flight_per_s": 50_000.0})
    measured.failures["ray"] = "ImportError: no ray"
    told = as_json(PEERS, measured, {}, {})
    figures = told["figures"]["engine-socket"]
    assert figures["sequential_p50_us"] == {"median": 10.0, "low": 10.0, "high": 10.0, "times_better_than_redis": 2.0}
    assert figures["in_flight_per_s"]["times_better_than_redis"] == 0.5
    assert [target["met"] for target in told["targets"]] == [True, False, None, None, None]
    assert told["failures"] == {"ray": "ImportError: no ray"}
