"""The catalog's file gives back what was written, and says so when it cannot."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.clock import VirtualClock
from engine.errors import DataFolderError, EngineClosedError, LambdaError, ServiceException
from engine.model import Alias, FunctionConfiguration, StoredCode
from engine.store import catalog as catalog_module
from engine.store.catalog import Catalog
from engine.store.catalog_db import CatalogDb
from engine.store.persistence import Edit, Saved
from engine.store.rows import Reader, alias_text, configuration_text, read_alias
from engine.store.snapshot import FunctionRecord

ROOT = Path("/code")
NAMES = st.sampled_from(["f", "g"])
ALIASES = st.sampled_from(["a", "b"])
TEXT = st.text(max_size=20)  # lone surrogates too: what was taken comes back


def code(number: int) -> StoredCode:
    digest = hashlib.sha256(str(number).encode())
    return StoredCode(base64.b64encode(digest.digest()).decode(), number, ROOT / digest.hexdigest(), number * 3)


CODES = st.integers(0, 3).map(code)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


def opened(path: Path) -> CatalogDb:
    return CatalogDb(path, code_root=ROOT)


def filled(path: Path) -> Saved:
    """One function, written and closed."""
    database = opened(path)
    catalog = Catalog(clock=VirtualClock(), persistence=database)
    catalog.create_function("f", code(1), handler="a.b", runtime="python3.11")
    catalog.publish_version("f")
    saved = database.load()
    database.close()
    return saved


@given(
    description=TEXT,
    environment=st.dictionaries(TEXT, TEXT, max_size=3),
    layers=st.lists(CODES, max_size=3),
    stored=CODES,
    numbers=st.tuples(*[st.integers(1, 20_000)] * 3),
)
def test_a_configuration_comes_back_whole(
    description: str,
    environment: dict[str, str],
    layers: list[StoredCode],
    stored: StoredCode,
    numbers: tuple[int, int, int],
) -> None:
    memory_mb, timeout_s, ephemeral_mb = numbers
    made = FunctionConfiguration(
        *("f", "a.b", "python3.11", stored, "7", description, "role", memory_mb, timeout_s, ephemeral_mb),
        *(environment, tuple(layers), "arm64", "eu-west-1", "123456789012", "revision", "yesterday"),
        *("none", True, "arn:aws:sqs:eu-west-1:123456789012:dead"),
    )
    assert Reader(ROOT).configuration(configuration_text(made)) == made
    alias = Alias("f", "live", "7", description, "revision")
    assert read_alias(alias_text(alias)) == alias


class ReopenedAtAnyMoment(RuleBasedStateMachine):
    """A catalog that is closed and opened again and again answers as one that never was."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.clock = VirtualClock()
        self.oracle = Catalog(clock=self.clock)
        self.open()

    def open(self) -> None:
        self.database = opened(Path(self.folder, "catalog.db"))
        self.catalog = Catalog(clock=self.clock, persistence=self.database)

    @rule()
    def reopen(self) -> None:
        before = self.catalog.snapshot.functions, list(self.catalog._next_versions.items())
        self.database.close()
        self.open()
        assert (self.catalog.snapshot.functions, list(self.catalog._next_versions.items())) == before

    def apply(self, operation: str, *args: Any, **options: Any) -> None:
        assert outcome(self.catalog, operation, args, options) == outcome(self.oracle, operation, args, options)

    @rule(name=NAMES, stored=CODES, layers=st.lists(CODES, max_size=2), description=TEXT)
    def create(self, name: str, stored: StoredCode, layers: list[StoredCode], description: str) -> None:
        named = {"handler": "a.b", "runtime": "python3.11", "layers": layers, "description": description}
        self.apply("create_function", name, stored, **named)

    @rule(name=NAMES, stored=CODES)
    def update_code(self, name: str, stored: StoredCode) -> None:
        self.clock.advance_ms(1)
        self.apply("update_code", name, stored)

    @rule(name=NAMES, variables=st.dictionaries(TEXT, TEXT, max_size=2))
    def configure(self, name: str, variables: dict[str, str]) -> None:
        self.apply("update_configuration", name, environment=variables)

    @rule(name=NAMES)
    def publish(self, name: str) -> None:
        self.apply("publish_version", name)

    @rule(name=NAMES, qualifier=st.sampled_from([None, "1", "2"]))
    def delete(self, name: str, qualifier: str | None) -> None:
        self.apply("delete_function", name, qualifier)

    @rule(name=NAMES, alias=ALIASES, version=st.sampled_from(["$LATEST", "1", "2"]))
    def make_alias(self, name: str, alias: str, version: str) -> None:
        self.apply("create_alias", name, alias, version)
        self.apply("update_alias", name, alias, function_version=version)

    @rule(name=NAMES, alias=ALIASES)
    def delete_alias(self, name: str, alias: str) -> None:
        self.apply("delete_alias", name, alias)

    @rule(name=NAMES, reserved=st.sampled_from([0, 5, 895]))
    def reserve(self, name: str, reserved: int) -> None:
        self.apply("put_function_concurrency", name, reserved)

    @rule(name=NAMES)
    def give_back(self, name: str) -> None:
        self.apply("delete_function_concurrency", name)

    @rule(
        name=NAMES,
        qualifier=st.sampled_from(["$LATEST", "1", "a"]),
        operation=st.sampled_from(["put_event_invoke_config", "update_event_invoke_config"]),
        retries=st.sampled_from([None, 0, 2]),
        on_failure=st.sampled_from(["", "arn:aws:s3:::failed"]),
    )
    def say_of_events(self, name: str, qualifier: str, operation: str, retries: int | None, on_failure: str) -> None:
        self.clock.advance_ms(1)
        self.apply(operation, name, qualifier, maximum_retry_attempts=retries, on_failure=on_failure)

    @rule(name=NAMES, qualifier=st.sampled_from(["$LATEST", "1", "a"]))
    def say_nothing_of_events(self, name: str, qualifier: str) -> None:
        self.apply("delete_event_invoke_config", name, qualifier)

    @invariant()
    def both_say_the_same(self) -> None:
        assert plain(dict(self.catalog.snapshot.functions)) == plain(dict(self.oracle.snapshot.functions))

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.folder)


