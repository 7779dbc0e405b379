"""F3: the temporary folder of an engine that was given none, and what killed engines left among temporary files."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

NAME = re.compile(r"invocation-engine-(\d+)-\w+")


def engine_folder() -> Path:
    """A new folder for this process."""
    folder = Path(tempfile.mkdtemp(prefix=f"invocation-engine-{os.getpid()}-"))
    folder.chmod(0o755)  # environments may run as other users and read their code here
    return folder


def remove_of_dead_processes() -> None:
    """Remove the folders, those that code was bundled in too, of processes that are gone."""
    for folder in Path(tempfile.gettempdir()).iterdir():
        match = NAME.fullmatch(folder.name)
        if match and not Path(f"/proc/{match[1]}").exists() and _is_ours(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    try:
        return folder.lstat().st_uid == os.getuid() and folder.is_dir() and not folder.is_symlink()
    except OSError:
        return False
