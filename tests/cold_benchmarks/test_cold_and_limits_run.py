"""`python -m benchmarks cold` and `… limits` run to their end, measure what they say they do, and leave nothing."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.breakdown import ENGINES, WHOLE
from benchmarks.cold_memory import INTERPRETERS, interpreters
from benchmarks.processes import PASS, PLAIN, exec_to_exit_ns, execs_per_s, held_below
from benchmarks.stamped_zygote import STEPS
from benchmarks.starts import Crowd, NotAvailable, deploy_many, start_ns, starts_per_s
from engine import Engine

ROOT = Path(__file__).parent.parent.parent
FAILS = (sys.executable, "-c", "raise SystemExit(3)")


def run(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    argv = [sys.executable, "-m", "benchmarks", *arguments, "--smoke", "--json", "-"]
    surroundings = {**os.environ, "TMPDIR": str(tmp_path)}
    ran = subprocess.run(argv, cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    assert list(tmp_path.iterdir()) == []
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def test_cold_starts_are_measured_beside_an_interpreters(tmp_path: Path) -> None:
    told = run(tmp_path, "cold")
    assert told["targets"]
    for row in ("machine idle, p50", "back to back, p99", "sustained", "USS of one more", "PSS of one more"):
        figures = told["rows"][f"hello, {row}"]
        assert len(figures["ours"]) == 1
        assert figures["times_better"].keys() == {"python3"}


def test_a_breakdown_has_every_step_from_request_to_answer_in_order(tmp_path: Path) -> None:
    steps = run(tmp_path, "cold", "--breakdown")["steps"]
    of_environment = [step for step, *_ in STEPS[2:]]
    assert [step for step in steps if step in of_environment] == of_environment
    assert {*list(ENGINES)[:4], *WHOLE} <= steps.keys()


def test_limits_are_tried_in_every_way(tmp_path: Path) -> None:
    told = run(tmp_path, "limits")
    assert all(share["got"] > 0 for share in told["cpu"])
    times = told["settings"]["fills"]
    for what in ("at_limit", "over_limit", "bystander"):
        assert sum(told["memory"][what].values()) == times


def test_a_peer_that_fails_is_no_fast_start() -> None:
    assert exec_to_exit_ns(PASS, PLAIN) > 0
    assert execs_per_s(PASS, PLAIN, 3, 2) > 0
    with pytest.raises(RuntimeError, match=r"SystemExit\(3\) ended with wait status 768"):
        exec_to_exit_ns(FAILS, PLAIN)
    with pytest.raises(RuntimeError, match="ended with wait status 768"):
        execs_per_s(FAILS, PLAIN, 1, 1)


def test_memory_is_that_of_all_processes_below_and_of_none_else() -> None:
    before = held_below(os.getpid())
    each = interpreters("kept = bytearray(b'1') * 20_000_000", PLAIN)
    assert each.pss_bytes >= each.uss_bytes > 20_000_000
    assert each.uss_bytes < 20_000_000 * INTERPRETERS
    assert held_below(os.getpid()).processes == before.processes


def test_every_start_of_a_new_function_is_cold_and_a_second_one_is_refused() -> None:
    async def start() -> None:
        async with Engine() as engine:
            names = await deploy_many(engine, 4)
            assert await start_ns(engine, names[0], "cold") > 0
            assert await starts_per_s(engine, names[1:], 2) > 0
            with pytest.raises(NotAvailable, match="hello-0000 was to have a cold start, and had a warm one"):
                await start_ns(engine, names[0], "cold")

    asyncio.run(start())


def test_a_crowd_has_as_many_environments_as_it_says_and_the_next_call_starts_one_more() -> None:
    async def grow() -> None:
        async with Engine(scaling="lambda") as engine:
            (name,) = await deploy_many(engine, 1)
            crowd = Crowd(engine, name)
            for count in (1, 2):
                await crowd.grow(count)
            assert (await engine.stats())["environments"] == 3
            assert await start_ns(engine, name, "cold") > 0
            await crowd.disperse()

    asyncio.run(grow())