def outcome(catalog: Catalog, operation: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    try:
        return plain(getattr(catalog, operation)(*args, **options))
    except LambdaError as refusal:
        return refusal.type, refusal.message


def plain(value: Any) -> Any:
    """Without revisions, which are drawn at random."""
    if isinstance(value, FunctionConfiguration | Alias):
        return replace(value, revision_id="")
    if isinstance(value, FunctionRecord | catalog_module.Change):
        return type(value), [plain(getattr(value, name)) for name in value.__slots__]
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return {key: plain(each) for key, each in value.items()} if hasattr(value, "items") else value


ReopenedAtAnyMoment.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
test_a_catalog_reopened_at_any_moment_answers_as_one_that_never_was = ReopenedAtAnyMoment.TestCase


def test_only_so_many_deleted_functions_are_remembered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_module, "REMEMBERED_MAX", 2)
    database = opened(path)
    catalog = Catalog(clock=VirtualClock(), persistence=database)
    for name in ("f", "g", "f", "h"):
        catalog.create_function(name, code(1), handler="a.b", runtime="python3.11")
        catalog.publish_version(name)
        catalog.delete_function(name)
    database.close()
    again = opened(path)
    assert list(again.load().next_versions.items()) == [("f", 3), ("h", 2)]
    again.close()


class Refusing:
    """A disk that does not take writes any more."""

    def load(self) -> Saved:
        return Saved({}, {})

    def write(self, edit: Edit) -> None:
        raise ServiceException(f"{edit.name} was not changed")


def test_what_cannot_be_written_is_not_visible_and_holds_no_code() -> None:
    held: list[StoredCode] = []
    catalog = Catalog(clock=VirtualClock(), retain=held.append, release=held.remove, persistence=Refusing())
    with pytest.raises(ServiceException, match="f was not changed"):
        catalog.create_function("f", code(1), handler="a.b", runtime="python3.11", layers=(code(2), code(2)))
    assert held == []
    assert catalog.list_functions() == ()


