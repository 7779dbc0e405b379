"""Processes of a runtime that are started before anybody knows for which function."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.sync import Engine

SOURCE = """
const fs = require('fs');
exports.handler = async (event) => {
  if (event.write) fs.writeFileSync('/tmp/left', event.write);
  return {
    pid: process.pid, uid: process.getuid(), own: process.env.OWN, other: process.env.OTHER, cwd: process.cwd(),
    files: fs.readdirSync('/var/task'), tmp: fs.readdirSync('/tmp'), options: process.execArgv,
    limits: fs.readFileSync('/proc/self/limits', 'utf8'), status: fs.readFileSync('/proc/self/status', 'utf8'),
    open: fs.readdirSync('/proc/self/fd').map(Number).filter((fd) => fd > 2 && fd < 1024).length,
    locked: fs.existsSync('/run/store/code'),
  };
};
"""
WITHIN_S = 20.0


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "function"
    folder.mkdir()
    (folder / "index.js").write_text(SOURCE)
    return folder


def primed(engine: Engine) -> int:
    return sum(engine.stats()["primed"].values())


def until_primed(engine: Engine, count: int = 1) -> None:
    deadline = time.monotonic() + WITHIN_S
    while primed(engine) < count:
        assert time.monotonic() < deadline, engine.stats()
        time.sleep(0.01)


def waiting_processes() -> list[psutil.Process]:
    """Node processes below this one that wait for a function."""
    return [each for each in psutil.Process().children(recursive=True) if "main.cjs" in " ".join(_command(each))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def until_started(count: int = 1) -> list[psutil.Process]:
    deadline = time.monotonic() + WITHIN_S
    while len(found := waiting_processes()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def deploy(engine: Engine, name: str, code: Path, **settings: object) -> None:
    engine.create_function(name, code=str(code), handler="index.handler", runtime="nodejs20.x", **settings)


def test_a_deployed_function_begins_in_a_process_that_was_started_before_it_was_called(
    engine: Engine, code: Path
) -> None:
    deploy(engine, "f", code, environment={"OWN": "mine"})
    until_primed(engine)
    (process,) = until_started()
    user = process.uids().real  # each has its own
    told = engine.invoke("f", {}).json()
    assert told["uid"] == user, "another process was started for it"
    assert (told["own"], told["cwd"], told["files"]) == ("mine", "/var/task", ["index.js"])


def test_functions_that_begin_in_the_same_kind_of_process_share_nothing(
    engine: Engine, code: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.js").write_text(SOURCE)
    (other / "more.txt").write_text("more")
    deploy(engine, "f", code, environment={"OWN": "mine"})
    deploy(engine, "g", other, environment={"OTHER": "theirs"})
    until_primed(engine)
    first = engine.invoke("f", {"write": "secret"}).json()
    until_primed(engine)
    second = engine.invoke("g", {}).json()
    assert first["uid"] != second["uid"]
    assert ("own" in second, second["other"]) == (False, "theirs")
    assert second["files"] == ["index.js", "more.txt"]
    assert "left" not in second["tmp"]
    assert not second["locked"]


def test_a_primed_process_has_every_limit_that_one_started_for_its_function_has(engine: Engine, code: Path) -> None:
    deploy(engine, "primed", code)
    until_primed(engine)
    ahead = engine.invoke("primed", {}).json()
    deploy(engine, "plain", code, environment={"UV_THREADPOOL_SIZE": "4"})  # which node reads as it starts
    plain = engine.invoke("plain", {}).json()
    assert ahead["limits"] == plain["limits"]
    kept = ("NoNewPrivs", "Seccomp", "CapEff", "CapPrm", "CapBnd", "Groups")
    assert _fields(ahead["status"], kept) == _fields(plain["status"], kept)
    assert _fields(ahead["status"], ("CapEff", "NoNewPrivs")) == {"CapEff": "0" * 16, "NoNewPrivs": "1"}
    assert ahead["open"] == plain["open"]


def _fields(status: str, names: tuple[str, ...]) -> dict[str, str]:
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return {name: lines[name].strip() for name in names}


def test_what_a_runtime_reads_as_it_starts_is_there_when_it_starts(engine: Engine, code: Path) -> None:
    deploy(engine, "f", code, environment={"NODE_OPTIONS": "--title=own"})
    assert engine.invoke("f", {}).json()["options"]
    assert primed(engine) == 0


def test_a_process_that_waits_is_frozen_and_goes_on_when_it_is_needed(engine: Engine, code: Path) -> None:
    deploy(engine, "f", code)
    until_primed(engine)
    (process,) = until_started()
    deadline = time.monotonic() + WITHIN_S
    while not is_frozen(process):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    user = process.uids().real
    assert engine.invoke("f", {}).json()["uid"] == user


def is_frozen(process: psutil.Process) -> bool:
    """By its cgroup, of either version."""
    for line in Path(f"/proc/{process.pid}/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        v1 = Path("/sys/fs/cgroup/freezer") / path.lstrip("/") / "freezer.state"
        if controllers == "freezer":
            return v1.read_text().strip() == "FROZEN"
        events = Path("/sys/fs/cgroup") / path.lstrip("/") / "cgroup.events"
        if number == "0" and events.exists():
            return "frozen 1" in events.read_text()
    return False


def test_a_process_that_is_killed_while_it_waits_is_replaced_and_nobody_notices(engine: Engine, code: Path) -> None:
    deploy(engine, "f", code)
    until_primed(engine)
    (process,) = until_started()
    process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + WITHIN_S
    while process.status() != psutil.STATUS_ZOMBIE:  # its blank waits for a function, not for it
        assert time.monotonic() < deadline
        time.sleep(0.01)
    result = engine.invoke("f", {})
    assert result.function_error is None
    assert result.json()["files"] == ["index.js"]


def test_the_blank_of_a_waiting_process_that_dies_is_replaced(engine: Engine, code: Path) -> None:
    deploy(engine, "f", code)
    until_primed(engine)
    (process,) = until_started()
    blank = process.parent()
    assert blank is not None
    blank.kill()
    psutil.wait_procs([process], WITHIN_S)
    assert engine.invoke("f", {}).function_error is None


def test_a_failing_function_in_a_primed_process_is_told_as_any_other(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "index.js").write_text("throw new Error('no init');")
    deploy(engine, "f", folder)
    until_primed(engine)
    result = engine.invoke("f", {})
    assert result.function_error == "Unhandled"
    assert result.json()["errorMessage"] == "no init"


def test_none_is_kept_where_tmp_has_another_size(engine: Engine, code: Path) -> None:
    deploy(engine, "f", code, ephemeral_storage_mb=600)
    assert engine.invoke("f", {}).function_error is None


def test_an_engine_that_closes_leaves_no_waiting_process(code: Path) -> None:
    with Engine() as engine:
        deploy(engine, "f", code)
        until_primed(engine)
        processes = until_started()
    assert not [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
