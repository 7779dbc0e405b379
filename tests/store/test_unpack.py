"""Zips from strangers are unpacked inside their folder, within bounds, or not at all."""

from __future__ import annotations

import os
import stat
import struct
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zips import entry, link, written, zip_of, zip_of_infos

from engine import config
from engine.errors import InvalidParameterValueException, InvalidZipFileException, LambdaError
from engine.store import unpack
from engine.store.unpack import unpack_zip

PIECES = st.sampled_from(["..", ".", "", "a", "b", "c.py", "/", "\\", "C:", "\0", "é", "x" * 300, " ", "..."])
NAMES = st.one_of(st.lists(PIECES, min_size=1, max_size=6).map("/".join), st.text(min_size=1, max_size=40))
TARGETS = st.lists(st.sampled_from(["..", ".", "a", "b", "c", "d", ""]), min_size=1, max_size=6).map("/".join)


def refused(tmp_path: Path, data: bytes, why: str) -> None:
    target = tmp_path / "out"
    with pytest.raises(InvalidZipFileException, match=r"^Could not unzip uploaded file\. Please check") as caught:
        unpack_zip(written(tmp_path, data), target)
    assert why in caught.value.message
    assert not target.exists()


def test_files_folders_and_symlinks_come_out_with_plain_modes(tmp_path: Path) -> None:
    data = zip_of_infos(
        (entry("bin/run", 0o4755), b"#!"),
        (entry("secret.txt", 0o600), b"s"),
        (entry("empty/", 0o2777, stat.S_IFDIR), b""),
        link("bin/alias", "../secret.txt"),
    )
    old = os.umask(0o077)
    try:
        used = unpack_zip(written(tmp_path, data), tmp_path / "out")
    finally:
        os.umask(old)
    out = tmp_path / "out"
    modes = {str(p.relative_to(out)): stat.S_IMODE(p.lstat().st_mode) for p in out.rglob("*") if not p.is_symlink()}
    assert modes == {"bin": 0o755, "bin/run": 0o755, "secret.txt": 0o644, "empty": 0o755}
    assert (out / "bin/alias").read_bytes() == b"s"
    assert used == 3


def test_what_is_no_zip_is_refused_in_exactly_lambdas_words(tmp_path: Path) -> None:
    with pytest.raises(InvalidZipFileException) as caught:
        unpack_zip(written(tmp_path, b"not a zip"), tmp_path / "out")
    assert caught.value.message == ("Could not unzip uploaded file. Please check your file, then try to upload again.")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/etc/passwd", "absolute"),
        ("../x", "leaves the bundle"),
        ("a/../../x", "leaves the bundle"),
        ("C:x", "absolute"),
        ("a\\..\\x", "backslash"),
        ("a\0.py", "NUL"),
        ("x" * 256, "name longer"),
        ("a/" * 400 + "x", "deeper"),
    ],
)
def test_a_name_that_could_escape_is_refused(tmp_path: Path, name: str, why: str) -> None:
    refused(tmp_path, zip_of_infos((entry(name), b"x")), why)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "entries",
    [
        [(entry("a"), b"file"), (entry("a/b"), b"below a file")],
        [(entry("a/b"), b""), (entry("a"), b"over a folder")],
        [(entry("a"), b""), (entry("a/", 0o755, stat.S_IFDIR), b"")],
        [link("a", "b"), (entry("a"), b"written through a link")],
        [link("a", "b"), (entry("a/x"), b"written through a link")],
        [(entry("a"), b""), link("a", "b")],
    ],
)
def test_names_that_conflict_are_refused(tmp_path: Path, entries: list[tuple[zipfile.ZipInfo, bytes]]) -> None:
    refused(tmp_path, zip_of_infos(*entries), "is both a")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_files_of_one_name_the_last_counts(tmp_path: Path) -> None:
    data = zip_of_infos((entry("a.py"), b"first"), (entry("a.py"), b"second"))
    assert unpack_zip(written(tmp_path, data), tmp_path / "out") == 6
    assert (tmp_path / "out/a.py").read_bytes() == b"second"


@pytest.mark.parametrize(
    "links",
    [
        [("a", "/etc")],
        [("a", "../x")],
        [("d/a", "../../x")],
        [("a", "b/../../x"), ("b", "c")],
        [("a", "b/.."), ("b", "c/d"), ("e", "a/../..")],
        [("a", "a")],
        [("a", "b"), ("b", "a")],
        [(f"l{n}", f"l{n + 1}") for n in range(60)],
        [("a", "")],
        [("a", "x" * 2000)],
    ],
)
def test_a_symlink_that_leaves_or_loops_is_refused(tmp_path: Path, links: list[tuple[str, str]]) -> None:
    refused(tmp_path, zip_of_infos(*(link(*pair) for pair in links)), "symlink")


