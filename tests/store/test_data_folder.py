"""One engine per data folder; who comes second is told about the first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from zips import zip_of

from engine.clock import VirtualClock
from engine.errors import DataFolderError, DataFolderInUseError, InvalidParameterValueException
from engine.store.data_folder import DataFolder
from engine.store.storage import Storage


def opened(root: Path, *, region: str = "us-east-1", account_concurrency: int = 1000) -> Storage:
    return Storage(
        root,
        durable=True,
        clock=VirtualClock(),
        region=region,
        account_id="000000000000",
        account_concurrency=account_concurrency,
    )


def test_a_folder_that_is_made_is_its_owners_alone(tmp_path: Path) -> None:
    DataFolder(tmp_path / "above" / "data").close()
    assert (tmp_path / "above" / "data").stat().st_mode & 0o777 == 0o700
    (tmp_path / "there").mkdir(mode=0o755)
    DataFolder(tmp_path / "there").close()
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o755


def test_the_second_is_told_about_the_first(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with pytest.raises(DataFolderInUseError) as caught:
        DataFolder(tmp_path)
    told = str(caught.value)
    assert told.startswith(f"{tmp_path} is in use by another engine of this process ({os.getpid()}) since 20")
    assert ', running "' in told and "python" in told
    assert told.endswith('": close that engine, or give another data_dir')
    folder.listening_on("/run/engine.sock")
    with pytest.raises(DataFolderInUseError, match=r"reached at /run/engine\.sock:"):
        DataFolder(tmp_path)
    folder.close()
    folder.close()
    DataFolder(tmp_path).close()


@pytest.mark.parametrize("text", [b"", b'{"pid": 1', b"[]", b'{"pid": "x", "since": 1}'])
def test_a_first_that_has_not_said_who_it_is_is_not_guessed_at(tmp_path: Path, text: bytes) -> None:
    folder = DataFolder(tmp_path)
    (tmp_path / "engine.lock").write_bytes(text)
    with pytest.raises(DataFolderInUseError, match="in use by another engine, which is just opening or closing: "):
        DataFolder(tmp_path)
    folder.close()


def test_a_holder_of_another_process_is_named_though_its_command_line_cannot_be_read(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    (tmp_path / "engine.lock").write_text('{"pid": 4194305, "since": "noon"}')  # above the kernel's highest pid
    with pytest.raises(DataFolderInUseError, match="in use by process 4194305 since noon: close"):
        DataFolder(tmp_path)
    folder.close()


def test_a_forked_child_does_not_hold_the_folder(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(tell)
        os.read(told, 1)
        os._exit(0)
    os.close(told)
    try:
        with pytest.raises(DataFolderInUseError):
            DataFolder(tmp_path)  # nor did its copy take the parent's lock away
        folder.close()
        DataFolder(tmp_path).close()  # while the child lives, however far it has come
    finally:
        os.close(tell)
        assert os.waitpid(child, 0)[1] == 0


def test_a_storage_that_cannot_be_opened_lets_the_folder_go(tmp_path: Path) -> None:
    opened(tmp_path).close()
    (tmp_path / "catalog.db").write_bytes(b"no database " * 100)
    for _ in range(2):
        with pytest.raises(DataFolderError, match=r"catalog\.db is damaged"):
            opened(tmp_path)


def test_functions_of_another_region_are_not_taken_over(tmp_path: Path) -> None:
    storage = opened(tmp_path)
    stored = storage.code.put_zip(zip_of({"a.py": "b = 1\n"}))
    storage.catalog.create_function("f", stored, handler="a.b", runtime="python3.11")
    storage.catalog.put_function_concurrency("f", 900)
    storage.close()
    with pytest.raises(
        DataFolderError, match="holds functions or layers of region us-east-1, account 000000000000: open it with"
    ):
        opened(tmp_path, region="eu-west-1")
    with pytest.raises(InvalidParameterValueException, match=r"account_concurrency=899: functions in .* reserve 900"):
        opened(tmp_path, account_concurrency=899)
    storage = opened(tmp_path, account_concurrency=900)
    assert storage.catalog.get_function_concurrency("f") == 900
    storage.close()
