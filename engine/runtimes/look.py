"""F1: finding programs on this host, and asking each for its version once."""

from __future__ import annotations

import glob
import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from .contract import Interpreter

ASK_S: Final = 20.0  # a version is told in milliseconds, on a loaded host with a cold disk in seconds
SHOWN_ALWAYS: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib64")
_PLAIN: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
_ELF: Final = b"\x7fELF"
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)*")


def programs(names: Sequence[str], folders: Iterable[str]) -> list[str]:
    """Real paths of executables of these names, on the path and in `folders` (patterns, `~` allowed); each once."""
    patterns = [*filter(os.path.isabs, os.environ.get("PATH", os.defpath).split(os.pathsep)), *folders]
    found: dict[str, None] = {}
    for pattern in patterns:
        for folder in sorted(glob.glob(os.path.expanduser(pattern)), reverse=True):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path) and os.access(path, os.X_OK):
                    found[os.path.realpath(path)] = None
    return list(found)


def is_program(path: str, beginning: str) -> bool:
    """A compiled program whose name begins so: version managers put scripts and launchers of their own on the path."""
    if not os.path.basename(path).startswith(beginning):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(_ELF)) == _ELF
    except OSError:
        return False


def home_of(executable: str, levels: int = 2) -> str:
    """The folder an executable is installed in (`levels` above it), "" where every sandbox shows it anyway."""
    if executable.startswith(tuple(f"{folder}/" for folder in SHOWN_ALWAYS)):
        return ""
    for _ in range(levels):
        executable = os.path.dirname(executable)
    return executable


def ask(executable: str, *arguments: str) -> str:
    """The first version number that it prints; "" where it prints none, or cannot be run. Remembered."""
    try:
        found = os.stat(executable)
    except OSError:
        return ""
    return _ask(executable, arguments, found.st_mtime_ns, found.st_size)


@lru_cache(256)
def _ask(executable: str, arguments: tuple[str, ...], _mtime_ns: int, _size: int) -> str:
    try:
        said = subprocess.run(
            [executable, *arguments],
            env=_PLAIN,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=ASK_S,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    number = _NUMBER.search(said.decode("utf-8", "replace"))
    return "" if number is None else number[0]


def numbers(version: str) -> tuple[int, ...]:
    """A version as numbers, to be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def newest_first(interpreters: Iterable[Interpreter]) -> list[Interpreter]:
    """By version; those that told none are left out."""
    return sorted((each for each in interpreters if each.version), key=lambda each: numbers(each.version), reverse=True)
