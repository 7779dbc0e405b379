"""F1: which paths a process may reach, by Landlock. The raw calls are confine's; who calls them when is the jail's.

What each version of the kernel's interface (ABI) adds: 1 reading, writing, executing, making and removing files;
2 moving files between folders (before it: always refused); 3 truncating; 4 TCP ports (not used: a function may connect
anywhere its network namespace reaches); 5 ioctl on devices; 6 scopes: abstract unix sockets and signals of processes
outside; 7 a log. An older kernel leaves what it does not know unrestricted, never an error.

Source of the rights: the kernel's Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Final

from engine._ext import confine

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MAKE_CHAR, MAKE_BLOCK = 1 << 6, 1 << 11
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
SCOPE_ABSTRACT_UNIX_SOCKET, SCOPE_SIGNAL = 1 << 0, 1 << 1
SCOPES_SINCE: Final = 6

_FIRST: Final = (1 << 13) - 1  # everything of ABI 1
_ADDED: Final = {2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
_ON_FILES: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_READ_ONLY: Final = EXECUTE | READ_FILE | READ_DIR
_NEVER: Final = MAKE_CHAR | MAKE_BLOCK


def prepare(
    read_only: Sequence[str | os.PathLike[str]], read_write: Sequence[str | os.PathLike[str]], *, scope: bool
) -> int | None:
    """A descriptor for `confine.landlock_restrict` that leaves just these paths, each with all beneath it.

    Read-only paths may be executed too; nowhere can a device be made. With `scope`, and from ABI 6, processes outside
    get no signal and their abstract unix sockets no connection. None where the kernel has no Landlock; OSError, with
    its name, for a path that is not there. The caller closes the descriptor.
    """
    abi = confine.landlock_abi()
    if abi == 0:
        return None
    handled = handled_rights(abi)
    scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL if scope and abi >= SCOPES_SINCE else 0
    ruleset = confine.landlock_ruleset(handled, 0, scoped)
    try:
        for path in read_only:
            _allow(ruleset, path, handled & _READ_ONLY)
        for path in read_write:
            _allow(ruleset, path, handled & ~_NEVER)
    except BaseException:
        os.close(ruleset)
        raise
    return ruleset


def allow_writing(ruleset: int, path: str | os.PathLike[str]) -> None:
    """Leave this path too, with all beneath it: for what was mounted after `prepare`. Raises OSError."""
    _allow(ruleset, path, handled_rights(confine.landlock_abi()) & ~_NEVER)


def handled_rights(abi: int) -> int:
    """Every file right that this ABI knows, and this file too."""
    rights = _FIRST
    for since, right in _ADDED.items():
        rights |= right if abi >= since else 0
    return rights


def describe(abi: int | None = None) -> str:
    """What Landlock enforces with this ABI (this kernel's when None), for `engine doctor`."""
    abi = confine.landlock_abi() if abi is None else abi
    if abi == 0:
        return "not offered by this kernel"
    if abi < SCOPES_SINCE:
        return f"ABI {abi}: files; abstract sockets and signals need ABI {SCOPES_SINCE} (Linux 6.12)"
    return f"ABI {abi}: files, abstract sockets, signals"


def _allow(ruleset: int, path: str | os.PathLike[str], rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _ON_FILES
        confine.landlock_allow(ruleset, descriptor, rights)
    finally:
        os.close(descriptor)
