"""/tmp of real environments: of the size asked for, no memory of the function's, private, and gone with the engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from doors import on_loop
from loop_devices import devices_of

from engine.core import scratches
from engine.core.births import Births
from engine.core.scratches import Scratches
from engine.errors import EngineClosedError, InvalidParameterValueException, SandboxUnavailableError
from engine.sandbox import scratch
from engine.sandbox.scratch import ScratchUnavailableError
from engine.sync import Engine

PATIENCE_S = 60.0  # for what must happen; it never decides how long something may take
BURST = 40
CODE = """
import errno
import os
import random
import sys

CHUNK = random.Random(7).randbytes(1 << 20)
if not os.listdir("/tmp"):
    with open("/tmp/of-init", "w") as file:
        file.write("made by init")


def writes(event, context):
    with open("/tmp/large", "wb", buffering=0) as file:
        for _ in range(event):
            file.write(CHUNK)
    return os.stat("/tmp/large").st_size >> 20


def fills(event, context):
    try:
        with open("/tmp/large", "wb", buffering=0) as file:
            while file.write(CHUNK) == len(CHUNK):
                pass
    except OSError as error:
        assert error.errno == errno.ENOSPC
    size = os.stat("/tmp/large").st_size >> 20
    os.unlink("/tmp/large")
    return size


def tells(event, context):
    before = sorted(os.listdir("/tmp"))
    with open(f"/tmp/{event}", "w") as file:
        file.write("made by " + sys.argv[1])
    about = os.statvfs("/tmp")
    device = os.stat("/tmp").st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    kinds = [line.partition(" - ")[2].split()[0] for line in open("/proc/self/mountinfo") if line.split()[2] == number]
    return {"before": before, "size_mb": about.f_bavail * about.f_frsize >> 20, "kind": kinds[0]}


def reads(event, context):
    return open(event).read()


def leaves(event, context):
    os._exit(1)
