"""Clients in Go and Node.js, written with those languages' own MessagePack libraries, against the real service."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import service

HERE = Path(__file__).parent
SOURCE = """
def handler(event, context):
    if event == "fail":
        raise ValueError("asked to")
    return event
"""
STEPS = [
    "ping", "create_function", "invoke 64", "function_error", "error ResourceNotFoundException", "delete_function",
]  # fmt: skip


@pytest.fixture(scope="module")
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with service(tmp_path_factory.mktemp("service")) as (where,):
        yield where.removeprefix("unix:")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "code.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("app.py", SOURCE)
    return path


def done(command: list[str], folder: Path, **environment: str) -> str:
    """Its standard output; a failure shows what it said."""
    ended = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def test_a_client_in_go(socket_path: str, bundle: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(HERE / "go", tmp_path / "go")
    caches = {"GOMODCACHE": str(tmp_path / "modules"), "GOCACHE": str(tmp_path / "built"), "GOFLAGS": "-modcacherw"}
    done(["go", "build", "-mod=readonly", "-o", "client", "."], folder, **caches, GOTOOLCHAIN="local", GOWORK="off")
    assert done(["./client", socket_path, str(bundle)], folder).splitlines() == STEPS


def test_a_client_in_node(socket_path: str, bundle: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(HERE / "node", tmp_path / "node")
    done(["npm", "ci", "--no-audit", "--no-fund", "--cache", str(tmp_path / "npm")], folder)
    assert done(["node", "client.mjs", socket_path, str(bundle)], folder).splitlines() == STEPS
