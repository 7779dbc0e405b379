"""Uploads that would write elsewhere, lead elsewhere, or never end: refused whole. The cases are tests/store's too."""

from __future__ import annotations

import io
import os
import stat
import zipfile

import pytest
from standing import ONE_VCPU_MB

import engine.sync
from engine.config import UNZIPPED_MAX_BYTES
from engine.errors import InvalidParameterValueException, InvalidZipFileException

APP = "def handler(event, context):\n    return open('/var/task/way').read()\n"


def packed(*entries: tuple[str, bytes, int]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return out.getvalue()


FILE, LINK, DEVICE = stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o666
REFUSED = {
    "zip slip": packed(("../../slipped.py", b"x", FILE)),
    "an absolute name": packed(("/tmp/slipped.py", b"x", FILE)),
    "a link out": packed(("way", b"/etc/shadow", LINK)),
    "a link up": packed(("way", b"../../..", LINK)),
    "a file through a link": packed(("way", b"..", LINK), ("way/slipped.py", b"x", FILE)),
    "a device": packed(("way", b"", DEVICE)),
}


@pytest.mark.parametrize("way", REFUSED)
def test_an_upload_that_leads_elsewhere_is_refused_and_leaves_nothing(door: engine.sync.Engine, way: str) -> None:
    before = set(os.listdir("/tmp")), set(os.listdir("."))
    with pytest.raises((InvalidZipFileException, InvalidParameterValueException)):
        door.create_function("slips", code=REFUSED[way], handler="app.handler", memory_mb=ONE_VCPU_MB)
    assert "slips" not in {found.function_name for found in door.list_functions()}
    assert "slipped.py" not in set(os.listdir("/tmp")) - before[0] | set(os.listdir(".")) - before[1]


def test_a_zip_bomb_is_refused_by_what_it_inflates_to(door: engine.sync.Engine) -> None:
    bomb = packed(("app.py", APP.encode(), FILE), ("zeros", bytes(UNZIPPED_MAX_BYTES), FILE))
    assert len(bomb) < 1 << 20
    with pytest.raises((InvalidZipFileException, InvalidParameterValueException)):
        door.create_function("bomb", code=bomb, handler="app.handler", memory_mb=ONE_VCPU_MB)
