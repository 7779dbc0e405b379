"""The functions of `tests/functions/`, bundled as a user would: pip into a folder, then a zip. Once per session."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from doors import DOORS, Door

FUNCTIONS = Path(__file__).parent.parent / "functions"


@dataclass(frozen=True)
class Bundles:
    """One folder of installed packages per function, and the zip made of it and the function's own files."""

    folder: Path

    def installed(self, name: str) -> Path:
        """What `pip install -t` gives for a function; nothing where it asks for nothing."""
        target = self.folder / f"{name}-packages"
        requirements = FUNCTIONS / name / "requirements.txt"
        if not target.exists():
            target.mkdir()
            if requirements.exists():
                pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
                subprocess.run([*pip, "--target", str(target), "-r", str(requirements)], check=True)
        return target

    def zipped(self, name: str) -> Path:
        """The zip that a user would upload."""
        made = self.folder / f"{name}.zip"
        if not made.exists():
            whole = self.folder / name
            shutil.copytree(self.installed(name), whole)
            shutil.copytree(FUNCTIONS / name, whole, dirs_exist_ok=True)
            shutil.make_archive(str(made.with_suffix("")), "zip", whole)
        return made


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    return Bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module", params=["blocking", "asyncio"])
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """The engine's own builds go to a cache that goes with the session: nothing of another run can stand in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        with DOORS[request.param]() as opened:
            yield opened
