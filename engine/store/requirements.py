"""F1: what a `requirements.txt` depends on, so that a bundle can be cached by content. Installing lives in `build`."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import BuildError

REQUIREMENTS: Final = "requirements.txt"
FILES_MAX: Final = 100  # requirement and constraint files that refer to each other
FILE_MAX_BYTES: Final = 1_048_576
LOCAL_FILES_MAX: Final = 65_535  # files below the local paths that requirements name

_OPTION = re.compile(r"(?:-r|-c|--requirement|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))(?P<path>\S.*)")
_LOCAL = re.compile(r"(?:(?:-e|--editable|-f|--find-links)[\s=]+)?(?:[^@\s]+\s*@\s*)?(?:file:(?://)?)?(?P<path>\S+)")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
# As pip reads them: PEP 263 apart, a mark at the start decides. `pip freeze >` on Windows writes UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Requirements:
    """The bytes that decide what pip installs."""

    contents: tuple[bytes, ...]

    def key(self, interpreter: str) -> str:
        """The cache key with an interpreter's version and platform: 64 hex digits."""
        digest = hashlib.sha256()
        for part in (interpreter.encode(), *self.contents):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()


def read_requirements(folder: Path) -> Requirements | None:
    """What `folder/requirements.txt` and the files it names hold; None if there is none or it asks for nothing.

    Raises `BuildError` for a file that cannot be read or is out of bounds.
    """
    first = folder / REQUIREMENTS
    if not first.is_file() or not _lines(_read(first)):
        return None
    files: dict[Path, bytes] = {}
    contents: list[bytes] = []
    pending = [first]
    while pending:
        path = pending.pop().absolute()
        if path in files:
            continue
        if len(files) == FILES_MAX:
            raise BuildError(f"{first} leads to more than {FILES_MAX} requirement files: stopped at {path}")
        files[path] = _read(path)
        contents.append(files[path])
        for line in _lines(files[path]):
            option = _OPTION.fullmatch(line)
            if option is not None and "://" not in option["path"]:
                pending.append(path.parent / option["path"].strip().strip("\"'"))
            elif option is None:
                contents.extend(_fingerprint(folder, line))
    return Requirements(tuple(contents))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise BuildError(f"The requirement file {path} cannot be read: {error.strerror}") from error
    if len(content) > FILE_MAX_BYTES:
        raise BuildError(f"The requirement file {path} is larger than {FILE_MAX_BYTES} bytes")
    return content


def _lines(content: bytes) -> list[str]:
    """The lines that say something, joined where a backslash continues them."""
    mark, encoding = next(((m, e) for m, e in _MARKS if content.startswith(m)), (b"", "utf-8"))
    text = content[len(mark) :].decode(encoding, "replace")
    joined = re.sub(r"\\\r?\n", "", text)
    return [line for raw in joined.splitlines() if (line := _COMMENT.sub("", raw).strip())]


def _fingerprint(folder: Path, line: str) -> Iterator[bytes]:
    """Names, sizes and times of the files below a local path that a requirement names: they may change in place."""
    match = _LOCAL.match(line)
    named = re.sub(r"(#.*|\[[^\]]*\])$", "", match["path"]) if match is not None else ""
    if "://" in named or not (named.startswith(".") or "/" in named):
        return
    path = folder / named
    if not path.exists():
        return
    for count, file in enumerate(_files_below(path)):
        if count == LOCAL_FILES_MAX:
            raise BuildError(f"The requirement {line!r} names a folder of more than {LOCAL_FILES_MAX} files")
        status = os.lstat(file)
        yield f"{file}\0{status.st_size}\0{status.st_mtime_ns}".encode("utf-8", "surrogateescape")


def _files_below(path: Path) -> Iterator[str]:
    if not path.is_dir():
        yield str(path)
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if name not in ("__pycache__", ".git", "build"))
        yield from (os.path.join(folder, name) for name in sorted(names) if not name.endswith(".egg-info"))
