"""`python -m benchmarks`: what it refuses, what it does with a contender that fails, and which comparison runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks import contenders
from benchmarks.__main__ import main

ROOT = Path(__file__).parent.parent.parent


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["peers", "--peers", "redis,rediss"], "no contender is called 'rediss'"),
        (["peers", "--peers", ","], "no contender is named"),
        (["peers", "--rounds", "0"], "0 is not in the range"),
        (["peers", "--seconds", "61"], "61.0 is not in the range"),
        (["--peers", "nobody"], "no contender is called 'nobody'"),
        (["--smoke", "peers"], "unexpected extra argument"),
        (["piers"], "unexpected extra argument"),
    ],
)
def test_a_wrong_argument_is_refused_with_the_reason(arguments: list[str], said: str) -> None:
    refused = run(*arguments)
    assert refused.exit_code == 2
    assert said in " ".join(refused.output.replace("│", " ").split())


def test_help_names_both_comparisons_and_pools_are_the_default() -> None:
    assert all(command in run("--help").output for command in ("peers", "pools"))
    assert run("pools", "--peers", "nobody").output == run("--peers", "nobody").output


@pytest.mark.parametrize("default", [contenders.DEFAULT_POOLS, contenders.DEFAULT_PEERS])
def test_the_defaults_name_contenders_each_once(default: str) -> None:
    names = contenders.chosen(default)
    assert names and len(names) == len(set(names))


def test_a_name_may_stand_twice_and_between_blanks() -> None:
    assert contenders.chosen(" redis ,redis,, ray") == ["redis", "ray"]
    assert contenders.chosen("engine") == ["engine", "engine-async"]


def test_a_contender_that_fails_is_told_the_others_go_on_and_nothing_stays(tmp_path: Path) -> None:
    programs, folder = tmp_path / "bin", tmp_path / "tmp"
    programs.mkdir()
    folder.mkdir()
    broken = programs / "redis-server"
    broken.write_text("#!/bin/sh\necho no room >&2\nexit 3\n")
    broken.chmod(0o755)
    command = [sys.executable, "-m", "benchmarks", "peers", "--smoke", "--peers", "redis,eventfd", "--json", "-"]
    surroundings = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": str(folder)}
    ran = subprocess.run(
        command, cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=100, check=False
    )  # fmt: skip
    told = json.loads(ran.stdout)
    assert ran.returncode == 1
    assert "ended with status 3; it said: no room" in told["failures"]["redis"]
    assert told["figures"]["eventfd"]["sequential_p50_us"]["median"] > 0
    assert list(folder.iterdir()) == []
