"""Scratch folders on real loop devices: their size, their privacy, what they cost a memory cell, what they leave."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confined import LIBC, become_nobody, in_child, outcome
from loop_devices import devices_of
from tenants import MECHANISMS

from engine._ext import mounts
from engine.errors import EngineError
from engine.sandbox import scratch
from engine.sandbox.contract import MB, Limits
from engine.sandbox.scratch import LoopScratchPool, Scratch, ScratchStatistics, ScratchUnavailableError

CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
GONE_WITHIN_S = 20.0  # the kernel unbinds a device a moment after its last user went
CHARGED = ("cgroup1", "cgroup2")  # where the kernel itself kills for memory
CHUNK = random.Random(7).randbytes(MB)


# /tmp is memory on many hosts.
PLACES = [Path(place) for place in (tempfile.gettempdir(), "/var/tmp")]
ON_DISK = next((place for place in PLACES if scratch._file_system_of(place) not in scratch._IN_MEMORY), PLACES[0])


def refusal_here() -> str | None:
    """Why this host mounts no image; None where it does."""
    try:
        pool = LoopScratchPool(ON_DISK)
        try:
            pool.take(8)
        finally:
            pool.close()
    except ScratchUnavailableError as error:
        return str(error)
    return None


REFUSAL = refusal_here()


def where_mountable(test: Callable[..., None]) -> Callable[..., None]:
    """On a host that mounts nothing the promise is another one: it says so, with a reason."""

    def test_the_refusal_has_a_reason(disk: Path) -> None:
        with pytest.raises(ScratchUnavailableError, match=r"\w+ \w+"):
            LoopScratchPool(disk).take(8)

    return test if REFUSAL is None else test_the_refusal_has_a_reason


@pytest.fixture
def disk() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=ON_DISK) as folder:
        yield Path(folder)


@pytest.fixture
def pool(disk: Path) -> Iterator[LoopScratchPool]:
    opened = LoopScratchPool(disk)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _nothing_stays_bound(disk: Path) -> Iterator[None]:
    yield
    assert gone(disk), devices_of(disk)


def gone(folder: Path) -> bool:
    deadline = time.monotonic() + GONE_WITHIN_S
    while devices_of(folder) and time.monotonic() < deadline:
        os.sched_yield()
    return not devices_of(folder)


def mounted_at(point: Path, mount_fd: int) -> Callable[[], None]:
    """In a mount namespace of the child's own, which ends with it."""

    def step() -> None:
        assert LIBC.unshare(CLONE_NEWNS) == 0
        assert LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0
        mounts.attach(mount_fd, point)
        os.chdir(point)

    return step


@pytest.fixture
def point(disk: Path) -> Path:
    (disk / "point").mkdir()
    return disk / "point"


def fill(name: str, most_mb: int) -> int:
    """Whole MBs written before there was no more room."""
    with open(name, "wb", buffering=0) as file:
        for count in range(most_mb):
            if file.write(CHUNK) < MB:
                return count
    return most_mb


