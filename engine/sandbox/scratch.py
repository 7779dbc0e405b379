"""F1: /tmp of the size that a function asks for: ext4 in a sparse file, so that it is no memory of the function's.

What a tmpfs holds is charged to the memory cell for good; of a file on disk only the page cache is, and that can be
written back and dropped. Each image is used once and then given back to the disk: the next tenant gets a fresh copy of
one formatted image per size. No image has a name and each device unbinds itself (loop.py), so a killed engine leaves
nothing behind: the space is free when the last environment is gone.

A pool belongs to one thread at a time.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final, Protocol

from engine._ext import mounts
from engine.errors import EngineError

from .contract import CELLS_MAX, MB, MechanismUnavailableError
from .loop import CONTROL, bound

SIZES_MAX: Final = 64  # formatted images kept; past it the one made first goes
SIZE_MB_MIN, SIZE_MB_MAX = 4, 10_240  # the second is Lambda's own; below the first there are too few inodes

_BLOCK: Final = 4_096
_FORMAT: Final = (
    *("-q", "-F", "-m", "0", "-b", str(_BLOCK), "-O", "^has_journal,^resize_inode,^metadata_csum"),
    *("-E", "lazy_itable_init=1,nodiscard,root_owner=0:0"),
)
_FORMAT_WITHIN_S: Final = 30
_ROUNDS: Final = 8
_SLACK: Final = 256  # blocks that an image may have over what was asked
_SUPERBLOCK_AT: Final = 1_024
_STATE_AT: Final = _SUPERBLOCK_AT + 58  # s_state
_CLEANLY_UNMOUNTED: Final = 1  # EXT4_VALID_FS: cleared while it is mounted for writing, as it has no journal
_SYSTEM_PATH: Final = "/usr/sbin:/sbin:/usr/bin:/bin"
_IN_MEMORY: Final = ("tmpfs", "ramfs", "devtmpfs")


class ScratchUnavailableError(MechanismUnavailableError):
    """No image can be made or mounted here; the message is the reason."""


class Scratch(Protocol):
    """One mounted folder, its root 1777, without setuid programs and devices."""

    @property
    def mount_fd(self) -> int:
        """The detached mount, for `mounts.attach` in the environment's mount namespace; -1 after `release`."""

    def release(self) -> None:
        """Let go of it: it ends with the last process that has it mounted. Idempotent.

        Whoever is last waits until what is in the page cache is written back, a millisecond or, for hundreds of MB,
        some tenths of a second: release it while the environment still has it.
        """


@dataclass(frozen=True, slots=True)
class ScratchStatistics:
    out: int
    made: int
    formatted: int


class LoopScratch:
    """An image on a loop device. Its file has no name; the kernel frees it after the last unmount."""

    def __init__(self, mount_fd: int, on_release: Callable[[LoopScratch], None]) -> None:
        self.mount_fd = mount_fd
        self._on_release = on_release

    def release(self) -> None:
        if self.mount_fd >= 0:
            os.close(self.mount_fd)
            self.mount_fd = -1
        self._on_release(self)


@dataclass(frozen=True, slots=True)
class Pristine:
    """A formatted image: its length, and those of its blocks that are not zero, as (offset, bytes)."""

    length: int
    parts: tuple[tuple[int, bytes], ...]

    def write(self, image: int) -> None:
        """Make an empty file that image, with holes where it is zero. OSError."""
        os.ftruncate(image, self.length)
        for offset, part in self.parts:
            written = 0
            while written < len(part):
                written += os.pwrite(image, part[written:], offset + written)


class LoopScratchPool:
    """Images in `folder`, which must be on a disk. Formatted once per size, then written anew."""

    def __init__(self, folder: Path) -> None:
        """ScratchUnavailableError where it is clear at once that nothing can be mounted."""
        self._folder = folder
        self._mkfs = _mkfs_for(folder)
        self._pristine: dict[int, Pristine] = {}
        self._out: set[LoopScratch] = set()
        self._made = self._formats = 0
        self._closed = False

    def take(self, size_mb: int) -> LoopScratch:
        """One that nobody has used. ScratchUnavailableError; EngineError at `CELLS_MAX` or after `close`."""
        if self._closed:
            raise EngineError("this pool of scratch folders was closed: open another")
        if len(self._out) >= CELLS_MAX:
            raise EngineError(f"{CELLS_MAX} scratch folders are out: release one before taking another")
        scratch = self._make(size_mb)
        self._out.add(scratch)
        return scratch

    def statistics(self) -> ScratchStatistics:
        return ScratchStatistics(len(self._out), self._made, self._formats)

    def close(self) -> None:
        """Let go of all of them. Idempotent."""
        self._closed = True
        for scratch in list(self._out):
            scratch.release()
        self._pristine.clear()

    def _make(self, size_mb: int) -> LoopScratch:
        if not SIZE_MB_MIN <= size_mb <= SIZE_MB_MAX:
            raise ValueError(f"size_mb={size_mb}: give {SIZE_MB_MIN} to {SIZE_MB_MAX}")
        free_mb = shutil.disk_usage(self._folder).free // MB
        if free_mb < size_mb:
            raise ScratchUnavailableError(f"{self._folder} has {free_mb} MB free, fewer than the {size_mb} asked for")
        try:
            scratch = LoopScratch(self._mount(size_mb), self._out.discard)
        except (OSError, subprocess.SubprocessError) as error:
            raise ScratchUnavailableError(f"cannot make a scratch folder of {size_mb} MB: {_said(error)}") from error
        self._made += 1
        return scratch

    def _mount(self, size_mb: int) -> int:
        formatted = self._formatted(size_mb)
        with tempfile.TemporaryFile(dir=self._folder, buffering=0) as image:
            os.ftruncate(image.fileno(), formatted.length)  # before: a device is as large as its file was
            with bound(image.fileno()) as device:
                formatted.write(image.fileno())  # now: what is in a file as it is bound must reach the disk first
                return _mount_of(device)

    def _formatted(self, size_mb: int) -> Pristine:
        if size_mb not in self._pristine:
            with tempfile.TemporaryFile(dir=self._folder, buffering=0) as image:
                _format(self._mkfs, image.fileno(), size_mb)
                _open_to_all(image.fileno())
                formatted = _read(image.fileno())
            if len(self._pristine) >= SIZES_MAX:
                del self._pristine[next(iter(self._pristine))]
            self._pristine[size_mb] = formatted
            self._formats += 1
        return self._pristine[size_mb]


