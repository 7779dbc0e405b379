"""F1: checked unpacking of a zip from a stranger. Making zips lives in `archive`.

First the directory of the zip is read and planned as pure values (`_Plan`): every name, kind, conflict and symlink is
judged before one byte is written. Then files are inflated, and counted as they inflate: no size in a header is
believed. Symlinks are made last, so that nothing is ever written through one.
"""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .. import config
from ..errors import InvalidParameterValueException, InvalidZipFileException

ENTRIES_MAX: Final = 65_535  # files, folders and symlinks together: what a zip without the zip64 extension can hold
PATH_MAX_BYTES: Final = 1_024
NAME_MAX_BYTES: Final = 255  # NAME_MAX of Linux
DEPTH_MAX: Final = 130  # folders that an entry may lie in
SYMLINK_HOPS_MAX: Final = 40  # as the kernel: MAXSYMLINKS
SYMLINK_MAX_BYTES: Final = 1_024
SYMLINK_STEPS_MAX: Final = 1_000_000  # components walked to judge all symlinks of one zip: about a second

_COULD_NOT: Final = "Could not unzip uploaded file. Please check your file, then try to upload again."
_CHUNK_BYTES: Final = 1 << 18
_DIRECTORY_ENTRY: Final = b"PK\x01\x02"
_DIRECTORY_READ_BYTES: Final = 1 << 20  # reads of zipfile above this are of the zip's directory
_DAMAGED = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,  # UnicodeError too
    OverflowError,
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the two that cannot be made to ask for much memory

_Parts = tuple[str, ...]


def too_big(limit: int = config.UNZIPPED_MAX_BYTES) -> InvalidParameterValueException:
    """Lambda's refusal of a bundle over its unzipped limit."""
    return InvalidParameterValueException(f"Unzipped size must be smaller than {limit} bytes")


def bad_zip(why: str = "") -> InvalidZipFileException:
    """Lambda's refusal of a zip, with what was wrong where that is known."""
    return InvalidZipFileException(f"{_COULD_NOT} ({why})" if why else _COULD_NOT)


@dataclass(slots=True)
class _Plan:
    """What will be made, by path below the target. `folders` holds parents before their children."""

    folders: dict[_Parts, None] = field(default_factory=dict)
    files: dict[_Parts, zipfile.ZipInfo] = field(default_factory=dict)
    links: dict[_Parts, str] = field(default_factory=dict)

    def kind_of(self, parts: _Parts) -> str | None:
        if parts in self.folders:
            return "folder"
        if parts in self.files:
            return "file"
        return "symlink" if parts in self.links else None

    def __len__(self) -> int:
        return len(self.folders) + len(self.files) + len(self.links)


def unpack_zip(source: Path, target: Path) -> int:
    """Unpack the zip at `source` into the new folder `target`; the number of bytes its files hold.

    Files get mode 0644, or 0755 if the zip marks them executable, folders 0755. Raises `InvalidZipFileException` for a
    zip that is damaged or dangerous, `InvalidParameterValueException` for one that inflates past the limit,
    `FileExistsError` if `target` exists. On any error `target` is gone.
    """
    target.mkdir(mode=0o755)
    try:
        return _unpack(source, target, config.UNZIPPED_MAX_BYTES)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _unpack(source: Path, target: Path, room: int) -> int:
    target.chmod(0o755)  # whatever the umask
    with _Archive(source, "rb") as opened:
        with _judged("the zip's directory"):
            archive = zipfile.ZipFile(opened)
        with archive:
            plan = _planned(archive, os.fstat(opened.fileno()).st_size)
            return _made(archive, plan, target, room)


