"""F3: the temporary folder of an engine that was given none, and those of engines that were killed."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

NAME = re.compile(r"invocation-engine-(\d+)-\w+")


def engine_folder() -> Path:
    """A new folder for this process; what engines of processes that are gone left behind is removed first."""
    parent = Path(tempfile.gettempdir())
    for folder in parent.iterdir():
        match = NAME.fullmatch(folder.name)
        if match and not Path(f"/proc/{match[1]}").exists() and _is_ours(folder):
            shutil.rmtree(folder, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"invocation-engine-{os.getpid()}-"))
    folder.chmod(0o755)  # environments may run as other users and read their code here
    return folder


def _is_ours(folder: Path) -> bool:
    try:
        return folder.lstat().st_uid == os.getuid() and folder.is_dir() and not folder.is_symlink()
    except OSError:
        return False
