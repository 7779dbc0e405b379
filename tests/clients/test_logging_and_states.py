"""Logging as it is asked for, what is only kept, and states of versions: over a socket as embedded."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from doors import ONE_VCPU_MB, PATIENCE_S, Door
from faces import Face

from engine import errors
from engine.model import FunctionState

LOGS = """
import logging, os

def handler(event, context):
    logging.getLogger().debug("at debug")
    logging.getLogger().info("at info")
    logging.getLogger().error("at error")
    print("printed")
    if event == "fail":
        raise ValueError("asked to")
    return [context.log_group_name, os.environ["AWS_LAMBDA_LOG_GROUP_NAME"], logging.getLogger().level]
"""
PLATFORM = "platform."


@pytest.fixture
def name(held: Door | Face) -> Iterator[str]:
    made = f"f-{uuid4().hex[:8]}"
    yield made
    held.delete_function(made)


def deploy(held: Door | Face, folder: Path, name: str, source: str = LOGS, **settings: object) -> None:
    (folder / "app.py").write_text(source)
    held.create_function(name, code=folder / "app.py", handler="app.handler", memory_mb=ONE_VCPU_MB, **settings)


def lines(held: Door | Face, name: str, request_id: str, **options: object) -> list[str]:
    """Platform's by their types, the function's by level and message, what is printed as it is."""
    told = []
    for event in held.logs(name, request_id=request_id, **options):
        line = json.loads(event.message) if event.message.startswith("{") else {"type": event.message}
        told.append(line.get("type") or f"{line['level']} {line.get('message', line.get('errorType'))}")
    return told


def test_levels_choose_what_is_in_a_json_log(held: Door | Face, name: str, tmp_path: Path) -> None:
    deploy(held, tmp_path, name, log_format="JSON", system_log_level="DEBUG", application_log_level="DEBUG")
    own = ["DEBUG at debug", "INFO at info", "ERROR at error", "printed"]
    result = held.invoke(name, 1, log_tail=True)
    told = lines(held, name, result.request_id)
    ahead = [PLATFORM + kind for kind in ("initStart", "initReport", "start")]
    assert told == [*ahead, *own, PLATFORM + "runtimeDone", PLATFORM + "report"]
    assert json.loads(result.log_tail.splitlines()[-1])["type"] == PLATFORM + "report"
    held.update_function_configuration(name, system_log_level="WARN", application_log_level="FATAL")
    assert lines(held, name, held.invoke(name, 1).request_id) == ["printed"]
    failed = held.invoke(name, "fail")
    assert [line for line in lines(held, name, failed.request_id) if line.startswith(PLATFORM)] == [
        PLATFORM + "runtimeDone",
        PLATFORM + "report",
    ]
    assert lines(held, name, result.request_id) == told  # what was written in another style stays as it was


def test_a_function_that_goes_from_json_to_text_and_back_keeps_each_record_in_its_format(
    held: Door | Face, name: str, tmp_path: Path
) -> None:
    deploy(held, tmp_path, name, log_format="JSON")
    configuration = held.get_function(name)
    assert (configuration.application_log_level, configuration.system_log_level) == ("INFO", "INFO")
    as_json = held.invoke(name, 1).request_id
    text = held.update_function_configuration(name, log_format="Text")
    assert (text.log_format, text.application_log_level, text.system_log_level) == ("Text", None, None)
    as_text = held.invoke(name, 1).request_id
    assert lines(held, name, as_json)[-1] == PLATFORM + "report"
    assert lines(held, name, as_text)[-1].startswith("REPORT RequestId")
    with pytest.raises(errors.InvalidParameterValueException, match='LogFormat is set to "Text"'):
        held.update_function_configuration(name, system_log_level="INFO")
    assert held.update_function_configuration(name, log_format="JSON", system_log_level="WARN").log_format == "JSON"


def test_a_function_knows_its_log_group(held: Door | Face, name: str, tmp_path: Path) -> None:
    deploy(held, tmp_path, name, log_group="/mine/own")
    assert held.get_function(name).log_group == "/mine/own"
    assert held.invoke(name, 1).json() == ["/mine/own", "/mine/own", 30]
    held.update_function_configuration(name, log_group=None)
    own = f"/aws/lambda/{name}"
    assert held.invoke(name, 1).json() == [own, own, 30]
    with pytest.raises(errors.ValidationException, match="at 'loggingConfig"):
        held.update_function_configuration(name, log_group="a b")


def test_an_init_that_fails_is_told_in_json(held: Door | Face, name: str, tmp_path: Path) -> None:
    deploy(held, tmp_path, name, "raise ValueError('not today')", log_format="JSON", system_log_level="WARN")
    held.invoke(name, 1)
    told = [json.loads(event.message) for event in held.logs(name) if event.message.startswith('{"time"')]
    reports = [line["record"] for line in told if line["type"] == PLATFORM + "initReport"]
    assert [(record["phase"], record["status"]) for record in reports][:2] == [("init", "error"), ("invoke", "error")]
    assert not any(event.message.startswith(("INIT_", "REPORT")) for event in held.logs(name))


def test_an_init_ahead_is_told_in_json(held: Door | Face, name: str, tmp_path: Path) -> None:
    deploy(held, tmp_path, name, log_format="JSON")
    held.publish_version(name)
    held.put_provisioned_concurrency_config(name, "1", 1)
    deadline = time.monotonic() + PATIENCE_S
    while held.get_provisioned_concurrency_config(name, "1").status != "READY":
        assert time.monotonic() < deadline
    told = [json.loads(event.message) for event in held.logs(name, qualifier="1")]
    assert [line["type"] for line in told] == [PLATFORM + "initStart", PLATFORM + "initReport"]
    assert held.invoke(name, 1, qualifier="1").start == "provisioned"


def test_settings_that_are_only_kept_come_back(held: Door | Face, name: str, tmp_path: Path) -> None:
    deploy(held, tmp_path, name, kept={"TracingConfig": {"Mode": "Active"}, "VpcConfig": {"SubnetIds": ["a", "b"]}})
    changed = held.update_function_configuration(name, kept={"TracingConfig": None, "KMSKeyArn": "arn:x"})
    assert dict(changed.kept) == {"VpcConfig": {"SubnetIds": ["a", "b"]}, "KMSKeyArn": "arn:x"}
    assert held.publish_version(name).kept == held.get_function(name).kept == changed.kept
    with pytest.raises(errors.InvalidParameterValueException, match="65,536 are taken"):
        held.update_function_configuration(name, kept={"big": "x" * 70_000})
    assert held.get_function(name).kept == changed.kept


def until(held: Door | Face, name: str, wanted: str) -> FunctionState:
    """The state of version 1, once it is no longer Pending."""
    deadline = time.monotonic() + PATIENCE_S
    while (state := held.get_function_state(name, qualifier="1")).state == "Pending":
        assert (state.reason, state.reason_code) == ("The function is being created.", "Creating")
        assert time.monotonic() < deadline
    assert state.state == wanted
    return state


SLOW = "import time\ntime.sleep(0.3)\ndef handler(event, context):\n    return 1\n"
THREADS = "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n" + SLOW


def test_a_version_with_snap_start_is_pending_until_its_snapshot_is_made(
    held: Door | Face, name: str, tmp_path: Path
) -> None:
    deploy(held, tmp_path, name, SLOW, snap_start=True)
    assert held.get_function_state(name) == FunctionState("Active", None, None)
    held.publish_version(name)
    assert held.get_function_state(name, qualifier="1").state == "Pending"
    assert until(held, name, "Active") == FunctionState("Active", None, None)
    assert held.invoke(name, 1, qualifier="1").start == "snapshot"
    with pytest.raises(errors.ResourceNotFoundException):
        held.get_function_state(name, qualifier="9")


@pytest.mark.parametrize(("init", "says"), [("raise ValueError('no')", "ValueError"), (THREADS, "thread")])
def test_a_version_whose_snapshot_cannot_be_made_has_failed_and_says_why(
    held: Door | Face, name: str, tmp_path: Path, init: str, says: str
) -> None:
    deploy(held, tmp_path, name, init, snap_start=True)
    held.publish_version(name)
    state = until(held, name, "Failed")
    assert (state.reason_code, says in str(state.reason)) == ("FunctionError", True)
