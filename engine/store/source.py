"""F1: whatever a user gives as code becomes a zip. Making it a stored bundle is `blobs`' work."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..errors import InvalidParameterValueException
from .archive import zip_folders, zip_module
from .build import Builder, Progress
from .entry import SUFFIXES

ACCEPTED: Final = f"a folder, a .zip or .jar path, a single {', '.join(SUFFIXES)} file, or the bytes of a zip"
ZIPS: Final = (".zip", ".jar")


@contextlib.contextmanager
def bundle(
    code: str | os.PathLike[str] | bytes, *, build: Builder, progress: Progress | None = None
) -> Iterator[bytes | Path]:
    """The zip of `code` for the length of the block: bytes, or a path that may be gone afterwards.

    A folder's `requirements.txt` is installed by `build` and the folder's own files are laid over what it gave; a
    `.zip`, a `.jar` and zip bytes are taken as they are. Raises `InvalidParameterValueException` for anything else,
    naming it, `errors.BuildError` from the build, and what `archive` refuses.
    """
    if isinstance(code, bytes | bytearray | memoryview):
        yield bytes(code)
        return
    path = _path_of(code)
    if path.is_dir():
        with _zipped_folder(path, build, progress) as zipped:
            yield zipped
    elif path.suffix in SUFFIXES and path.is_file():
        yield zip_module(path)
    elif path.suffix in ZIPS and path.is_file():
        yield path
    else:
        what = "is neither" if path.exists() else "does not exist"
        raise InvalidParameterValueException(f"code={str(path)!r} {what}. Accepted: {ACCEPTED}")


@contextlib.contextmanager
def _zipped_folder(folder: Path, build: Builder, progress: Progress | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=f"invocation-engine-{os.getpid()}-") as scratch:
        with build.packages(folder, progress=progress) as packages:
            folders = [folder] if packages is None else [packages, folder]
            zipped = zip_folders(folders, Path(scratch) / "bundle.zip")
        yield zipped


def _path_of(code: object) -> Path:
    if not isinstance(code, str | os.PathLike):
        raise InvalidParameterValueException(f"code is a {type(code).__name__}. Accepted: {ACCEPTED}")
    path = os.fspath(code)
    if not isinstance(path, str) or not path or "\0" in path:
        raise InvalidParameterValueException(f"code={path!r} is not a path. Accepted: {ACCEPTED}")
    return Path(path)
