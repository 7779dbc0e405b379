"""An engine finds what the last one with its data folder left, and is alone with it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from doors import DOORS, watched

from engine import errors
from engine.sync import Engine

Start = Callable[..., "subprocess.Popen[str]"]
CODE = Path(__file__).parent / "code" / "numbered.py"
ROUNDS = 3


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def deployed(data: Path) -> Iterator[Path]:
    """A data folder with functions `f` and `g` of different code."""
    with Engine(data_dir=data) as engine:
        engine.create_function("f", code=CODE, handler="numbered.handler", environment={"N": "f"})
        other = data.parent / "other.py"
        other.write_text("def handler(event, context):\n    return 'other'\n")
        engine.create_function("g", code=other, handler="other.handler")
    yield data


def everything(engine: Any) -> object:
    names = [configuration.function_name for configuration in engine.list_functions()]
    return {
        name: (engine.list_versions(name), engine.list_aliases(name), engine.get_function_concurrency(name))
        for name in names
    }


@pytest.mark.parametrize("door", DOORS)
def test_everything_is_there_again_and_runs(door: str, data: Path) -> None:
    with DOORS[door](data_dir=data) as engine:
        engine.create_function("f", code=CODE, handler="numbered.handler", environment={"N": "1"}, layers=[CODE])
        engine.publish_version("f", description="first")
        engine.update_function_configuration("f", environment={"N": "2"}, timeout_s=7, network="none", snap_start=True)
        engine.publish_version("f")
        engine.create_alias("f", "live", "1", description="what callers get")
        engine.create_alias("f", "next", "2")
        engine.update_alias("f", "next", function_version="$LATEST")
        engine.create_alias("f", "gone", "2")
        engine.delete_alias("f", "gone")
        engine.create_function("stopped", code=CODE, handler="numbered.handler")
        engine.put_function_concurrency("stopped", 0)
        engine.create_function("deleted", code=CODE, handler="numbered.handler")
        engine.publish_version("deleted")
        engine.delete_function("deleted")
        before = everything(engine)
    with DOORS[door](data_dir=data) as engine:
        assert everything(engine) == before
        assert engine.get_alias("f", "live").description == "what callers get"
        with pytest.raises(errors.ResourceNotFoundException):
            engine.get_alias("f", "gone")
        assert engine.invoke("f:live", 0).json() == ["1", "1", 0]
        assert engine.invoke("f", 0).json() == ["2", "$LATEST", 0]
        with pytest.raises(errors.TooManyRequestsException):
            engine.invoke("stopped")
        assert engine.publish_version("f").version == "2"  # nothing has changed since
        engine.create_function("deleted", code=CODE, handler="numbered.handler")
        assert engine.publish_version("deleted").version == "2"


def test_a_deleted_alias_leads_nowhere_at_once(data: Path) -> None:
    with Engine(data_dir=data) as engine:
        engine.create_function("f", code=CODE, handler="numbered.handler")
        engine.create_alias("f", "live", "$LATEST")
        assert engine.invoke("f:live", 1).json() == [None, "$LATEST", 1]
        engine.delete_alias("f", "live")
        with pytest.raises(errors.ResourceNotFoundException, match="f:live"):
            engine.invoke("f:live", 1)


def test_a_temporary_engine_keeps_nothing(tmp_path: Path) -> None:
    with Engine() as engine:
        folder = engine._engine._control._temporary  # type: ignore[union-attr]
        assert folder is not None
        engine.create_function("f", code=CODE, handler="numbered.handler")
        assert {path.name for path in folder.iterdir()} == {"code", "runtime", "scratch"}
        engine._engine.listening_on("/nowhere")
    assert not folder.exists()


def test_code_that_was_lost_is_refused_and_the_other_function_runs(deployed: Path) -> None:
    with Engine(data_dir=deployed) as engine:
        code = engine.get_function("f").code
    code.root.rename(deployed.parent / "away")
    code.root.with_name(f"{code.root.name}.zip").unlink()
    with Engine(data_dir=deployed) as engine:
        assert [found.function_name for found in engine.list_functions()] == ["f", "g"]
        assert engine.invoke("g").json() == "other"
        for _ in range(2):
            with pytest.raises(errors.InvalidZipFileException, match=r"code of f .* again with update_function_code"):
                engine.invoke("f")
        engine.update_function_code("f", code=CODE)
        assert engine.invoke("f", 1).json() == ["f", "$LATEST", 1]


def test_a_tree_that_was_lost_is_unpacked_again(deployed: Path) -> None:
    with Engine(data_dir=deployed) as engine:
        engine.get_function("f").code.root.rename(deployed.parent / "away")
    with Engine(data_dir=deployed) as engine:
        assert engine.invoke("f", 1).json() == ["f", "$LATEST", 1]


def test_a_second_engine_is_refused_and_the_first_goes_on(deployed: Path) -> None:
    with Engine(data_dir=deployed) as first:
        for make in DOORS.values():
            with pytest.raises(errors.DataFolderInUseError, match=rf"{deployed} is in use by another .*{os.getpid()}"):
                make(data_dir=deployed).__enter__()
        assert first.invoke("f", 1).json() == ["f", "$LATEST", 1]
        first.update_function_configuration("f", timeout_s=9)
    with Engine(data_dir=deployed) as second:
        assert second.get_function("f").timeout_s == 9


def test_an_engine_in_another_process_is_named_and_once_it_is_killed_the_next_finds_all(
    start: Start, data: Path
) -> None:
    for _ in range(ROUNDS):
        child = start("keeps_an_engine.py", data)
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(5)]
        with pytest.raises(errors.DataFolderInUseError) as caught:
            Engine(data_dir=data).open()
        assert f"in use by process {child.pid} since 2" in str(caught.value)
        assert "keeps_an_engine.py" in str(caught.value)
        with watched(*[below.pid for below in psutil.Process(child.pid).children(recursive=True)]) as wait_gone:
            child.kill()
            lines += child.stdout.readlines()
            child.wait()
            wait_gone()
        answered = [json.loads(line) for line in lines if line.endswith("\n")][-1]
        with Engine(data_dir=data) as engine:
            found = engine.get_function("f")
            number = int(found.environment["N"])
            assert number in (answered[0], answered[0] + 1)
            assert number > answered[0] or found.revision_id == answered[1]
            assert engine.invoke("f", 1).json() == [str(number), "$LATEST", 1]


def test_a_child_that_outlives_a_killed_host_does_not_keep_the_folder(start: Start, data: Path) -> None:
    host = start("keeps_an_engine.py", data, "fork")
    assert host.stdout is not None and host.stdin is not None
    host.stdout.readline()
    below = [child.pid for child in psutil.Process(host.pid).children(recursive=True)]
    with watched(*below) as wait_gone:
        host.kill()
        host.wait()
        with Engine(data_dir=data) as engine:  # the forked child still reads its standard input
            assert engine.get_function("f").function_name == "f"
        host.stdin.close()
        wait_gone()
    with Engine():  # removes the dead host's cgroups, which the child's copy of their lock kept until now
        pass


@pytest.mark.parametrize("content", [b"not a database " * 100, b""])
def test_an_engine_that_cannot_read_its_folder_says_so_and_leaves_nothing(deployed: Path, content: bytes) -> None:
    catalog = deployed / "catalog.db"
    before = catalog.read_bytes()
    catalog.write_bytes(content)
    children = set(psutil.Process().children(recursive=True))
    for make in DOORS.values():
        with pytest.raises(errors.DataFolderError, match=rf"^{catalog} is damaged"):
            make(data_dir=deployed).__enter__()
    assert set(psutil.Process().children(recursive=True)) == children
    catalog.write_bytes(before)  # the way out that the message names
    with Engine(data_dir=deployed) as engine:
        assert engine.invoke("f", 1).json() == ["f", "$LATEST", 1]


def test_what_a_killed_engine_was_making_is_swept(deployed: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for left in (deployed / "code" / ".incoming-x", tmp_path / "invocation-engine-4194305-abc"):  # nobody's pid
        left.mkdir()
        (left / "bundle.zip").write_text("half")
    with Engine(data_dir=deployed):
        assert not (deployed / "code" / ".incoming-x").exists()
        assert not (tmp_path / "invocation-engine-4194305-abc").exists()


def test_what_functions_no_longer_use_is_gone_from_disk(deployed: Path) -> None:
    with Engine(data_dir=deployed) as engine:
        code = engine.get_function("f").code.root
        engine.invoke("f")
        engine.update_function_code("f", code=deployed.parent / "other.py")  # its environment may end after the engine
    with Engine(data_dir=deployed):
        assert not list(code.parent.glob(f"{code.name}*"))
