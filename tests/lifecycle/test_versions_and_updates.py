"""Updates and deletions while invocations run: those finish where they began, new callers find what is new."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from doors import Function, Gate, watched

from engine import errors

Deploy = Callable[..., Function]
NEW = "def waits(event, context):\n    return 'new code'\n"


def new_code(folder: Path) -> Path:
    file = folder / "endings.py"
    file.write_text(NEW)
    return file


def test_what_runs_during_an_update_finishes_on_the_old_code_and_its_environments_go(
    deploy: Deploy, gate: Gate, tmp_path: Path
) -> None:
    function = deploy("waits", timeout_s=60)
    with ThreadPoolExecutor(4) as threads:
        old = [threads.submit(function, gate.address) for _ in range(3)]
        gate.wait_entered(3)
        with watched(*function.pids()) as wait_gone:
            function.door.update_function_code(function.name, code=new_code(tmp_path))
            new = function()
            assert (new.json(), new.start) == ("new code", "cold")
            assert not any(call.done() for call in old)
            gate.open()
            assert [call.result().json() for call in old] == ["old code"] * 3
            wait_gone()
    assert (function().json(), function.results[-1].start) == ("new code", "warm")
    assert function.stats()["environments"] == {"ready": 1, "starting": 0}


def test_idle_environments_of_old_code_go_at_once(deploy: Deploy, gate: Gate, tmp_path: Path) -> None:
    function = deploy("ends", timeout_s=60)
    with watched(function.pid(function().json())) as wait_gone:
        function.door.update_function_configuration(function.name, environment={"KEY": "V"})
        wait_gone()
    assert function().start == "cold"


def test_a_function_deleted_while_it_runs_answers_and_is_gone(deploy: Deploy, gate: Gate) -> None:
    function = deploy("waits", timeout_s=60)
    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(function, gate.address) for _ in range(2)]
        gate.wait_entered(2)
        with watched(*function.pids()) as wait_gone:
            function.door.delete_function(function.name)
            with pytest.raises(errors.ResourceNotFoundException, match=f"Function not found: arn:.*:{function.name}"):
                function()
            gate.open()
            assert [call.result().json() for call in running] == ["old code"] * 2
            wait_gone()


def test_a_name_can_be_used_again_while_the_deleted_function_still_runs(
    deploy: Deploy, gate: Gate, tmp_path: Path
) -> None:
    function = deploy("waits", timeout_s=60)
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(function, gate.address)
        gate.wait_entered()
        function.door.delete_function(function.name)
        function.door.create_function(function.name, code=new_code(tmp_path), handler="endings.waits")
        assert function().json() == "new code"
        gate.open()
        assert running.result().json() == "old code"


def test_versions_and_aliases_lead_to_the_code_they_name(deploy: Deploy, gate: Gate, tmp_path: Path) -> None:
    function = deploy("tells_context")
    door, name = function.door, function.name
    assert door.publish_version(name).version == "1"
    door.create_alias(name, "live", "1")
    door.update_function_configuration(name, memory_mb=256)
    assert door.publish_version(name).version == "2"
    for qualifier, version, memory in (
        ("1", "1", "1769"),
        ("live", "1", "1769"),
        ("2", "2", "256"),
        (None, "$LATEST", "256"),
    ):
        for result in (function(qualifier=qualifier), door.invoke(f"{name}:{qualifier or '$LATEST'}")):
            told = result.json()
            assert (result.executed_version, told["function_version"]) == (version, version)
            assert told["memory_limit_in_mb"] == memory
            assert f"[{version}]" in told["log_stream_name"]
    door.update_alias(name, "live", function_version="2")
    assert function(qualifier="live").executed_version == "2"
    assert door.stats(name)["functions"][name]["versions"].keys() == {"1", "2", "$LATEST"}
    with pytest.raises(errors.ResourceNotFoundException, match=f"{name}:nobody"):
        function(qualifier="nobody")
    with watched(*function.pids()) as wait_gone:
        door.delete_function(name)
        wait_gone()


def test_updates_under_load_lose_no_invocation(deploy: Deploy, tmp_path: Path) -> None:
    function = deploy("app.handler", code=versioned(tmp_path, 0), timeout_s=60)
    with ThreadPoolExecutor(8) as threads:
        for number in range(1, 6):
            calls = [threads.submit(function, token) for token in range(100)]
            function.door.update_function_code(function.name, code=versioned(tmp_path, number))
            after = function(-1)
            assert after.json() == [number, -1]
            answers = [call.result().json() for call in calls]
            assert [token for _, token in answers] == list(range(100))
            assert {version for version, _ in answers} <= {number - 1, number}


def versioned(folder: Path, number: int) -> Path:
    file = folder / "app.py"
    file.write_text(f"def handler(event, context):\n    return [{number}, event]\n")
    return file