class _Archive(io.FileIO):
    """The zip's bytes; counts the directory's entries before `zipfile` makes an object of each."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size) or b""
        if len(data) > _DIRECTORY_READ_BYTES and data.count(_DIRECTORY_ENTRY) > ENTRIES_MAX:
            raise bad_zip(f"it holds more than {ENTRIES_MAX} entries")
        return data


def _planned(archive: zipfile.ZipFile, archive_bytes: int) -> _Plan:
    entries = archive.infolist()
    if sum(entry.compress_size for entry in entries) > archive_bytes:
        raise bad_zip("its entries overlap")  # each byte of the zip is inflated at most once
    plan = _Plan()
    for entry in entries:
        with _judged(f"entry {_shown(entry)}"):
            _plan_entry(archive, entry, plan)
        if len(plan) > ENTRIES_MAX:
            raise bad_zip(f"it holds more than {ENTRIES_MAX} files and folders")
    _check_links(plan)
    return plan


def _plan_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, plan: _Plan) -> None:
    kind = _kind(entry)
    parts = _checked_parts(entry.orig_filename)
    if not parts and kind == "folder":
        return  # "./"
    if not parts:
        raise bad_zip(f"entry {_shown(entry)} has no name")
    for length in range(1, len(parts)):
        _plan_folder(plan, parts[:length], entry)
    if kind == "folder":
        _plan_folder(plan, parts, entry)
        return
    if plan.kind_of(parts) not in (None, kind):
        raise bad_zip(f"entry {_shown(entry)} is both a {plan.kind_of(parts)} and a {kind}")
    if kind == "symlink":
        plan.links[parts] = _link_target(archive, entry)
    else:
        plan.files[parts] = entry  # of two files of one name the last one counts, as with unzip


def _plan_folder(plan: _Plan, parts: _Parts, entry: zipfile.ZipInfo) -> None:
    if plan.kind_of(parts) not in (None, "folder"):
        raise bad_zip(f"entry {_shown(entry)}: {'/'.join(parts)!a} is both a {plan.kind_of(parts)} and a folder")
    plan.folders[parts] = None


def _kind(entry: zipfile.ZipInfo) -> str:
    """`folder`, `file` or `symlink`; anything else, and what this engine does not inflate, is refused."""
    if entry.flag_bits & 0x41:  # encrypted, strongly encrypted
        raise bad_zip(f"entry {_shown(entry)} is encrypted")
    if entry.compress_type not in _METHODS:
        raise bad_zip(f"entry {_shown(entry)} uses compression method {entry.compress_type}: use deflate")
    unix_kind = stat.S_IFMT(entry.external_attr >> 16)
    if unix_kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        raise bad_zip(f"entry {_shown(entry)} is neither a file, a folder nor a symlink")
    if unix_kind == stat.S_IFLNK:
        return "symlink"
    return "folder" if unix_kind == stat.S_IFDIR or entry.orig_filename.endswith("/") else "file"


def _checked_parts(name: str) -> _Parts:
    """The components of an entry's name as it stands in the zip, or the refusal of it."""
    if "\0" in name or "\\" in name:
        raise bad_zip(f"entry {name!a} has a NUL or a backslash in its name")
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        raise bad_zip(f"entry {name!a} is an absolute path")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise bad_zip(f"entry {name!a} leaves the bundle")
    if len(name.encode()) > PATH_MAX_BYTES or len(parts) > DEPTH_MAX:
        raise bad_zip(f"entry {name[:80]!a}… is longer than {PATH_MAX_BYTES} bytes or deeper than {DEPTH_MAX} folders")
    if any(len(part.encode()) > NAME_MAX_BYTES for part in parts):
        raise bad_zip(f"entry {name[:80]!a}… has a name longer than {NAME_MAX_BYTES} bytes")
    return parts


def _link_target(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    with archive.open(entry) as stream:
        raw = stream.read(SYMLINK_MAX_BYTES + 1)
    target = raw.decode()
    if not target or len(raw) > SYMLINK_MAX_BYTES or "\0" in target:
        raise bad_zip(f"symlink {_shown(entry)} has no usable target")
    return target


def _check_links(plan: _Plan) -> None:
    budget = SYMLINK_STEPS_MAX
    for parts, target in plan.links.items():
        walked = 0
        for inside in _follow(plan, parts):
            walked += 1
            if not inside or walked > budget:
                raise bad_zip(f"symlink {'/'.join(parts)!a} -> {target!a} leaves the bundle, loops or is too tangled")
        budget -= walked


def _follow(plan: _Plan, link: _Parts) -> Iterator[bool]:
    """Walk a symlink through every other symlink of the plan, as the kernel would; False where it may not go on.

    A `..` of a folder that is not there counts as a step up: stricter than the kernel, which would give up.
    """
    here = list(link[:-1])
    pending = _steps(plan.links[link])
    hops = 1
    while pending:
        step = pending.pop()
        if step == "..":
            yield bool(here)
            here.pop()
            continue
        here.append(step)
        if (target := plan.links.get(tuple(here))) is not None:
            hops += 1
            pending.extend(_steps(target))
            here.pop()
        yield step != "/" and hops <= SYMLINK_HOPS_MAX and len(here) <= DEPTH_MAX


def _steps(target: str) -> list[str]:
    """A target's components, last first; an absolute one begins with `/`."""
    steps = [step for step in target.split("/") if step not in ("", ".")]
    return [*reversed(steps), "/"] if target.startswith("/") else steps[::-1]


def _made(archive: zipfile.ZipFile, plan: _Plan, target: Path, room: int) -> int:
    for parts in plan.folders:
        folder = target.joinpath(*parts)
        folder.mkdir()
        folder.chmod(0o755)
    used = 0
    for parts, entry in plan.files.items():
        with _judged(f"entry {_shown(entry)}"):
            used += _inflate(archive, entry, target.joinpath(*parts), room - used)
    for parts, link in plan.links.items():
        target.joinpath(*parts).symlink_to(link)
    return used


def _inflate(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, room: int) -> int:
    mode = 0o755 if (entry.external_attr >> 16) & 0o111 else 0o644
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    inflated = 0
    with open(descriptor, "wb", buffering=0) as out, archive.open(entry) as stream:
        os.fchmod(descriptor, mode)
        while chunk := stream.read(_CHUNK_BYTES):
            inflated += len(chunk)
            if inflated > room:
                raise too_big()
            out.write(chunk)
    if inflated != entry.file_size:
        raise bad_zip(f"entry {_shown(entry)} holds {inflated} bytes and claims {entry.file_size}")
    return inflated


@contextmanager
def _judged(what: str) -> Iterator[None]:
    """What `zipfile` raises on damage, and nothing else, becomes Lambda's refusal."""
    try:
        yield
    except zipfile.BadZipFile as error:
        raise bad_zip("" if "not a zip" in str(error) else f"{what}: {error}") from error
    except _DAMAGED as error:
        raise bad_zip(f"{what}: {error}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a seek to where no file reaches is damage; a full disk is not
            raise
        raise bad_zip(f"{what}: it points outside the file") from error


def _shown(entry: zipfile.ZipInfo) -> str:
    return ascii(entry.orig_filename[:120])
