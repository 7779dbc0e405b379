"""F1: the operations on control files, and finding this process's own cgroups. What is written is not here."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FREEZER_STATE: Final = "freezer.state"  # v1's
_TEXT_BYTES: Final = 256  # more than any file that is kept open has


class ControlFiles:
    """The kernel's cgroup filesystem. A class so that a test can stand in for kernels it cannot boot."""

    def make(self, directory: Path) -> None:
        os.mkdir(directory, 0o755)

    def remove(self, directory: Path) -> None:
        os.rmdir(directory)

    def read(self, file: Path) -> str:
        return file.read_text(encoding="ascii")

    def write(self, file: Path, value: str) -> None:
        descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode("ascii"))
        finally:
            os.close(descriptor)

    def rewrite(self, descriptor: int, file: Path, value: str) -> None:
        """Write a file that is open already; `file` is its name, for whoever stands in."""
        os.pwrite(descriptor, value.encode("ascii"), 0)


class OpenFile:
    """One control file kept open: to read or write it so costs a tenth of opening it by its name."""

    def __init__(self, files: ControlFiles, file: Path, flags: int) -> None:
        """FileNotFoundError where this kernel does not have the file."""
        self._files = files
        self._file = file
        self.descriptor = os.open(file, flags | os.O_CLOEXEC)

    def read(self) -> str:
        return os.pread(self.descriptor, _TEXT_BYTES, 0).decode("ascii")

    def write(self, value: str) -> None:
        self._files.rewrite(self.descriptor, self._file, value)

    def close(self) -> None:
        """Idempotent."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class OpenFiles:
    """Those control files of one cell that are kept open, by name. One that this kernel does not have is left out."""

    def __init__(self, files: ControlFiles) -> None:
        self._files = files
        self._opened: dict[str, OpenFile] = {}

    def open(self, wanted: Iterable[Path], flags: int) -> None:
        for file in wanted:
            if file.name in self._opened:
                continue
            try:
                self._opened[file.name] = OpenFile(self._files, file, flags)
            except FileNotFoundError:
                continue

    def get(self, name: str) -> OpenFile | None:
        return self._opened.get(name)

    def descriptor(self, name: str) -> int:
        """Of one that is open; -1 of one that is not."""
        file = self._opened.get(name)
        return -1 if file is None else file.descriptor

    def close(self, names: Iterable[str] | None = None) -> None:
        """Close these, or all. Idempotent."""
        for name in list(self._opened if names is None else names):
            file = self._opened.pop(name, None)
            if file is not None:
                file.close()


@dataclass(frozen=True, slots=True)
class OwnCgroups:
    """Where this process sits: per v1 controller, and in the v2 tree. `v2_mount` is that tree's mount point."""

    v1: dict[str, Path]
    v2: Path | None
    v2_mount: Path | None


def own_cgroups(proc: Path = Path("/proc/self")) -> OwnCgroups:
    """This process's directories in every mounted hierarchy, from `/proc/self/mountinfo` and `/proc/self/cgroup`."""
    paths = _paths((proc / "cgroup").read_text())
    v1: dict[str, Path] = {}
    v2 = v2_mount = None
    for root, mount, kind, options in _mounts((proc / "mountinfo").read_text()):
        if kind == "cgroup2" and v2 is None:
            v2, v2_mount = _inside(mount, root, paths.get("")), mount
        elif kind == "cgroup":
            for controller in options & paths.keys():
                directory = _inside(mount, root, paths[controller])
                if directory is not None:
                    v1.setdefault(controller, directory)
    return OwnCgroups(v1, v2, v2_mount)


def pids_in(files: ControlFiles, directory: Path) -> frozenset[int]:
    """The processes directly in a cgroup; none when it is gone. 0 (a process of another PID namespace) is left out."""
    try:
        text = files.read(directory / "cgroup.procs")
    except OSError:
        return frozenset()
    return frozenset(int(pid) for pid in text.split()) - {0}


def counter(files: ControlFiles, file: Path, name: str) -> int:
    """One line of a `name value` file; 0 when the kernel does not have it."""
    try:
        lines = files.read(file).splitlines()
    except FileNotFoundError:
        return 0
    return next((int(value) for key, _, value in (line.partition(" ") for line in lines) if key == name), 0)


def _paths(text: str) -> dict[str, str]:
    """`/proc/self/cgroup`: controller to path; the empty name is the v2 tree."""
    paths: dict[str, str] = {}
    for line in text.splitlines():
        number, controllers, path = line.split(":", 2)
        for controller in controllers.split(",") if number != "0" else ("",):
            paths[controller] = path
    return paths


def _mounts(text: str) -> list[tuple[str, Path, str, frozenset[str]]]:
    """`/proc/self/mountinfo`: (root within the filesystem, mount point, type, super options)."""
    mounts = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, (kind, _, options) = left.split(" "), right.split(" ")[:3]
        mounts.append((_unescape(fields[3]), Path(_unescape(fields[4])), kind, frozenset(options.split(","))))
    return mounts


def _unescape(field: str) -> str:
    return field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


def _inside(mount: Path, root: str, path: str | None) -> Path | None:
    """The directory of a cgroup path under a mount that shows the hierarchy from `root` on; None when not shown."""
    if path is None or ".." in path.split("/"):
        return None
    if root == "/":
        return mount / path.lstrip("/")
    return mount / path[len(root) :].lstrip("/") if path == root or path.startswith(f"{root}/") else None
