"""Tools that deploy to Lambda, each in a virtual environment of its own: their requirements are not ours."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

INSTALL_S = 600
# Kept from run to run, since half a gigabyte is not to be fetched for each.
KEPT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "invocation-engine" / "test-tools"


def installed(*requirements: str) -> Path:
    """The folder of the commands of these packages, installed by pip the first time. Fails where that cannot be."""
    key = hashlib.sha256(repr((sys.version, requirements)).encode()).hexdigest()[:16]
    folder, whole = KEPT / key, KEPT / f"{key}.whole"
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of another run of the tests
        if not whole.exists():
            _run([sys.executable, "-m", "venv", "--clear", str(folder)], requirements)
            _run([str(folder / "bin" / "pip"), "install", "--quiet", *requirements], requirements)
            whole.touch()
    return folder / "bin"


def _run(command: list[str], requirements: tuple[str, ...]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)
    assert done.returncode == 0, (
        f"{' '.join(requirements)} could not be installed by pip, which takes a package index (a network, or "
        f"PIP_INDEX_URL or PIP_FIND_LINKS of your own): {done.stderr[-2_000:]}"
    )