def test_tangled_symlinks_cost_a_bounded_time(tmp_path: Path) -> None:
    maze = [link(f"l{n}", "/".join(["d/.."] * 90 + [f"l{n + 1}"])) for n in range(30)] + [link("l30", "d")]
    many = [link(f"m{n}", "l0") for n in range(2000)]
    refused(tmp_path, zip_of_infos(*maze, *many), "tangled")


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_devices_and_fifos_are_refused(tmp_path: Path, kind: int) -> None:
    refused(tmp_path, zip_of_infos((entry("dev", 0o666, kind), b"")), "neither a file")


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    data = bytearray(zip_of({"a.py": b"x"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    refused(tmp_path, bytes(data), "is encrypted")


def test_a_method_other_than_deflate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lzma.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.py", b"x" * 100)
    refused(tmp_path, path.read_bytes(), "compression method 14")


def test_a_broken_checksum_is_refused(tmp_path: Path) -> None:
    out = bytearray(zip_of_infos((entry("a.py"), b"x")))
    at = out.index(b"PK\x01\x02") + 16
    out[at : at + 4] = b"\0\0\0\0"
    refused(tmp_path, bytes(out), "CRC")


def test_a_size_that_lies_is_refused(tmp_path: Path) -> None:
    for claimed in (1, 10_000):
        data = bytearray(zip_of({"a.py": b"y" * 100}))
        at = data.index(b"PK\x01\x02") + 24
        data[at : at + 4] = struct.pack("<I", claimed)
        refused(tmp_path, bytes(data), "a.py")


def test_a_truncated_zip_is_refused(tmp_path: Path) -> None:
    data = zip_of({"a.py": os.urandom(5000), "b.py": b"b"})
    for length in (10, 3000, len(data) - 30, len(data) - 1):
        refused(tmp_path, data[:length], "")


def bomb(path: Path, megabytes: int) -> Path:
    zeros = b"\0" * 1_048_576
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("zeros", "w") as out:
            for _ in range(megabytes):
                out.write(zeros)
    return path


def test_a_bomb_stops_at_the_limit_and_leaves_nothing(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.zip", 251)
    assert path.stat().st_size < 5_000_000
    with pytest.raises(InvalidParameterValueException, match=r"^Unzipped size must be smaller than 262144000 bytes$"):
        unpack_zip(path, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bomb.zip"]


def test_what_has_just_the_limit_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bomb(tmp_path / "small.zip", 1)
    monkeypatch.setattr(config, "UNZIPPED_MAX_BYTES", 1_048_576)
    assert unpack_zip(path, tmp_path / "fits") == 1_048_576
    monkeypatch.setattr(config, "UNZIPPED_MAX_BYTES", 1_048_575)
    with pytest.raises(InvalidParameterValueException, match="Unzipped size must be smaller than"):
        unpack_zip(path, tmp_path / "out")


def test_a_header_that_claims_little_does_not_lift_the_limit(tmp_path: Path) -> None:
    data = bytearray(bomb(tmp_path / "b.zip", 2).read_bytes())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", 5)
    refused(tmp_path, bytes(data), "zeros")


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    data = zip_of({"a": b"\0" * 100_000})
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    record = data[start:end]
    many = 500
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, many, many, len(record) * many, start, 0)
    refused(tmp_path, data[:start] + record * many + tail, "overlap")


def test_a_directory_of_too_many_entries_is_refused_before_it_is_read(tmp_path: Path) -> None:
    data = zip_of({"a": b""})
    start = data.index(b"PK\x01\x02")
    record = data[start : data.index(b"PK\x05\x06")]
    many = unpack.ENTRIES_MAX + 1
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 65_535, 65_535, len(record) * many, start, 0)
    refused(tmp_path, data[:start] + record * many + tail, "more than 65535 entries")


def test_folders_that_names_imply_count_as_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "ENTRIES_MAX", 100)
    refused(tmp_path, zip_of({f"{n}/" + "d/" * 60 + "f": b"" for n in range(3)}), "more than 100 files and folders")


def test_an_existing_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError):
        unpack_zip(written(tmp_path, zip_of({"a": b""})), tmp_path / "out")
    assert (tmp_path / "out").is_dir()


def assert_contained(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        around = Path(scratch)
        out = around / "deep/er/out"
        out.parent.mkdir(parents=True)
        path = written(around, data)
        before = set(around.rglob("*"))
        try:
            unpack_zip(path, out)
        except LambdaError:
            assert not out.exists()
            assert set(around.rglob("*")) == before
            return
        after = set(around.rglob("*"))
        assert all(p == out or out in p.parents for p in after - before)
        for p in out.rglob("*"):
            assert p.resolve().is_relative_to(out.resolve())
            assert p.is_symlink() or stat.S_IMODE(p.stat().st_mode) in (0o644, 0o755)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(st.lists(NAMES, max_size=6))
@settings(max_examples=150, deadline=None)
def test_no_name_ever_escapes(names: list[str]) -> None:
    encodable = [name for name in names if name.encode("utf-8", "ignore").decode() == name]
    assert_contained(zip_of_infos(*((entry(name), b"x") for name in encodable)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d/e", "d/a"]), TARGETS), max_size=5))
@settings(max_examples=150, deadline=None)
def test_no_symlink_ever_escapes(links: list[tuple[str, str]]) -> None:
    assert_contained(zip_of_infos(*(link(*pair) for pair in links)))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damage_anywhere_is_a_refusal_and_not_a_crash(data: st.DataObject) -> None:
    whole = bytearray(zip_of({"a.py": b"print(1)\n" * 20, "d/b": b"b", "d/": b""}))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert_contained(bytes(whole))
