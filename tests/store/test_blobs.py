"""Bundles are stored once per content, counted, and deleted by whoever lets go last."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import multiprocessing
import os
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from zips import written, zip_of

from engine import config
from engine.errors import (
    EngineClosedError,
    InvalidParameterValueException,
    InvalidZipFileException,
    RequestTooLargeException,
    ResourceNotFoundException,
)
from engine.store.blobs import CodeStore

CODE = zip_of({"app.py": "def handler(e, c): return e\n", "data/x": b"12345"})


def visible(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.name != ".lock")


def test_a_bundle_is_unpacked_beside_its_zip(tmp_path: Path) -> None:
    store = CodeStore(tmp_path / "code")
    stored = store.put_zip(CODE)
    digest = hashlib.sha256(CODE)
    assert stored.sha256 == base64.b64encode(digest.digest()).decode()
    assert stored.root == tmp_path / "code" / digest.hexdigest()
    assert stored.size == len(CODE)
    assert stored.unzipped_bytes == 28 + 5
    assert (stored.root / "data/x").read_bytes() == b"12345"
    assert store.zip_path(stored).read_bytes() == CODE
    assert visible(tmp_path / "code") == [stored.root.name, f"{stored.root.name}.zip"]
    store.close()


def test_the_last_release_deletes_tree_and_zip(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    stored = store.put_zip(CODE)
    assert store.put_zip(written(tmp_path, CODE)) == stored
    store.retain(stored)
    assert store.references(stored) == 3
    store.release(stored)
    store.release(stored)
    assert stored.root.is_dir()
    store.release(stored)
    assert visible(tmp_path) == ["bundle.zip"]
    with pytest.raises(ValueError, match="more often than retained"):
        store.release(stored)
    with pytest.raises(ValueError, match="no reference is held"):
        store.retain(stored)
    assert store.put_zip(CODE).root.is_dir()
    store.close()


def test_a_refused_zip_leaves_nothing(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    for data, error in ((b"junk", InvalidZipFileException), (zip_of({"../x": b""}), InvalidZipFileException)):
        with pytest.raises(error):
            store.put_zip(data)
    assert visible(tmp_path) == []
    store.close()


def test_only_zips_from_requests_have_a_size_of_their_own(tmp_path: Path) -> None:
    store = CodeStore(tmp_path / "code")
    large = zip_of({}) + b""
    padded = b"\0" * (config.ZIP_MAX_BYTES - len(large) + 1) + large
    with pytest.raises(RequestTooLargeException, match="52428800 bytes in a request, this zip has 52428801"):
        store.put_zip(padded)
    assert store.put_zip(written(tmp_path, padded)).size == 52_428_801
    store.close()


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    store = CodeStore(tmp_path / "code")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "pipe"):
        with pytest.raises(InvalidParameterValueException, match="no zip file at"):
            store.put_zip(path)
    store.close()


def test_what_a_bundle_holds_is_told_when_it_is_there_already_too(tmp_path: Path) -> None:
    first = CodeStore(tmp_path)
    first.put_zip(CODE)
    for store in (first, CodeStore(tmp_path)):  # the second knows only what is on disk
        assert store.put_zip(CODE).unzipped_bytes == 33
        store.close()


def test_a_zip_is_read_in_parts_as_long_as_it_is_referred_to(tmp_path: Path) -> None:
    with contextlib.closing(CodeStore(tmp_path)) as store:
        stored = store.put_zip(CODE)
        parts = [store.read_zip(stored.sha256, offset, 7) for offset in range(0, stored.size, 7)]
        assert b"".join(parts) == CODE
        assert store.read_zip(stored.sha256, stored.size, 7) == b""
        store.release(stored)
        for unknown in (stored.sha256, "no base64", "", "c2hh", "../../etc/passwd", "ä"):
            with pytest.raises(ResourceNotFoundException, match="There is no code with CodeSha256"):
                store.read_zip(unknown, 0, 7)


def test_two_stores_of_one_folder_do_not_delete_each_others_bundles(tmp_path: Path) -> None:
    one, two = CodeStore(tmp_path), CodeStore(tmp_path)
    stored = one.put_zip(CODE)
    two.put_zip(CODE)
    one.release(stored)
    assert stored.root.is_dir()
    two.release(stored)
    assert visible(tmp_path) == []
    one.close()
    two.close()


def test_a_closed_store_says_so_and_keeps_what_is_referenced(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    stored = store.put_zip(CODE)
    store.close()
    store.close()
    with pytest.raises(EngineClosedError):
        store.put_zip(CODE)
    assert stored.root.is_dir()


def test_what_a_killed_process_left_half_done_is_swept_by_the_next_alone(tmp_path: Path) -> None:
    busy = CodeStore(tmp_path)
    (tmp_path / ".incoming-dead").mkdir()
    CodeStore(tmp_path).close()
    assert (tmp_path / ".incoming-dead").is_dir()  # might be `busy`'s
    busy.close()
    CodeStore(tmp_path).close()
    assert visible(tmp_path) == []


def test_many_threads_put_and_release_the_same_zip(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                stored = store.put_zip(CODE)
                assert (stored.root / "app.py").is_file()
                store.release(stored)
        except BaseException as error:  # noqa: BLE001 - reported by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert visible(tmp_path) == []
    store.close()


def put_and_release(root: Path, rounds: int, report: Connection) -> None:
    store = CodeStore(root)
    report.recv()  # both are ready
    for _ in range(rounds):
        stored = store.put_zip(CODE)
        assert (stored.root / "app.py").is_file()
        assert store.zip_path(stored).is_file()
        store.release(stored)
    kept = store.put_zip(CODE)
    report.send((str(kept.root), (kept.root / "data/x").read_bytes()))
    report.recv()
    store.release(kept)
    store.close()


def test_two_processes_put_the_same_zip_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(2)]
    workers = [context.Process(target=put_and_release, args=(tmp_path, 30, theirs)) for _, theirs in pipes]
    for worker in workers:
        worker.start()
    for ours, _ in pipes:
        ours.send("go")
    answers = [ours.recv() for ours, _ in pipes]
    assert answers[0] == answers[1]
    for (ours, theirs), worker in zip(pipes, workers, strict=True):
        ours.send("done")
        worker.join()
        assert worker.exitcode == 0
        ours.close()
        theirs.close()
    assert visible(tmp_path) == []
