"""docs/engine.service says what `engine serve` takes, and what it starts tells systemd that it is ready."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli import main
from engine.rpc.server import CONNECTIONS_MAX

UNIT = (Path(__file__).parent.parent.parent / "docs" / "engine.service").read_text()
SETTINGS = dict(re.findall(r"^(\w+)=(.*)$", UNIT, re.MULTILINE))
COMMAND = shlex.split(SETTINGS["ExecStart"])


def test_it_starts_serve_with_options_that_serve_has() -> None:
    options = {option for parameter in main.commands["serve"].params for option in parameter.opts}
    assert COMMAND[1] == "serve"
    assert {word for word in COMMAND if word.startswith("--")} <= options


def test_its_folders_are_those_that_systemd_makes_for_it() -> None:
    given = dict(zip(COMMAND[2::2], COMMAND[3::2], strict=True))
    assert os.path.dirname(given["--socket"]) == f"%t/{SETTINGS['RuntimeDirectory']}"
    assert given["--data"] == f"%S/{SETTINGS['StateDirectory']}" == SETTINGS["WorkingDirectory"]


def test_systemd_waits_longer_than_it_drains() -> None:
    given = dict(zip(COMMAND[2::2], COMMAND[3::2], strict=True))
    assert int(SETTINGS["TimeoutStopSec"]) >= float(given["--drain"]) + 10
    assert int(SETTINGS["LimitNOFILE"]) > 2 * CONNECTIONS_MAX


@pytest.mark.parametrize("setting", ["NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictRealtime"])
def test_it_is_closed_in(setting: str) -> None:
    assert SETTINGS[setting] == "yes"


def test_it_leaves_the_sandbox_what_that_is_made_of() -> None:
    assert set(SETTINGS["RestrictNamespaces"].split()) == {"user", "mnt", "pid", "ipc", "uts", "net"}
    assert {"@mount", "sethostname"} <= set(SETTINGS["SystemCallFilter"].split())
    assert not {"ProtectHostname", "ProtectKernelTunables", "ProtectKernelLogs"} & SETTINGS.keys()


def test_what_it_starts_says_when_it_is_ready_and_when_it_stops(tmp_path: Path) -> None:
    command = [word.replace("%t", str(tmp_path)).replace("%S", str(tmp_path)) for word in COMMAND[1:]]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        argv = [sys.executable, "-P", "-m", "engine", *command]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, env=environment) as process:
            assert manager.recv(100) == b"READY=1"
            process.terminate()
            assert manager.recv(100) == b"STOPPING=1"
            assert process.wait(60) == 0
