"""`environments_to_start`: the arithmetic alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.scaling import Load, Scaling, environments_to_start

COUNTS = st.integers(0, 2_000)
TIMES_NS = st.floats(0, 1e12)
LOADS = st.builds(
    Load,
    outstanding=COUNTS,
    ready=COUNTS,
    starting=COUNTS,
    service_ns=TIMES_NS,
    cold_ns=TIMES_NS,
    cpu_share=st.floats(0, 64),
    cpus=st.integers(1, 256),
    ceiling=st.integers(1, 1_000),
)
SCALINGS = st.sampled_from(["adaptive", "lambda"])


def load(**changed: Any) -> Load:
    plain = Load(
        outstanding=0, ready=0, starting=0, service_ns=1e6, cold_ns=3e6, cpu_share=1.0, cpus=2, ceiling=1_000
    )  # fmt: skip
    return replace(plain, **changed)


@given(LOADS, SCALINGS)
def test_never_a_negative_number_nor_above_the_ceiling_nor_more_than_wait(about: Load, scaling: Scaling) -> None:
    started = environments_to_start(about, scaling)
    have = about.ready + about.starting
    assert 0 <= started <= max(0, about.outstanding - have)
    assert started == 0 or have + started <= about.ceiling


@given(LOADS, SCALINGS, COUNTS)
def test_more_waiting_never_starts_fewer(about: Load, scaling: Scaling, more: int) -> None:
    busier = replace(about, outstanding=about.outstanding + more)
    assert environments_to_start(busier, scaling) >= environments_to_start(about, scaling)


@given(LOADS, SCALINGS, st.integers(0, 1_000))
def test_a_higher_ceiling_never_starts_fewer(about: Load, scaling: Scaling, more: int) -> None:
    higher = replace(about, ceiling=about.ceiling + more)
    assert environments_to_start(higher, scaling) >= environments_to_start(about, scaling)


@given(LOADS, SCALINGS)
def test_those_that_start_already_count_as_if_they_were_there(about: Load, scaling: Scaling) -> None:
    ordered = environments_to_start(about, scaling)
    assert environments_to_start(replace(about, starting=about.starting + ordered), scaling) == 0


@given(LOADS)
def test_lambda_starts_exactly_one_for_each_invocation_without_an_environment(about: Load) -> None:
    have = about.ready + about.starting
    missing = min(about.outstanding, about.ceiling) - have
    assert environments_to_start(about, "lambda") == max(0, missing)


@given(LOADS)
def test_adaptive_starts_no_more_than_lambda(about: Load) -> None:
    assert environments_to_start(about, "adaptive") <= environments_to_start(about, "lambda")


@given(LOADS)
def test_whoever_has_no_environment_and_something_to_do_gets_one(about: Load) -> None:
    bare = replace(about, ready=0, starting=0, outstanding=max(1, about.outstanding))
    assert environments_to_start(bare, "adaptive") == 1


@pytest.mark.parametrize(
    ("about", "started"),
    [
        (load(outstanding=3, ready=1), 0),  # 2 ms of queue against a cold start of 3 ms
        (load(outstanding=4, ready=1), 1),  # 3 ms: worth it, and two CPUs
        (load(outstanding=400, ready=1), 1),  # all that two CPUs can keep busy
        (load(outstanding=400, ready=2), 0),
        (load(outstanding=400, ready=2, cpu_share=0.5), 2),
        (load(outstanding=400, ready=2, cpu_share=0.0001), 98),  # 50 per CPU, however little each uses
        (load(outstanding=400, ready=2, cpu_share=0), 132),  # unknown: as many as bring the wait below a cold start
        (load(outstanding=400, ready=2, cpu_share=0.1, service_ns=1e3), 0),  # 0.4 ms of queue
        (load(outstanding=20, ready=2, cpu_share=0, service_ns=1e12), 18),
    ],
)
def test_adaptive_weighs_the_wait_against_a_cold_start(about: Load, started: int) -> None:
    assert environments_to_start(about, "adaptive") == started