"""
ON_DISK = next(
    (
        Path(place)
        for place in (tempfile.gettempdir(), "/var/tmp")
        if scratch._file_system_of(Path(place)) not in scratch._IN_MEMORY
    ),
    Path(tempfile.gettempdir()),
)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=ON_DISK) as folder:
        yield Path(folder)
        assert eventually(lambda: devices_of(Path(folder)) == []), devices_of(Path(folder))


@pytest.fixture
def code(tmp_path: Path) -> str:
    file = tmp_path / "app.py"
    file.write_text(CODE)
    return str(file)


@pytest.fixture
def engine(data_dir: Path) -> Iterator[Engine]:
    with Engine(data_dir) as opened:
        yield opened


def tmp_line(engine: Engine) -> dict[str, Any]:
    found: dict[str, Any] = next(line for line in engine.stats()["limits"] if line["limit"] == "tmp")
    return found


def is_on_disk(engine: Engine) -> bool:
    """Elsewhere it is memory, and says why; the promises that are about memory do not hold then."""
    line = tmp_line(engine)
    assert line["why"]
    return bool(line["mechanism"] == "ext4")


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not holds() and time.monotonic() < deadline:
        os.sched_yield()
    return holds()


def test_a_function_writes_more_to_tmp_than_it_has_memory_and_lives(engine: Engine, code: str) -> None:
    engine.create_function("writer", code=code, handler="app.writes", memory_mb=128, timeout_s=120)
    result = engine.invoke("writer", 300)
    if is_on_disk(engine):
        assert result.json() == 300
        assert result.max_memory_mb <= 128
        assert engine.invoke("writer", 1).start == "warm"
    elif tmp_line(engine)["mechanism"] == "tmpfs":
        assert result.function_error == "Unhandled"


@pytest.mark.parametrize("size_mb", [512, 1_024])
def test_tmp_is_full_at_the_size_asked_for(engine: Engine, code: str, size_mb: int) -> None:
    engine.create_function(
        "filler", code=code, handler="app.fills", memory_mb=2_048, timeout_s=300, ephemeral_storage_mb=size_mb
    )
    engine.create_function("teller", code=code, handler="app.tells", memory_mb=1_769, ephemeral_storage_mb=size_mb)
    told = engine.invoke("teller", "a").json()
    if tmp_line(engine)["mechanism"] is not None:
        assert size_mb - 1 <= told["size_mb"] <= size_mb + 1
        assert size_mb - 2 <= engine.invoke("filler").json() <= size_mb + 1
    if is_on_disk(engine):
        assert told["kind"] == "ext4"


def test_files_stay_between_invocations_and_are_gone_in_the_next_environment(engine: Engine, code: str) -> None:
    engine.create_function("teller", code=code, handler="app.tells", memory_mb=1_769)
    engine.create_function("other", code=code, handler="app.tells", memory_mb=1_769)
    assert engine.invoke("teller", "a").json()["before"] == ["of-init"]
    assert engine.invoke("teller", "b").json()["before"] == ["a", "of-init"]
    assert engine.invoke("other", "c").json()["before"] == ["of-init"]
    engine.update_function_configuration("teller", environment={"A": "b"})
    again = engine.invoke("teller", "d")
    assert (again.start, again.json()["before"]) == ("cold", ["of-init"])


def test_what_the_environments_used_is_given_back_when_they_end(engine: Engine, code: str, data_dir: Path) -> None:
    engine.create_function("leaver", code=code, handler="app.leaves", memory_mb=1_769)
    for _ in range(4):
        assert engine.invoke("leaver").function_error == "Unhandled"
    engine.delete_function("leaver")
    assert eventually(lambda: len(devices_of(data_dir)) <= scratches.STOCK_MAX // 8)


def test_a_burst_of_starts_has_a_tmp_each(engine: Engine, code: str) -> None:
    for number in range(BURST):
        engine.create_function(f"teller-{number}", code=code, handler="app.tells", memory_mb=1_769, timeout_s=120)
    with ThreadPoolExecutor(BURST) as callers:
        results = list(callers.map(lambda number: engine.invoke(f"teller-{number}", f"of-{number}"), range(BURST)))
    assert {result.start for result in results} == {"cold"}
    assert [result.json()["before"] for result in results] == [["of-init"]] * BURST
    if is_on_disk(engine):
        assert {result.json()["kind"] for result in results} == {"ext4"}


def test_copies_of_a_snapshot_find_what_the_template_left_in_tmp(engine: Engine, code: str) -> None:
    engine.create_function("reader", code=code, handler="app.reads", memory_mb=1_769, timeout_s=60, snap_start=True)
    version = engine.publish_version("reader").version
    result = engine.invoke("reader", "/tmp/of-init", qualifier=version)
    assert (result.json(), result.start) == ("made by init", "snapshot")


def test_nothing_is_left_when_the_engine_closes_with_full_tmps(data_dir: Path, code: str) -> None:
    with Engine(data_dir) as engine:
        engine.create_function("writer", code=code, handler="app.writes", memory_mb=1_769, timeout_s=120)
        assert engine.invoke("writer", 100).json() == 100
    assert eventually(lambda: devices_of(data_dir) == [])
    assert list((data_dir / "scratch").glob("*")) == []


def test_nothing_is_left_of_an_engine_that_was_killed(data_dir: Path, code: str) -> None:
    program = (
        "import sys; from engine.sync import Engine; engine = Engine(sys.argv[1]); engine.open()\n"
        "engine.create_function('writer', code=sys.argv[2], handler='app.writes', memory_mb=1_769, timeout_s=120)\n"
        "print(engine.invoke('writer', 100).json(), flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-P", "-c", program, str(data_dir), code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "100\n"
        killed.send_signal(signal.SIGKILL)
    assert eventually(lambda: devices_of(data_dir) == [])
    assert list((data_dir / "scratch").glob("*")) == []
    with Engine(data_dir) as engine:
        assert engine.invoke("writer", 1).json() == 1


def test_a_folder_that_is_made_while_the_engine_closes_starts_nothing(
    data_dir: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, births_closed, made = Event(), Event(), Event()
    fulfil, order, close = Scratches._fulfil, Births.order, Births.close
    ordered_late: list[bool] = []

    def fulfil_late(self: Scratches, *arguments: Any) -> None:
        asked.set()
        assert births_closed.wait(PATIENCE_S)
        fulfil(self, *arguments)
        made.set()

    def order_and_tell(self: Births, *arguments: Any) -> None:
        ordered_late.append(births_closed.is_set())
        order(self, *arguments)

    def close_first(self: Births) -> None:
        close(self)
        births_closed.set()
        assert made.wait(PATIENCE_S)
        on_loop(engine._engine, list)  # it was delivered

    with Engine(data_dir) as engine, ThreadPoolExecutor(1) as caller:
        engine.create_function("teller", code=code, handler="app.tells", memory_mb=1_769, ephemeral_storage_mb=600)
        if not is_on_disk(engine):
            return
        monkeypatch.setattr(Scratches, "_fulfil", fulfil_late)
        monkeypatch.setattr(Births, "order", order_and_tell)
        monkeypatch.setattr(Births, "close", close_first)
        waiting = caller.submit(engine.invoke, "teller", "a")
        assert asked.wait(PATIENCE_S)
        engine.close()
        with pytest.raises(EngineClosedError):
            waiting.result(PATIENCE_S)
    assert True not in ordered_late


class Unavailable:
    def __init__(self, _: Path) -> None:
        raise ScratchUnavailableError("there are no loop devices on this host")


def test_where_it_cannot_be_had_tmp_is_memory_and_that_is_said(
    data_dir: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratches, "LoopScratchPool", Unavailable)
    with Engine(data_dir) as engine:
        line = tmp_line(engine)
        assert line["mechanism"] in ("tmpfs", None)
        engine.create_function("teller", code=code, handler="app.tells", memory_mb=1_769)
        told = engine.invoke("teller", "a").json()
    if line["mechanism"] == "tmpfs":
        assert line["why"] == "charged to the function's memory (there are no loop devices on this host)"
        assert told["kind"] == "tmpfs" and 511 <= told["size_mb"] <= 512


def test_disk_is_refused_where_it_cannot_be_had(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratches, "LoopScratchPool", Unavailable)
    with pytest.raises(SandboxUnavailableError, match='ephemeral_storage="disk" cannot be had here: '):
        Engine(data_dir, ephemeral_storage="disk").open()


def test_memory_is_what_tmp_is_where_that_is_asked_for(data_dir: Path) -> None:
    with Engine(data_dir, ephemeral_storage="memory") as engine:
        assert not is_on_disk(engine)
        assert not (data_dir / "scratch").exists()


def test_another_word_is_refused(data_dir: Path) -> None:
    with pytest.raises(
        InvalidParameterValueException, match="ephemeral_storage='tape': choose one of 'disk', 'memory'"
    ):
        Engine(data_dir, ephemeral_storage="tape")


def test_a_start_whose_folder_cannot_be_made_is_refused_and_says_why(
    data_dir: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Engine(data_dir) as engine:
        engine.create_function("teller", code=code, handler="app.tells", memory_mb=1_769, ephemeral_storage_mb=1_024)
        if not is_on_disk(engine):
            return
        with monkeypatch.context() as patch:
            patch.setattr(scratch, "_format", _fails)
            with pytest.raises(Exception, match=r"no folder for its /tmp could be made: .*No space left"):
                engine.invoke("teller", "a")
        assert engine.invoke("teller", "b").json()["kind"] == "ext4"


def _fails(*_: object) -> None:
    raise OSError(28, "No space left on device")
