"""A durable code store finds its bundles again, believes no tree that may be short, keeps none that is not needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from zips import zip_of

from engine.errors import InvalidZipFileException, ServiceException
from engine.model import StoredCode
from engine.store import blobs as blobs_module
from engine.store.blobs import CodeStore

CODE = zip_of({"app.py": "def handler(e, c): return e\n", "data/x": b"12345"})
OTHER = zip_of({"app.py": "other = 1\n"})

Open = Callable[..., CodeStore]


@pytest.fixture
def reopen(tmp_path: Path) -> Iterator[Open]:
    """Closes the store that is open, if any, and opens one that restores these references."""
    opened: list[CodeStore] = []

    def open_store(*references: StoredCode) -> CodeStore:
        for store in opened:
            store.close()
        opened.append(CodeStore(tmp_path, durable=True))
        opened[-1].restore(references)
        return opened[-1]

    yield open_store
    opened[-1].close()


def names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()} - {".lock"}


def parts(*bundles: StoredCode) -> set[str]:
    return {f"{stored.root.name}{suffix}" for stored in bundles for suffix in ("", ".zip", ".unpacked")}


def test_references_come_back_and_nothing_is_unpacked_again(reopen: Open) -> None:
    stored = reopen().put_zip(CODE)
    tree = stored.root.stat().st_ino
    store = reopen(stored, stored)
    assert store.references(stored) == 2
    assert stored.root.stat().st_ino == tree
    assert store.put_zip(CODE) == stored
    for _ in range(3):
        store.release(stored)
    assert names(store.root) == set()


def test_what_nobody_refers_to_is_removed(reopen: Open, tmp_path: Path) -> None:
    store = reopen()
    kept, other = store.put_zip(CODE), store.put_zip(OTHER)
    (tmp_path / ".incoming-dead").mkdir()
    (tmp_path / ".trash-dead").write_text("")
    assert names(tmp_path) > parts(kept, other)
    reopen(kept)
    assert names(tmp_path) == parts(kept)


def test_a_tree_of_an_earlier_boot_is_believed_only_if_it_was_settled(reopen: Open) -> None:
    store = reopen()
    settled, unsettled = store.put_zip(CODE), store.put_zip(OTHER)
    assert marker(settled).read_text() == marker(unsettled).read_text() != "settled"
    store = reopen(settled, unsettled)
    assert marker(settled).read_text() == marker(unsettled).read_text() == "settled"  # by closing
    marker(unsettled).write_text("00000000-another-boot")
    (unsettled.root / "app.py").write_text("")  # as a power cut leaves it
    tree = settled.root.stat().st_ino
    reopen(settled, unsettled)
    assert (unsettled.root / "app.py").read_text() == "other = 1\n"
    assert settled.root.stat().st_ino == tree


def marker(stored: StoredCode) -> Path:
    return stored.root.with_name(f"{stored.root.name}.unpacked")


def test_so_many_trees_are_settled_at_once_while_the_store_is_open(
    reopen: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs_module, "UNSETTLED_MAX", 2)
    store = reopen()
    one, two = store.put_zip(CODE), store.put_zip(OTHER)
    assert [marker(stored).read_text() for stored in (one, two)] == ["settled"] * 2


@pytest.mark.parametrize("lost", ["tree", "marker"])
def test_a_tree_that_is_lost_is_unpacked_from_its_zip(reopen: Open, lost: str, tmp_path: Path) -> None:
    stored = reopen().put_zip(CODE)
    reopen(stored)
    if lost == "tree":
        stored.root.rename(tmp_path / "away")
    else:
        marker(stored).unlink()
    store = reopen(stored)
    assert (stored.root / "data/x").read_bytes() == b"12345"
    store.check(stored, "f")


@pytest.mark.parametrize("zipped", ["missing", "damaged", "another's"])
def test_a_bundle_that_is_lost_is_refused_by_name_until_it_is_put_again(
    reopen: Open, zipped: str, tmp_path: Path
) -> None:
    store = reopen()
    stored, other = store.put_zip(CODE), store.put_zip(OTHER)
    stored.root.rename(tmp_path / "away")
    if zipped == "missing":
        store.zip_path(stored).unlink()
    else:
        store.zip_path(stored).write_bytes(OTHER if zipped == "another's" else CODE[:50])
    store = reopen(stored, other)
    store.check(other, "g")
    with pytest.raises(InvalidZipFileException) as caught:
        store.check(stored, "f")
    assert caught.value.message.startswith(f"The code of f (CodeSha256 {stored.sha256}) is not usable: its tree is ")
    assert "again with update_function_code" in caught.value.message
    assert store.references(stored) == 1
    assert store.put_zip(CODE) == stored
    store.check(stored, "f")
    assert (stored.root / "data/x").read_bytes() == b"12345"


def test_a_lost_bundle_that_is_let_go_leaves_nothing(reopen: Open, tmp_path: Path) -> None:
    store = reopen()
    stored = store.put_zip(CODE)
    for path in (stored.root, store.zip_path(stored)):
        path.rename(tmp_path / f"away-{path.name}")
    store = reopen(stored)
    store.release(stored)
    assert names(tmp_path).isdisjoint(parts(stored))


def test_a_disk_that_takes_nothing_more_is_told_as_lambdas_own_failure(
    reopen: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The full disk itself is in tests/durability; here every kind of put meets it."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    store = reopen()
    monkeypatch.setattr(blobs_module, "unpack_zip", full)
    for code in (CODE, tmp_path / "bundle.zip"):
        (tmp_path / "bundle.zip").write_bytes(CODE)
        with pytest.raises(ServiceException, match=f"could not be stored in {tmp_path}: .*No space left"):
            store.put_zip(code)
    assert names(tmp_path) == {"bundle.zip"}


@pytest.mark.parametrize("refused", ["tempfile.mkdtemp", "engine.store.markers.Markers.unpacking"])
def test_while_the_disk_is_full_a_short_tree_is_refused_and_once_there_is_room_it_is_mended(
    reopen: Open, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    store = reopen()
    short, whole = store.put_zip(CODE), store.put_zip(OTHER)
    reopen(short, whole)
    marker(short).write_text("00000000-another-boot")

    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(refused, full)
        store = reopen(short, whole)
    store.check(whole, "g")
    with pytest.raises(InvalidZipFileException, match=r"unpacking it anew failed: .*No space left"):
        store.check(short, "f")
    assert store.put_zip(CODE) == short
    store.check(short, "f")
    assert (short.root / "data/x").read_bytes() == b"12345"
