"""Zips for tests, the malformed ones too, which `zipfile` itself would not write."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path


def zip_of(entries: dict[str, bytes | str]) -> bytes:
    """A well-formed zip with these names as they stand."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def zip_of_infos(*entries: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    """A zip with these entries in this order, names repeated or not."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, content in entries:
            archive.writestr(info, content)
    return out.getvalue()


def entry(name: str, mode: int = 0o644, kind: int = stat.S_IFREG) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.filename = info.orig_filename = name  # ZipInfo cuts a name at NUL
    info.create_system = 3
    info.external_attr = (kind | mode) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def link(name: str, target: str) -> tuple[zipfile.ZipInfo, bytes]:
    return entry(name, 0o777, stat.S_IFLNK), target.encode()


def written(folder: Path, data: bytes, name: str = "bundle.zip") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path
