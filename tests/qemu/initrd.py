"""This machine's Python, its packages and this tree as an initrd, at the same paths. What runs there: `guest.sh`."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

import engine

TREE = Path(__file__).parent.parent.parent
PACKAGES = ("pytest", "pytest-benchmark")  # besides what the engine itself needs
UNUSED = {"test", "tests", "idlelib", "lib2to3", "ensurepip", "tkinter", "turtledemo", "site-packages", "node_modules"}
FILE, FOLDER = stat.S_IFREG | 0o755, stat.S_IFDIR | 0o755
EMPTY = ("proc", "sys", "dev", "tmp", "whole")
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n",
    "etc/group": "root:x:0:\nuser:x:1000:\n",
    "etc/hosts": "127.0.0.1 localhost\n",
}


def write_initrd(to: Path, busybox: Path, guest: Path) -> None:
    """A cpio archive as the kernel unpacks it: everything is root's, and readable by everybody."""
    contents = {str(path).lstrip("/"): path for path in sorted({*_files(), *_libraries([busybox])})}
    contents |= {"bin/busybox": busybox, "init": guest}
    with to.open("wb") as archive:
        for name in sorted({*EMPTY, *_folders([*contents, *ACCOUNTS])}):
            _entry(archive, name, FOLDER, b"", 0)
        for name, path in contents.items():
            _entry(archive, name, FILE, path.read_bytes(), int(path.stat().st_mtime))
        for name, text in ACCOUNTS.items():
            _entry(archive, name, FILE, text.encode(), 0)
        _entry(archive, "TRAILER!!!", 0, b"", 0)


def _files() -> Iterator[Path]:
    found = [Path(sys.executable), *_package_files(), *_below(Path(engine.__file__).parent)]
    found += _below(Path(sysconfig.get_path("stdlib")))
    # A virtual environment's marker, and the interpreter that it is an environment of.
    base = Path(os.path.realpath(sys.executable))
    found += [path for path in (Path(sys.prefix, "pyvenv.cfg"), base) if path.exists()]
    for name in ("sandbox", "qemu"):
        found += _below(TREE / "tests" / name)
    found += [*(TREE / "tests").glob("*.py"), TREE / "pyproject.toml"]
    yield from found
    yield from _libraries([path for path in found if ".so" in path.name or path == base])


def _below(folder: Path) -> list[Path]:
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in UNUSED or folder.is_relative_to(TREE)]
        found += [Path(place, name) for name in names if not name.endswith((".a", ".c"))]
    return found


def _package_files() -> Iterator[Path]:
    """Those of the engine's dependencies and the tests', and of what these need in turn."""
    wanted, seen = [*_required_by_the_engine(), *PACKAGES], set[str]()
    while wanted:
        name = re.split(r"[^\w.-]", wanted.pop(), maxsplit=1)[0].lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        for found in metadata.distributions(name=name):
            wanted += [need for need in found.requires or [] if "extra ==" not in need]
            yield from (path for file in found.files or [] if (path := Path(str(file.locate()))).is_file())


def _required_by_the_engine() -> list[str]:
    named: list[str] = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]["dependencies"]
    return named


def _libraries(binaries: list[Path]) -> Iterator[Path]:
    told = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    yield from {Path(found) for found in re.findall(r"(/\S+) \(0x", told)}


def _folders(names: Iterable[str]) -> set[str]:
    return {str(parent) for name in names for parent in Path(name).parents if str(parent) != "."}


def _entry(archive: BinaryIO, name: str, mode: int, data: bytes, modified: int) -> None:
    """One member in the "newc" format: 13 numbers in hexadecimal, the name, the data, each padded to four bytes."""
    numbers = (0, mode, 0, 0, 1, modified, len(data), 0, 0, 0, 0, len(name.encode()) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % number for number in numbers) + name.encode() + b"\0"
    for part in (head, data):
        archive.write(part + bytes(-len(part) % 4))
