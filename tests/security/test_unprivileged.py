"""The tests of this folder that are about rights, run by a user who has none: what is claimed there holds there too."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ABOUT_RIGHTS = ("test_hostile_reach.py", "test_hostile_calls.py", "test_hostile_network.py")


def test_what_is_claimed_for_a_user_without_rights_is_true(pytestconfig: pytest.Config) -> None:
    """A user who has none runs this folder anyway."""
    if os.geteuid() != 0:
        return
    words = ["-q", "-p", "no:cacheprovider", "-c", str(pytestconfig.inipath), "--rootdir", str(pytestconfig.rootpath)]
    with tempfile.TemporaryDirectory(prefix="nobodys-") as folder:
        command = [sys.executable, "-P", str(HERE / "as_nobody.py"), folder, *words]
        ran = subprocess.run(
            [*command, *(str(HERE / name) for name in ABOUT_RIGHTS)], capture_output=True, text=True, timeout=140
        )
        assert ran.returncode == 0, ran.stdout[-6_000:] + ran.stderr[-2_000:]
