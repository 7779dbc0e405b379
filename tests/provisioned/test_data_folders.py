"""What is provisioned is there again, and is started again, however the engine before ended."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import apsw
from doors import PATIENCE_S

from engine.records.offline import bill_of_folder
from engine.sync import Engine

HOST = Path(__file__).parent / "code" / "host.py"


def killed(data: Path) -> None:
    """A host that provisioned has been killed over this data folder."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    argv = [sys.executable, "-P", str(HOST), str(data)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as host:
        assert host.stdout is not None
        try:
            assert host.stdout.readline() == "provisioned\n"
        finally:
            host.kill()


def ready(engine: Any, qualifier: str = "live") -> int:
    """How many are ready, once as many are as were asked for."""
    deadline = time.monotonic() + PATIENCE_S
    while (told := engine.get_provisioned_concurrency_config("f", qualifier)).status != "READY":
        assert time.monotonic() < deadline, told
        os.sched_yield()
    return int(told.available_provisioned_concurrent_executions)


def test_they_are_started_again_after_a_kill_and_billed_all_along(tmp_path: Path) -> None:
    data = tmp_path / "data"
    killed(data)
    with Engine(data_dir=data) as engine:
        before = engine.list_provisioned_concurrency_configs("f")
        assert ready(engine) == 2
        assert engine.invoke("f:live").start == "provisioned"
        (line,) = engine.bill(by="version").lines
        assert (line.function, line.version, line.requests) == ("f", "1", 1)
        assert line.provisioned_gb_seconds >= 600
    with Engine(data_dir=data) as engine:
        assert ready(engine) == 2
        after = engine.list_provisioned_concurrency_configs("f")
        assert [each.last_modified for each in after] == [each.last_modified for each in before]
        engine.delete_function("f")
        (line,) = engine.bill().lines
        assert line.provisioned_gb_seconds >= 600
    assert bill_of_folder(data).lines == (line,)


def test_a_folder_of_an_engine_without_it_is_taken_over(tmp_path: Path) -> None:
    data = tmp_path / "data"
    killed(data)
    catalog = apsw.Connection(str(data / "catalog.db"))
    for newer in ("provisioned", "event_invoke", "resources", "layers", "layer_versions"):
        catalog.execute(f"DROP TABLE {newer}")
    catalog.execute("PRAGMA user_version = 1")
    catalog.close()
    with Engine(data_dir=data) as engine:
        assert engine.list_provisioned_concurrency_configs("f") == []
        engine.put_provisioned_concurrency_config("f", "1", 1)
    with Engine(data_dir=data) as engine:
        assert ready(engine, "1") == 1


def test_a_version_whose_code_is_lost_says_so_and_the_engine_opens(tmp_path: Path) -> None:
    data = tmp_path / "data"
    killed(data)
    for bundle in (data / "code").iterdir():
        shutil.rmtree(bundle) if bundle.is_dir() else bundle.unlink()
    with Engine(data_dir=data) as engine:
        (told,) = engine.list_provisioned_concurrency_configs("f")
        assert told.status == "FAILED" and told.status_reason
