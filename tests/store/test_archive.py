"""Folders and single files become zips: the same bytes for the same content, and nothing from outside."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from engine.errors import BuildError, InvalidParameterValueException
from engine.store import archive
from engine.store.archive import zip_folders
from engine.store.build import Builder
from engine.store.source import bundle
from engine.store.unpack import unpack_zip


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def names_of(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as opened:
        return opened.namelist()


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one = tree(tmp_path / "one", {"b.py": "b", "a/c.py": "c", "a.py": "a"})
    two = tree(tmp_path / "two", {"a.py": "a", "a/c.py": "c", "b.py": "b"})
    os.utime(two / "a.py", (1, 1))
    (two / "b.py").chmod(0o600)
    first = zip_folders([one], tmp_path / "1.zip").read_bytes()
    assert first == zip_folders([two], tmp_path / "2.zip").read_bytes()
    assert names_of(tmp_path / "1.zip") == ["a.py", "a/c.py", "b.py"]


def test_a_folder_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = tree(tmp_path / "code", {"app.py": "x", "bin/tool": "#!", "pkg/data/é.txt": "ü"})
    (folder / "bin/tool").chmod(0o711)
    (folder / "empty").mkdir()
    (folder / "alias.py").symlink_to("app.py")
    (folder / "same").symlink_to("pkg")
    unpack_zip(zip_folders([folder], tmp_path / "z.zip"), tmp_path / "out")
    out = tmp_path / "out"
    assert (out / "pkg/data/é.txt").read_text() == (out / "same/data/é.txt").read_text() == "ü"
    assert (out / "alias.py").read_text() == "x" and not (out / "alias.py").is_symlink()
    assert stat.S_IMODE((out / "bin/tool").stat().st_mode) == 0o755
    assert stat.S_IMODE((out / "app.py").stat().st_mode) == 0o644
    assert (out / "empty").is_dir()


def test_caches_history_and_environments_are_left_out(tmp_path: Path) -> None:
    skipped = ["__pycache__/a.pyc", ".git/config", ".venv/bin/python", "venv/x", "node_modules/.cache/y", "p/venv/z"]
    folder = tree(tmp_path / "code", dict.fromkeys([*skipped, "app.py", "node_modules/m/i.js", ".env"], "x"))
    assert names_of(zip_folders([folder], tmp_path / "z.zip")) == [".env", "app.py", "node_modules/m/i.js", "p/"]


def test_a_symlink_that_leaves_the_folder_is_refused_by_name(tmp_path: Path) -> None:
    folder = tree(tmp_path / "code", {"app.py": "x"})
    tree(tmp_path, {"secret": "s"})
    (folder / "out.txt").symlink_to("../secret")
    with pytest.raises(InvalidParameterValueException, match=r"out\.txt leaves the code folder: it points to .*secret"):
        zip_folders([folder], tmp_path / "z.zip")


def test_symlinks_that_dangle_or_loop_are_refused_by_name(tmp_path: Path) -> None:
    dangling = tree(tmp_path / "1", {"a": ""})
    (dangling / "gone").symlink_to("nowhere")
    with pytest.raises(InvalidParameterValueException, match="gone cannot be read: No such file"):
        zip_folders([dangling], tmp_path / "z.zip")
    loop = tree(tmp_path / "2", {"d/a": ""})
    (loop / "d/up").symlink_to("..")
    with pytest.raises(InvalidParameterValueException, match="d/up points at a folder it lies in"):
        zip_folders([loop], tmp_path / "z.zip")


def test_a_fifo_and_a_name_that_is_no_text_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tree(tmp_path / "1", {"a": ""}) / "pipe")
    with pytest.raises(InvalidParameterValueException, match="pipe is neither a file nor a folder"):
        zip_folders([tmp_path / "1"], tmp_path / "z.zip")
    (tree(tmp_path / "2", {"a": ""}) / os.fsdecode(b"\xff")).touch()
    with pytest.raises(InvalidParameterValueException, match="not UTF-8"):
        zip_folders([tmp_path / "2"], tmp_path / "z.zip")


def test_a_folder_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tree(tmp_path / "big", {"a": "a"}) / "hole").open("wb") as sparse:
        sparse.truncate(262_144_000)
    with pytest.raises(InvalidParameterValueException, match="262144000"):
        zip_folders([tmp_path / "big"], tmp_path / "z.zip")
    monkeypatch.setattr(archive, "ENTRIES_MAX", 3)
    with pytest.raises(InvalidParameterValueException, match="more than 3 files"):
        zip_folders([tree(tmp_path / "many", dict.fromkeys("abcd", ""))], tmp_path / "z.zip")


def test_a_later_folder_wins_whole(tmp_path: Path) -> None:
    under = tree(tmp_path / "under", {"six.py": "old", "x/a": "", "y": "", "kept/b": ""})
    over = tree(tmp_path / "over", {"six.py": "new", "x": "file now", "y/c": ""})
    unpack_zip(zip_folders([under, over], tmp_path / "z.zip"), tmp_path / "out")
    assert (tmp_path / "out/six.py").read_text() == "new"
    assert (tmp_path / "out/x").read_text() == "file now"
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"six.py", "x", "y", "kept"}


def builder(tmp_path: Path) -> Builder:
    return Builder(cache=tmp_path / "cache")


def test_a_folder_is_bundled_into_a_zip_that_is_gone_afterwards(tmp_path: Path) -> None:
    folder = tree(tmp_path / "code", {"app.py": "x", "requirements.txt": "# nothing\n\n"})
    with bundle(str(folder), build=builder(tmp_path)) as zipped:
        assert isinstance(zipped, Path)
        assert names_of(zipped) == ["app.py", "requirements.txt"]
    assert not zipped.parent.exists()


def test_a_module_is_bundled_under_its_own_name(tmp_path: Path) -> None:
    tree(tmp_path, {"app.py": "x = 1"})
    with bundle(tmp_path / "app.py", build=builder(tmp_path)) as zipped:
        assert isinstance(zipped, bytes)
        with zipfile.ZipFile(io.BytesIO(zipped)) as opened:
            assert opened.read("app.py") == b"x = 1"


def test_zips_and_bytes_are_taken_as_they_are(tmp_path: Path) -> None:
    tree(tmp_path, {"code.zip": "anything"})
    with bundle(tmp_path / "code.zip", build=builder(tmp_path)) as zipped:
        assert zipped == tmp_path / "code.zip"
    with bundle(b"PK", build=builder(tmp_path)) as zipped:
        assert zipped == b"PK"


@pytest.mark.parametrize("code", ["missing", "missing.zip", "notes.txt", "", "a\0b", 5, None])
def test_code_that_is_nothing_known_is_refused_with_what_is_accepted(tmp_path: Path, code: object) -> None:
    tree(tmp_path, {"notes.txt": ""})
    given = tmp_path / code if isinstance(code, str) and code and "\0" not in code else code
    accepted = r"a \.zip or \.jar path, a single \.py, \.js, \.mjs, \.cjs, \.rb file"
    with pytest.raises(InvalidParameterValueException, match=accepted):
        with bundle(given, build=builder(tmp_path)):  # type: ignore[arg-type]
            pass


def test_an_interpreter_that_is_not_there_is_a_build_error(tmp_path: Path) -> None:
    folder = tree(tmp_path / "code", {"requirements.txt": "six"})
    with pytest.raises(BuildError, match="/no/python could not be run"):
        with bundle(folder, build=Builder(python="/no/python", cache=tmp_path / "cache")):
            pass
