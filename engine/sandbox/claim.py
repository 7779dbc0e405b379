"""F1: the directory that names a live engine, and the removal of those that dead engines left. Not what is in it.

An engine owns `invocation-engine-<pid>-<n>` in each hierarchy and holds a lock on its `cgroup.procs` for life. One is
stale when nobody has that pid *and* the lock is free: with PID namespaces an engine alive elsewhere has a pid that is
nobody's here, but its lock is held. Only `cell-*` inside a stale one is killed: those were the dead engine's
environments.

The lock is a POSIX record lock (F_SETLK), which belongs to the process: it goes when the engine does, whatever copies
of the descriptor its forked children still have. (flock and OFD locks belong to the open file, so a child that outlives
the engine keeps them.) Its known weakness, that closing any descriptor of the file drops it, needs somebody in this
process to open that very file; the pid would then still tell every engine but one in another PID namespace.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Final

from .contract import KILL_WITHIN_S, MechanismUnavailableError
from .control import FREEZER_STATE, ControlFiles, pids_in
from .reaper import kill_all

_NAME: Final = re.compile(r"invocation-engine-(\d+)-\d+")
_ENGINES_PER_PROCESS: Final = 256
_STALE_AT_ONCE: Final = 256
_LOCK_FILE: Final = "cgroup.procs"
_FLOCK: Final = struct.Struct("hhqqi4x")  # struct flock of a 64-bit Linux, natively aligned


class Claim:
    """This engine's own directories, one per hierarchy, under the same name, locked."""

    def __init__(self, files: ControlFiles, parents: dict[str, Path]) -> None:
        """MechanismUnavailableError when one of them cannot be made."""
        self._files = files
        self._locks: list[int] = []
        self.directories: dict[str, Path] = {}
        name = self._free_name(list(parents.values()))
        try:
            for controller, parent in parents.items():
                self._own(controller, parent / name)
        except OSError as error:
            self.release()
            raise MechanismUnavailableError(f"cannot make a directory under {parent}: {error.strerror}") from error

    def release(self) -> list[Path]:
        """Remove the directories; those that could not be. Idempotent: it retries."""
        for controller, directory in list(self.directories.items()):
            if gone(self._files, directory):
                del self.directories[controller]
        while self._locks:
            os.close(self._locks.pop())
        return list(self.directories.values())

    def _own(self, controller: str, directory: Path) -> None:
        if directory in self.directories.values():  # controllers mounted together share one directory
            self.directories[controller] = directory
            return
        self._files.make(directory)
        self.directories[controller] = directory
        descriptor = os.open(directory / _LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
        self._locks.append(descriptor)
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _free_name(self, parents: list[Path]) -> str:
        names = (f"invocation-engine-{os.getpid()}-{number}" for number in islice(count(), _ENGINES_PER_PROCESS))
        for name in names:
            if not any((parent / name).exists() for parent in parents):
                return name
        raise MechanismUnavailableError(f"this process has {_ENGINES_PER_PROCESS} engines open: close some")


def gone(files: ControlFiles, directory: Path) -> bool:
    """Remove one directory; True when it is not there any more, False while something is in it."""
    try:
        files.remove(directory)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return False
        raise
    return True


def remove_stale(files: ControlFiles, parent: Path) -> None:
    """Remove what dead engines left under `parent`, at most `_STALE_AT_ONCE` of them. Never raises for one of them."""
    named = (entry for entry in _directories(parent) if _NAME.fullmatch(entry.name))
    for directory in islice(named, _STALE_AT_ONCE):
        try:
            if _is_stale(directory):
                _remove_tree(files, directory)
        except OSError:
            continue  # another engine is removing it too, or it is not ours to remove


def _is_stale(directory: Path) -> bool:
    match = _NAME.fullmatch(directory.name)
    if match is None or Path("/proc", match[1]).exists():
        return False
    descriptor = os.open(directory / _LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind: int = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))[0]
    finally:
        os.close(descriptor)
    return kind == fcntl.F_UNLCK


def _remove_tree(files: ControlFiles, directory: Path) -> None:
    for inner in _directories(directory):
        if inner.name.startswith("cell-"):
            kill_all(partial(pids_in, files, inner), KILL_WITHIN_S, then=partial(_thaw, files, inner))
        gone(files, inner)
    gone(files, directory)


def _thaw(files: ControlFiles, cell: Path) -> None:
    """v1's frozen processes do not die before; v2's do."""
    if (cell / FREEZER_STATE).exists():
        files.write(cell / FREEZER_STATE, "THAWED")


def _directories(parent: Path) -> list[Path]:
    return [entry for entry in parent.iterdir() if entry.is_dir() and not entry.is_symlink()]
