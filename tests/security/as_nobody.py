"""Runs this folder's tests as a user without any right. Takes the folder that the user is to own, then pytest's words.

Where the interpreter or the suite lies below a folder that only root may enter, a mount namespace of this process's
own shows that folder's contents in one that everybody may enter.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import engine
from engine._ext import namespaces

NOBODY = 65_534
PRIVATE = 1 << 18


def main(folder: str, *words: str) -> None:
    namespaces.unshare(namespaces.NEWNS)
    namespaces.mount("none", "/", "", namespaces.RECURSIVE | PRIVATE)
    package = Path(engine.__file__).resolve().parent.parent
    for needed in (sys.prefix, sys.base_prefix, str(package), __file__, folder):
        for ancestor in reversed(Path(os.path.realpath(needed)).parents):
            if not ancestor.stat().st_mode & 1:
                _open_up(str(ancestor))
    os.chown(folder, NOBODY, NOBODY)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    own = {"HOME": folder, "TMPDIR": folder, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
    os.chdir(folder)
    os.execve(sys.executable, [sys.executable, "-m", "pytest", *words], {**kept, **own})


def _open_up(folder: str) -> None:
    """The same entries, in a folder of mode 755."""
    aside = tempfile.mkdtemp()
    namespaces.mount(folder, aside, "", namespaces.BIND | namespaces.RECURSIVE)
    namespaces.mount("tmpfs", folder, "tmpfs", 0, "mode=755")
    for entry in os.scandir(aside):
        target = f"{folder}/{entry.name}"
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), target)
        elif entry.is_dir():
            os.mkdir(target)
            namespaces.mount(entry.path, target, "", namespaces.BIND | namespaces.RECURSIVE)
    namespaces.unmount(aside)
    os.rmdir(aside)


if __name__ == "__main__":
    main(*sys.argv[1:])
