"""F1: making zips from folders and single files. Reading zips, which are hostile until checked, lives in `unpack`.

The same content always gives the same bytes (sorted names, one date, two modes), so that a folder deployed twice is
one bundle in the content-addressed store.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from .. import config
from ..errors import InvalidParameterValueException
from .unpack import ENTRIES_MAX, too_big

# Never part of a function: caches, history and other interpreters.
SKIPPED_NAMES: Final = frozenset({"__pycache__", ".git", ".venv", "venv"})
SKIPPED_PATHS: Final = ("node_modules/.cache",)
DEPTH_MAX: Final = 128  # nested folders, as `unpack` takes them

_DATE: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip can hold
_CHUNK_BYTES: Final = 1 << 20
_DEFLATE_LEVEL: Final = 1  # the zip is unpacked again at once on this host: speed over size


def zip_folders(folders: list[Path], destination: Path) -> Path:
    """Write the zip of `folders`, later ones over earlier ones, to `destination`, and give it back.

    Symlinks that stay inside their folder are followed. Memory is bounded whatever the size. Raises
    `InvalidParameterValueException`, naming the path, for a symlink that leaves its folder, dangles or loops, for
    anything that is neither file nor folder, and for content over Lambda's unzipped limit.
    """
    entries: dict[str, Path] = {}
    for folder in folders:
        _overlay(entries, dict(_walk(folder)))
        if len(entries) > ENTRIES_MAX:
            raise InvalidParameterValueException(f"{folder} holds more than {ENTRIES_MAX} files")
    with zipfile.ZipFile(destination, "w", zipfile.ZIP_DEFLATED) as archive:
        room = config.UNZIPPED_MAX_BYTES
        for name in sorted(entries):
            room -= _add(archive, name, entries[name], room)
    return destination


def zip_module(path: Path) -> bytes:
    """The zip of one source file, at the top under its own name."""
    if path.stat().st_size > config.UNZIPPED_MAX_BYTES:
        raise too_big()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, path.name, path, config.UNZIPPED_MAX_BYTES)
    return out.getvalue()


def _overlay(under: dict[str, Path], over: dict[str, Path]) -> None:
    """Put `over` on `under`; where one has a file and the other a folder of that name, `over` wins whole."""
    files = {name for name in over if not name.endswith("/")}
    folders = {parent for name in over for parent in _parents(name)}
    for name in list(under):
        if name.rstrip("/") in files or name in folders or any(parent in files for parent in _parents(name)):
            del under[name]
    under.update(over)


def _parents(name: str) -> Iterator[str]:
    """`a/b/c` → `a/b`, `a`."""
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """`(name in the zip, path)` of every file; a folder that gives nothing has a name that ends in `/`."""
    root = Path(os.path.realpath(folder))
    pending: list[tuple[str, Path, tuple[Path, ...]]] = [("", root, (root,))]
    count = 0
    while pending:
        prefix, directory, inside = pending.pop()
        children = [child for child in os.scandir(directory) if not _skipped(prefix + child.name)]
        if not children and prefix:
            yield prefix, directory
        for child in children:
            count += 1
            if count > ENTRIES_MAX or len(inside) > DEPTH_MAX:
                raise InvalidParameterValueException(
                    f"{folder} holds more than {ENTRIES_MAX} files or is nested deeper than {DEPTH_MAX}: "
                    f"stopped at {child.path}"
                )
            real = _resolved(child, root)
            if real.is_dir():
                if real in inside:
                    raise InvalidParameterValueException(f"The symlink {child.path} points at a folder it lies in")
                pending.append((f"{prefix}{child.name}/", real, (*inside, real)))
            else:
                yield prefix + child.name, real


def _skipped(name: str) -> bool:
    return name.rpartition("/")[2] in SKIPPED_NAMES or any(f"/{name}".endswith(f"/{path}") for path in SKIPPED_PATHS)


def _resolved(child: os.DirEntry[str], root: Path) -> Path:
    """Where the entry really lies, checked to be a file or folder inside `root`."""
    try:
        child.name.encode()
        real = Path(os.path.realpath(child.path, strict=True)) if child.is_symlink() else Path(child.path)
        mode = real.stat().st_mode
    except UnicodeEncodeError:
        raise InvalidParameterValueException(f"The name of {child.path!a} is not UTF-8: rename it") from None
    except OSError as error:
        raise InvalidParameterValueException(f"{child.path} cannot be read: {error.strerror}") from error
    if not real.is_relative_to(root):
        raise InvalidParameterValueException(
            f"The symlink {child.path} leaves the code folder: it points to {real}. Copy what it points to into {root}"
        )
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InvalidParameterValueException(f"{child.path} is neither a file nor a folder: it cannot be bundled")
    return real


def _add(archive: zipfile.ZipFile, name: str, path: Path, room: int) -> int:
    """Add one entry of at most `room` bytes; its size."""
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system = 3  # Unix: the mode counts
    if name.endswith("/"):
        info.external_attr = (stat.S_IFDIR | 0o755) << 16 | 0x10
        archive.writestr(info, b"")
        return 0
    info.compress_type = zipfile.ZIP_DEFLATED
    info._compresslevel = _DEFLATE_LEVEL  # type: ignore[attr-defined]  # a ZipInfo ignores its archive's level
    with path.open("rb") as source:
        status = os.fstat(source.fileno())
        info.external_attr = (stat.S_IFREG | (0o755 if status.st_mode & 0o111 else 0o644)) << 16
        info.file_size = status.st_size  # lets zipfile choose the entry's header; corrected by what is read
        with archive.open(info, "w") as target:
            return _copy(source, target, room)


def _copy(source: IO[bytes], target: IO[bytes], room: int) -> int:
    copied = 0
    while chunk := source.read(_CHUNK_BYTES):
        copied += len(chunk)
        if copied > room:
            raise too_big()
        target.write(chunk)
    return copied
