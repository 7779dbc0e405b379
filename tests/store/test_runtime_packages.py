"""A function sees the packages that Lambda's runtime ships, and no others of this environment."""

from __future__ import annotations

import builtins
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from engine.errors import WorkerStartError
from engine.store.runtime_packages import link_runtime_packages

SHIPPED = {
    *("boto3", "botocore", "jmespath", "s3transfer", "dateutil", "six.py", "urllib3"),
    *("simplejson", "snapshot_restore_py.py"),
}


def test_only_what_lambda_ships_is_linked(tmp_path: Path) -> None:
    target = link_runtime_packages(tmp_path / "runtime")
    names = {path.name for path in target.iterdir()}
    assert {name for name in names if not name.endswith(".dist-info")} == SHIPPED
    assert len([name for name in names if name.endswith(".dist-info")]) == len(SHIPPED)
    assert all(path.is_symlink() and path.exists() for path in target.iterdir())


def test_a_bare_interpreter_imports_them_and_knows_their_versions(tmp_path: Path) -> None:
    target = link_runtime_packages(tmp_path / "runtime")
    code = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "import importlib.metadata as m, importlib.util as u\n"
        "import boto3, dateutil.tz, six, urllib3, snapshot_restore_py\n"
        "assert u.find_spec('hypothesis') is None and u.find_spec('pytest') is None\n"
        "print(m.version('boto3'), boto3.__file__)\n"
    )
    # -S: no site-packages; without bytecode nothing is written through the links
    bare = [sys.executable, "-I", "-S", "-B", "-c", code]
    out = subprocess.run(bare, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    assert out.stdout.split()[0] == metadata.version("boto3")
    assert out.stdout.split()[1].startswith(str(target))


def test_the_same_is_found_without_the_packaging_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {path.name for path in link_runtime_packages(tmp_path / "a").iterdir()}
    original = builtins.__import__

    def without_packaging(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "packaging":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_packaging)
    assert {path.name for path in link_runtime_packages(tmp_path / "b").iterdir()} == expected


def test_a_folder_from_before_is_brought_up_to_date(tmp_path: Path) -> None:
    (tmp_path / "stale").symlink_to("/nowhere")
    link_runtime_packages(tmp_path)
    assert not (tmp_path / "stale").is_symlink()
    (tmp_path / "mine.txt").touch()
    with pytest.raises(FileExistsError, match=r"mine\.txt is not a symlink"):
        link_runtime_packages(tmp_path)


def test_a_missing_package_is_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = metadata.distribution

    def without_jmespath(name: str) -> metadata.Distribution:
        if name == "jmespath":
            raise metadata.PackageNotFoundError(name)
        return original(name)

    monkeypatch.setattr(metadata, "distribution", without_jmespath)
    with pytest.raises(WorkerStartError, match=r"jmespath, .*requires it.*pip install jmespath"):
        link_runtime_packages(tmp_path / "runtime")
    assert not (tmp_path / "runtime").exists()