def _mkfs_for(folder: Path) -> str:
    """The formatting program; ScratchUnavailableError says what is missing."""
    if os.geteuid() != 0:
        raise ScratchUnavailableError(f"mounting an image needs root, and this is user {os.geteuid()}")
    if not os.path.exists(CONTROL):
        raise ScratchUnavailableError(f"there is no {CONTROL}: load the loop module, or give the container that device")
    program = shutil.which("mkfs.ext4", path=_SYSTEM_PATH)
    if program is None:
        raise ScratchUnavailableError(f"there is no mkfs.ext4 in {_SYSTEM_PATH}: install e2fsprogs")
    kind = _file_system_of(folder)
    if kind in _IN_MEMORY:
        raise ScratchUnavailableError(f"{folder} is on {kind}, which is memory: give a folder on a disk")
    return program


def _file_system_of(folder: Path) -> str:
    """The type of the file system that a folder is on; empty when it is not listed (btrfs numbers its parts anew)."""
    device = os.stat(folder).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            return after.split()[0]
    return ""


def _format(mkfs: str, image: int, size_mb: int) -> None:
    """An empty file system with room for `size_mb` of a user's data, at most a MB more. OSError, CalledProcessError.

    What the file system takes for itself depends on its size, so the size is approached.
    """
    wanted = size_mb * MB // _BLOCK
    blocks = wanted + wanted // 24 + _SLACK
    for _ in range(_ROUNDS):
        os.ftruncate(image, 0)
        os.ftruncate(image, blocks * _BLOCK)
        command = [mkfs, *_FORMAT, f"/proc/self/fd/{image}"]
        subprocess.run(command, pass_fds=[image], capture_output=True, check=True, timeout=_FORMAT_WITHIN_S)
        over = _room(image) - wanted
        if 0 <= over <= _SLACK:
            return
        blocks -= over - _SLACK // 2
    raise OSError(errno.ENOSPC, f"no image size was found that leaves {size_mb} MB to its user")


def _room(image: int) -> int:
    """Blocks that a user may fill: the free ones less what ext4 keeps for itself, a fiftieth but 4,096 at most."""
    superblock = os.pread(image, 16, _SUPERBLOCK_AT)
    _, blocks, _, free = struct.unpack("<4I", superblock)
    return int(free - min(blocks // 50, 4_096))


def _read(image: int) -> Pristine:
    """What is in a sparse file. Zeros are none: mkfs reserves megabytes of them for inodes, which a lseek(2) takes for
    data as soon as the page cache has them."""
    length, at, parts = os.fstat(image).st_size, 0, list[tuple[int, bytes]]()
    while at < length:
        try:
            at = os.lseek(image, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # only a hole is left
        end = os.lseek(image, at, os.SEEK_HOLE)
        parts += _not_zero(image, at, end)
        at = end
    return Pristine(length, tuple(parts))


def _not_zero(image: int, at: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Runs of blocks that hold anything, as (offset, bytes)."""
    blocks = ((offset, os.pread(image, min(_BLOCK, end - offset), offset)) for offset in range(at, end, _BLOCK))
    for is_zero, run in groupby(blocks, key=lambda block: not block[1].strip(b"\0")):
        if not is_zero:
            held = list(run)
            yield held[0][0], b"".join(content for _, content in held)


def _mount_of(device: str) -> int:
    """A detached mount of it. Without barriers: nothing must survive a power cut, and each would sync the disk."""
    options: dict[str, str | None] = {"source": device, "noinit_itable": None, "nobarrier": None}
    return mounts.filesystem_mount("ext4", options, mounts.NOSUID | mounts.NODEV | mounts.NOATIME)


def _open_to_all(image: int) -> None:
    """Make it what /tmp is like on a new host: empty, and writable by all. Once, for all that are copied from it."""
    with bound(image) as device:
        mount_fd = _mount_of(device)
    try:
        root = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount_fd)
        try:
            os.rmdir("lost+found", dir_fd=root)
            os.fchmod(root, 0o1777)
        finally:
            os.close(root)
    finally:
        os.close(mount_fd)
    _wait_unmounted(image)


def _wait_unmounted(image: int) -> None:
    """Until all of it is written: a process forked just now may have the mount open until it executes its program."""
    deadline = time.monotonic() + _FORMAT_WITHIN_S
    while not int.from_bytes(os.pread(image, 2, _STATE_AT), "little") & _CLEANLY_UNMOUNTED:
        if time.monotonic() > deadline:
            raise OSError(errno.EBUSY, f"a formatted image was not unmounted within {_FORMAT_WITHIN_S} s")
        time.sleep(0.001)


def _said(error: OSError | subprocess.SubprocessError) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"mkfs.ext4 ended with {error.returncode}: {error.stderr.decode(errors='replace').strip()}"
    return str(error)
