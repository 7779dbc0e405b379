"""F1: the folder that an engine keeps its functions in, held by one engine at a time. Not what is in it.

`engine.lock` is locked (flock) for as long as the engine lives, and says who holds it. The lock belongs to the open
file, which a process forked from the engine's has too: that one closes it at once, so that the lock dies with the
engine's own process. The file stays when the lock goes: removing it could take it from under the next holder.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shlex
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from ..errors import DataFolderInUseError
from .markers import sync_folder

LOCK_NAME: Final = "engine.lock"
COMMAND_SHOWN_MAX: Final = 200  # characters of the holder's command line in a message


class DataFolder:
    """A folder, locked: made for its owner alone if it was not there."""

    def __init__(self, path: Path) -> None:
        """Raises `DataFolderInUseError`, which says by whom; `OSError`."""
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in missing:
            sync_folder(folder.parent)
        self.path = path.resolve()
        self._file = (self.path / LOCK_NAME).open("a+b", buffering=0)
        try:
            _lock(self._file, self.path)
            self._holder: dict[str, Any] = {"pid": os.getpid(), "since": datetime.now(UTC).isoformat(" ", "seconds")}
            self._tell()
        except BaseException:
            self._file.close()
            raise
        close_in_children(self._file)

    def listening_on(self, socket: str) -> None:
        """Have those who find the folder in use told where its engine can be reached."""
        self._holder["socket"] = socket
        self._tell()

    def close(self) -> None:
        """Let others have it. Idempotent."""
        if not self._file.closed:
            self._file.truncate(0)
            fcntl.flock(self._file, fcntl.LOCK_UN)  # a child that was forked just now may not have closed its copy yet
            self._file.close()

    def _tell(self) -> None:
        self._file.truncate(0)
        self._file.write(json.dumps(self._holder).encode())


def _lock(file: io.FileIO, folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise DataFolderInUseError(
            f"{folder} is in use by {_holder(file.read())}: close that engine, or give another data_dir"
        ) from None


def _holder(text: bytes) -> str:
    """Whoever wrote `text` into the lock file, in words."""
    try:
        told = json.loads(text)
        pid, since, socket = int(told["pid"]), str(told["since"]), told.get("socket")
    except (ValueError, KeyError, TypeError):
        return "another engine, which is just opening or closing"
    who = f"another engine of this process ({pid})" if pid == os.getpid() else f"process {pid}"
    reached = "" if socket is None else f", reached at {socket}"
    return f"{who} since {since}{_running(pid)}{reached}"


def _running(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    return f', running "{shlex.join(words[:-1])[:COMMAND_SHOWN_MAX]}"'


def close_in_children(file: IO[bytes] | io.FileIO) -> None:
    """Have processes that are forked from this one close their copy, and the lock on it with it.

    Python keeps such callbacks for the life of the process, so this one keeps nothing alive.
    """
    known = weakref.ref(file)

    def close() -> None:
        if (held := known()) is not None:
            held.close()

    os.register_at_fork(after_in_child=close)