def filled(name: str, most_mb: int) -> list[Any]:
    try:
        return [fill(name, most_mb), "room"]
    except OSError as error:
        return [os.stat(name).st_size // MB, errno.errorcode[error.errno or 0]]


@where_mountable
@pytest.mark.parametrize("size_mb", [4, 16, 512, 10_240])
def test_a_folder_is_empty_open_to_all_and_has_the_size_asked_for(pool: LoopScratchPool, size_mb: int) -> None:
    root = os.open(".", os.O_RDONLY, dir_fd=pool.take(size_mb).mount_fd)
    try:
        about = os.fstatvfs(root)
        assert size_mb * MB <= about.f_bavail * about.f_frsize <= size_mb * MB + MB
        assert about.f_favail >= 1_024
        assert about.f_flag & (os.ST_NOSUID | os.ST_NODEV | os.ST_NOATIME) == os.ST_NOSUID | os.ST_NODEV | os.ST_NOATIME
        assert os.fstat(root).st_mode & 0o7777 == 0o1777
        assert os.listdir(root) == []
    finally:
        os.close(root)


@where_mountable
def test_its_user_can_write_what_was_asked_for_and_then_there_is_no_room(pool: LoopScratchPool, point: Path) -> None:
    def ask() -> list[Any]:
        first = filled("first", 64)
        os.unlink("first")
        return [first, filled("again", 31)]

    point.parent.chmod(0o755)
    enter = mounted_at(point, pool.take(32).mount_fd)
    first, again = in_child(ask, enter, become_nobody)
    assert first in ([32, "ENOSPC"], [32, "room"])
    assert again == [31, "room"]


@where_mountable
def test_nothing_of_one_tenant_reaches_the_next(pool: LoopScratchPool, point: Path) -> None:
    def leave() -> str:
        Path("secret").write_bytes(b"secret" * 100_000)
        os.sync()
        return "left"

    first = pool.take(16)
    assert in_child(leave, mounted_at(point, first.mount_fd)) == "left"
    first.release()
    assert in_child(lambda: os.listdir("."), mounted_at(point, pool.take(16).mount_fd)) == []
    assert os.listdir(point) == []
    with open(f"/dev/{devices_of(point.parent)[0]}", "rb") as device:
        assert b"secretsecret" not in device.read()


@where_mountable
def test_two_folders_of_one_size_are_two(pool: LoopScratchPool, point: Path) -> None:
    one, other = pool.take(8), pool.take(8)
    assert in_child(lambda: Path("file").write_text("one"), mounted_at(point, one.mount_fd)) == 3
    assert in_child(lambda: os.listdir("."), mounted_at(point, other.mount_fd)) == []


@where_mountable
def test_a_folder_is_attached_once(pool: LoopScratchPool, point: Path) -> None:
    taken = pool.take(8)

    def ask() -> str:
        try:
            mounts.attach(taken.mount_fd, point)
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        return "again"

    assert in_child(lambda: "in", mounted_at(point, taken.mount_fd)) == "in"
    assert in_child(ask) == "EINVAL"


@where_mountable
def test_it_stays_with_an_environment_after_the_engine_let_go_and_ends_with_it(
    pool: LoopScratchPool, point: Path
) -> None:
    taken = pool.take(8)
    reader, writer = os.pipe()
    released, release = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            mounted_at(point, taken.mount_fd)()
            os.close(taken.mount_fd)
            os.write(writer, b"in")
            os.read(released, 1)
            Path("file").write_text("kept")
            os.write(writer, Path("file").read_bytes())
            os.read(released, 1)
        finally:
            os._exit(0)
    assert os.read(reader, 2) == b"in"
    taken.release()
    taken.release()
    os.write(release, b"x")
    assert os.read(reader, 4) == b"kept"
    pool.close()
    assert len(devices_of(point.parent)) == 1
    os.write(release, b"x")
    os.waitpid(pid, 0)
    for fd in (reader, writer, released, release):
        os.close(fd)
    assert gone(point.parent)


@where_mountable
def test_setuid_programs_and_devices_are_inert(pool: LoopScratchPool, point: Path) -> None:
    def ask() -> list[str]:
        os.mknod("null", 0o020666, os.makedev(1, 3))
        Path("id").write_bytes(Path("/usr/bin/id").read_bytes())
        os.chmod("id", 0o4755)
        become_nobody()
        said = subprocess.run(["./id", "-u"], capture_output=True, text=True, check=True).stdout.strip()
        try:
            open("null").close()
        except OSError as error:
            return [said, errno.errorcode[error.errno or 0]]
        return [said, "opened"]

    point.parent.chmod(0o755)
    assert in_child(ask, mounted_at(point, pool.take(8).mount_fd)) == ["65534", "EACCES"]


@where_mountable
@pytest.mark.parametrize("name", [name for name in CHARGED if name in MECHANISMS] or [None])
def test_what_is_written_is_not_held_against_the_memory_limit_as_a_tmpfs_is(
    name: str | None, pool: LoopScratchPool, point: Path
) -> None:
    if name is None:
        return  # no kernel accounting of memory on this host: nothing can be held against anyone
    memory = mounts.filesystem_mount("tmpfs", {"size": "512m"})
    try:
        assert in_cell(name, mounted_at(point, pool.take(512).mount_fd)) == ("400", 0, 0)
        assert in_cell(name, mounted_at(point, memory)) == ("", signal.SIGKILL, 1)
    finally:
        os.close(memory)


def in_cell(name: str, enter: Callable[[], None]) -> tuple[str, int, int]:
    """400 MB written and read under a limit of 128: what was said, what ended the writer, and the memory kills."""
    mechanism = MECHANISMS[name]()
    cell = mechanism.open_cell(Limits(memory_mb=128, cpu_share=None, pids_max=16))

    def move_in() -> None:
        for entry in cell.entry_fds():
            os.write(entry, b"0")

    def ask() -> int:
        written = fill("file", 400)
        with open("file", "rb", buffering=0) as file:
            return written if all(file.read(MB) == CHUNK for _ in range(written)) else -1

    try:
        text, status = outcome(ask, enter, move_in)
        return text, os.WTERMSIG(status), cell.oom_kills()
    finally:
        cell.release()
        mechanism.close()


OWNER = """
import os, sys
from pathlib import Path
from engine.sandbox.scratch import LoopScratchPool
pool = LoopScratchPool(Path(sys.argv[1]))
other = pool.take(16)
root = os.open(".", os.O_RDONLY, dir_fd=pool.take(16).mount_fd)
os.write(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=root), b"x" * 100_000)
print("taken", flush=True)
sys.stdin.read()
"""


@where_mountable
def test_a_killed_engine_leaves_no_device_and_no_file(disk: Path) -> None:
    command = [sys.executable, "-P", "-c", OWNER, str(disk)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "taken\n"
        assert len(devices_of(disk)) == 2
        owner.kill()
    assert gone(disk)
    assert list(disk.iterdir()) == []


@where_mountable
def test_a_pool_formats_once_per_size(pool: LoopScratchPool) -> None:
    taken: list[Scratch] = [pool.take(8), pool.take(8), pool.take(8), pool.take(16)]
    assert pool.statistics() == ScratchStatistics(out=4, made=4, formatted=2)
    for one in taken:
        one.release()
    assert pool.statistics() == ScratchStatistics(out=0, made=4, formatted=2)


@where_mountable
def test_what_mkfs_reserved_is_not_written_for_every_folder(pool: LoopScratchPool) -> None:
    pool.take(512).release()
    for _ in range(3):
        before = dirtied_bytes()
        pool.take(512).release()
        assert dirtied_bytes() - before < MB


def dirtied_bytes() -> int:
    """What this process has had written to disks, or will."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))


@where_mountable
def test_a_pool_keeps_its_bounds(pool: LoopScratchPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "SIZES_MAX", 1)
    monkeypatch.setattr(scratch, "CELLS_MAX", 1)
    for size_mb, formatted in ((8, 1), (16, 2), (16, 2), (8, 3)):
        pool.take(size_mb).release()
        assert pool.statistics().formatted == formatted
    pool.take(8)
    with pytest.raises(EngineError, match="1 scratch folders are out"):
        pool.take(8)


@where_mountable
@pytest.mark.parametrize("size_mb", [-1, 0, 3, 10_241])
def test_a_size_out_of_range_is_refused(pool: LoopScratchPool, size_mb: int) -> None:
    with pytest.raises(ValueError, match=f"size_mb={size_mb}: give 4 to 10240"):
        pool.take(size_mb)


@where_mountable
def test_a_closed_pool_has_let_go_of_everything_and_gives_nothing(pool: LoopScratchPool, disk: Path) -> None:
    taken = [pool.take(8), pool.take(16)]
    pool.close()
    pool.close()
    assert [one.mount_fd for one in taken] == [-1, -1]
    assert gone(disk)
    with pytest.raises(EngineError, match="was closed"):
        pool.take(8)


def test_a_folder_in_memory_is_refused_with_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(scratch, "CONTROL", "/dev/null")
    monkeypatch.setattr(scratch.shutil, "which", lambda *_, **__: "/sbin/mkfs.ext4")
    with pytest.raises(ScratchUnavailableError, match="/dev/shm is on tmpfs, which is memory"):
        LoopScratchPool(Path("/dev/shm"))


def test_without_root_it_says_so(disk: Path) -> None:
    def ask() -> str:
        try:
            LoopScratchPool(disk)
        except ScratchUnavailableError as error:
            return str(error)
        return "opened"

    assert in_child(ask, become_nobody).startswith("mounting an image needs root, and this is user ")


def test_without_loop_devices_it_says_so(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(scratch, "CONTROL", str(disk / "loop-control"))
    with pytest.raises(ScratchUnavailableError, match=r"there is no .*loop-control: load the loop module"):
        LoopScratchPool(disk)


@where_mountable
def test_without_a_formatting_program_it_says_so(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "_SYSTEM_PATH", str(disk))
    with pytest.raises(ScratchUnavailableError, match=r"there is no mkfs\.ext4 in .*: install e2fsprogs"):
        LoopScratchPool(disk)


@where_mountable
def test_a_formatting_program_that_fails_is_quoted(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = disk / "mkfs.ext4"
    program.write_text("#!/bin/sh\necho 'no such feature' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(scratch, "_SYSTEM_PATH", str(disk))
    pool = LoopScratchPool(disk)
    with pytest.raises(ScratchUnavailableError, match=r"8 MB: mkfs\.ext4 ended with 3: no such feature"):
        pool.take(8)
    assert pool.statistics() == ScratchStatistics(0, 0, 0)


@where_mountable
def test_a_disk_without_room_is_refused_with_what_it_has(pool: LoopScratchPool, point: Path) -> None:
    """The small disk is a scratch folder itself."""

    def ask() -> list[Any]:
        inner = LoopScratchPool(point)
        try:
            inner.take(8)
            inner.take(512)
        except ScratchUnavailableError as error:
            return [inner.statistics().out, str(error)]
        finally:
            inner.close()
        return []

    out, said = in_child(ask, mounted_at(point, pool.take(64).mount_fd))
    assert out == 1
    assert said.startswith(f"{point} has ")
    assert said.endswith(" MB free, fewer than the 512 asked for")
    assert gone(point)


@where_mountable
def test_a_mount_that_fails_says_what_the_file_system_said(disk: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="No such device"):
        mounts.filesystem_mount("no-such-type", {})
    with pytest.raises(OSError, match=r"cannot mount tmpfs: Invalid argument \(.*bad-option"):
        mounts.filesystem_mount("tmpfs", {"bad-option": None})
    made = mounts.filesystem_mount("tmpfs", {"size": "1m"}, mounts.RDONLY | mounts.NOEXEC)
    with pytest.raises(FileNotFoundError, match="missing"):
        mounts.attach(made, disk / "missing")
    os.close(made)
    assert os.listdir("/proc/self/fd") == before


def test_a_copy_has_the_same_bytes_and_the_same_holes(disk: Path) -> None:
    with open(disk / "source", "w+b", buffering=0) as source, open(disk / "copy", "w+b", buffering=0) as copy:
        for at in (0, 3 * MB, 7 * MB + 5):
            os.pwrite(source.fileno(), CHUNK[:10_000], at)
        source.truncate(12 * MB)
        scratch._read(source.fileno()).write(copy.fileno())
        source.seek(0)
        assert source.read() == Path(disk, "copy").read_bytes()
        assert os.fstat(copy.fileno()).st_blocks <= os.fstat(source.fileno()).st_blocks + 64


def test_a_copy_has_holes_where_the_source_has_zeros(disk: Path) -> None:
    with open(disk / "source", "w+b", buffering=0) as source, open(disk / "copy", "w+b", buffering=0) as copy:
        for at, written in ((0, bytes(8_192)), (8_192, b"a" * 5_000), (40_960, b"\0b"), (MB, bytes(MB))):
            os.pwrite(source.fileno(), written, at)
        source.truncate(2 * MB + 50)
        scratch._read(source.fileno()).write(copy.fileno())
        source.seek(0)
        assert source.read() == Path(disk, "copy").read_bytes()
        assert os.fstat(copy.fileno()).st_blocks * 512 <= 65_536
