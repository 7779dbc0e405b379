"""`python -m benchmarks soak` and `… scale`: what they decide from made-up figures, and that both run to their end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import scale, soak
from benchmarks.comparison import Verdict
from benchmarks.residents import ROLES, Residents
from benchmarks.soak import Minute, Soaked
from benchmarks.soak_load import Second
from engine.load.distribution import Counts

ROOT = Path(__file__).parent.parent.parent
LEDGER_BYTES = 100_000_000


def held(rss_mb: float, fds: int = 50, ledger_mb: float = 90.0) -> Residents:
    return Residents(dict.fromkeys(ROLES, int(rss_mb * 1e6)), dict.fromkeys(ROLES, fds), 2, int(ledger_mb * 1e6))


def soaked(samples: list[Residents], *p999_us: float) -> Soaked:
    minutes = [Minute(1_000, 10.0, 100.0, 200.0, each, each) for each in p999_us]
    return Soaked(minutes, [(float(number), sample) for number, sample in enumerate(samples, 1)])


def decided(verdicts: list[Verdict]) -> dict[str, bool | None]:
    return {verdict.what: verdict.met for verdict in verdicts}


def test_what_stays_as_it_is_meets_every_target() -> None:
    met = decided(soak.verdicts(soaked([held(50)] * 300, 900, 800), LEDGER_BYTES))
    assert set(met.values()) == {True}
    assert len(met) == 8


def test_memory_that_grows_is_found_and_a_first_minute_that_fills_buffers_is_not() -> None:
    leak = soaked([held(50 + number * 0.01) for number in range(300)], 900, 900)
    filling = soaked([held(min(number, 55)) for number in range(300)], 900, 900)
    assert decided(soak.verdicts(leak, LEDGER_BYTES))["memory of service"] is False
    assert decided(soak.verdicts(filling, LEDGER_BYTES))["memory of service"] is True


def test_a_peak_that_goes_again_is_no_growth() -> None:
    peak = soaked([held(70 if 150 < number < 200 else 50) for number in range(300)], 900, 900)
    assert decided(soak.verdicts(peak, LEDGER_BYTES))["memory of zygote"] is True


def test_descriptors_that_grow_are_found() -> None:
    leak = soaked([held(50, 50 + number // 60) for number in range(300)], 900, 900)
    assert decided(soak.verdicts(leak, LEDGER_BYTES))["descriptors of environments"] is False


@pytest.mark.parametrize(("last_us", "met"), [(1_800.0, True), (1_801.0, False)])
def test_the_last_minute_is_held_against_the_first(last_us: float, met: bool) -> None:
    told = soak.verdicts(soaked([held(50)] * 300, 900, 5_000, last_us), LEDGER_BYTES)
    assert decided(told)["p99.9 of the last minute"] is met


def test_a_ledger_over_its_bound_is_found() -> None:
    told = soak.verdicts(soaked([held(50)] * 300 + [held(50, ledger_mb=103)], 900, 900), LEDGER_BYTES)
    assert decided(told)["the ledger on disk"] is False


def test_what_is_too_short_to_tell_is_not_decided() -> None:
    met = decided(soak.verdicts(soaked([held(50)] * 70, 900), LEDGER_BYTES))
    assert {what for what, told in met.items() if told is not None} == {"the ledger on disk"}


def second(latency_ns: int, calls: int, seconds: float = 1.0) -> Second:
    counts = Counts()
    counts.add(np.full(calls, latency_ns, np.int64))
    buckets = np.flatnonzero(counts.of)
    return Second(seconds, buckets, counts.of[buckets])


def test_seconds_become_minutes_and_no_call_is_left_out() -> None:
    seconds = [second(100_000, 50)] * 60 + [second(200_000, 25)] * 60 + [second(900_000, 1, 0.1)]
    first, last = soak.minutes_of(seconds, 2)
    assert (first.calls + last.calls, first.calls) == (60 * 50 + 60 * 25 + 1, 60 * 50)
    assert first.p50_us == pytest.approx(100, rel=0.01)
    assert last.p50_us == pytest.approx(200, rel=0.01)
    assert last.max_us == pytest.approx(900, rel=0.01)
    assert last.calls_per_s == pytest.approx(25, rel=0.01)


@pytest.mark.parametrize(
    ("crowded_us", "idle_share", "met"),
    [([11.0, 12.0, 90.0], 0.0, [True, True]), ([11.0, 12.1, 13.0], 0.006, [False, False])],
)
def test_a_crowd_is_held_against_one_function(crowded_us: list[float], idle_share: float, met: list[bool]) -> None:
    scaled = scale.Scaled({"embedded": scale.Paired([10.0, 9.0, 30.0], crowded_us)}, idle_share)
    assert [verdict.met for verdict in scale.verdicts(scaled, scale.Settings())] == met


def test_a_crowd_that_is_not_there_is_not_measured() -> None:
    class Few:
        def stats(self) -> dict[str, Any]:
            versions = {"$LATEST": {"environments": {"ready": 1}}}
            return {"functions": {name: {"versions": versions} for name in "ab"}}

    scale.check_alive(Few(), 2)
    with pytest.raises(RuntimeError, match="2 environments are alive, not 3"):
        scale.check_alive(Few(), 3)


@pytest.mark.parametrize("command", ["soak", "scale"])
def test_it_runs_to_its_end_and_nothing_stays(command: str, tmp_path: Path) -> None:
    surroundings = {**os.environ, "TMPDIR": str(tmp_path)}
    argv = [sys.executable, "-m", "benchmarks", command, "--smoke", "--json", "-"]
    ran = subprocess.run(argv, cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["targets"]
    if command == "soak":
        assert told["minutes"][0]["calls"] > 0
        assert all(sample["rss_bytes"]["service"] > 0 for sample in told["samples"])
        assert told["samples"][-1]["ledger_bytes"] > 0
    else:
        assert set(told["doors"]) == {"embedded", "socket"}
    assert list(tmp_path.iterdir()) == []