def test_a_closed_catalog_says_so_and_changes_nothing(path: Path) -> None:
    database = opened(path)
    catalog = Catalog(clock=VirtualClock(), persistence=database)
    database.close()
    database.close()
    with pytest.raises(EngineClosedError, match=f"the catalog at {path} is closed"):
        catalog.create_function("f", code(1), handler="a.b", runtime="python3.11")
    assert catalog.list_functions() == ()
    assert list(path.parent.iterdir()) == [path]  # the log is folded in


def test_only_the_owner_can_read_the_file(path: Path) -> None:
    database = opened(path)
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    database.close()


@pytest.mark.parametrize("damage", ["header", "middle", "not SQLite", "text"])
def test_a_damaged_file_is_named_with_the_way_out(path: Path, damage: str) -> None:
    filled(path)
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[16:40] = b"\xff" * 24
    elif damage == "middle":
        content[4096:] = b"\x5a" * (len(content) - 4096)
    elif damage == "not SQLite":
        content[:] = b"this is no database" * 500
    else:
        content[:] = content.replace(b'"handler"', b'"hand\x01er"')
    path.write_bytes(content)
    with pytest.raises(DataFolderError) as caught:
        opened(path).load()
    assert str(caught.value).startswith(f"{path} is damaged (")
    assert f"put a copy of it back, or move {path.parent} away and deploy again" in str(caught.value)


def test_a_file_that_lost_its_content_beside_code_is_not_taken_for_a_new_one(path: Path) -> None:
    filled(path)
    path.write_bytes(b"")
    (path.parent / f"{code(1).root.name}.unpacked").write_text("settled")
    with pytest.raises(DataFolderError, match=r"damaged .it is empty, while .* holds code of deployed functions"):
        CatalogDb(path, code_root=path.parent)


def test_a_newer_schema_is_refused_and_left_as_it_is(path: Path) -> None:
    filled(path)
    with_pragma(path, "user_version", 7)
    before = path.read_bytes()
    with pytest.raises(DataFolderError, match=r"its schema is 7, this one reads 4\): upgrade invocation-engine"):
        opened(path)
    assert path.read_bytes() == before


def test_another_programs_file_is_refused(path: Path) -> None:
    filled(path)
    with_pragma(path, "application_id", 1)
    with pytest.raises(DataFolderError, match="is not an engine's catalog: move it away"):
        opened(path)


def with_pragma(path: Path, name: str, value: int) -> None:
    connection = apsw.Connection(str(path))
    connection.pragma(name, value)
    connection.close()


def test_a_file_that_another_program_has_locked_is_named(path: Path) -> None:
    filled(path)
    connection = apsw.Connection(str(path))
    connection.pragma("locking_mode", "EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DataFolderError, match=f"another program has {path} open: close it there"):
        opened(path)
    connection.close()
    opened(path).close()


def test_a_child_that_ends_as_a_whole_interpreter_leaves_its_parents_log_alone(path: Path) -> None:
    saved = filled(path)
    database = opened(path)
    child = os.fork()
    if child == 0:
        database._connection.close()  # type: ignore[union-attr]  # as deallocation does
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    record = replace(saved.functions["f"], reserved_concurrency=3)
    database.write(Edit("f", saved.functions["f"], record))
    copy = path.parent / "copy"  # as after a kill: the file with the log beside it
    copy.mkdir()
    for file in (path, path.with_name("catalog.db-wal")):
        shutil.copy(file, copy)
    again = opened(copy / "catalog.db")
    assert again.load().functions["f"] == record
    again.close()
    database.close()


def test_importing_the_store_without_a_data_folder_needs_no_sqlite() -> None:
    told = "import sys, engine.store.storage; sys.exit('apsw' in sys.modules)"
    path = os.pathsep.join(filter(None, sys.path))
    assert subprocess.run([sys.executable, "-P", "-c", told], env={**os.environ, "PYTHONPATH": path}).returncode == 0
