"""Documents that the catalog keeps: what is put is got, with its owner it goes, and what is no document is refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import errors
from engine.clock import VirtualClock
from engine.model import Resource, StoredCode
from engine.store import resources as module
from engine.store.catalog import Catalog
from engine.store.catalog_db import CatalogDb
from engine.store.persistence import AnyEdit, Saved
from engine.store.resources import document_text

CODE = StoredCode("c2hh", 1, Path("/code/sha"), 3)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=5), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def catalog(clock: VirtualClock) -> Catalog:
    """With functions `f` and `g`."""
    return deployed(Catalog(clock=clock))


def deployed(catalog: Catalog) -> Catalog:
    for name in ("f", "g"):
        catalog.create_function(name, CODE, handler="a.b", runtime="python3.11")
    return catalog


def test_what_is_put_is_got(catalog: Catalog, clock: VirtualClock) -> None:
    made = catalog.put_resource("tags", "f", {"team": "a", "n": [1, None, {"x": 1.5}]}, function="f")
    assert made == Resource(
        "tags", "f", {"team": "a", "n": [1, None, {"x": 1.5}]}, "f", made.revision_id, clock.wall_ms()
    )
    assert len(made.revision_id) == 36
    assert catalog.get_resource("tags", "f") == made
    assert catalog.list_resources("tags") == (made,)


def test_putting_again_replaces_all_with_a_new_revision(catalog: Catalog) -> None:
    first = catalog.put_resource("tags", "f", {"a": 1}, function="f")
    second = catalog.put_resource("tags", "f", {"b": 2})
    assert (second.document, second.function) == ({"b": 2}, None)
    assert second.revision_id != first.revision_id
    assert catalog.list_resources("tags") == (second,)


def test_nobody_changes_the_catalog_by_what_he_was_given_or_gave(catalog: Catalog) -> None:
    mine: dict[str, Any] = {"list": [1], "map": {"a": 1}}
    catalog.put_resource("tags", "f", mine)
    mine["list"].append(2)
    found = catalog.get_resource("tags", "f").document
    found["map"]["b"] = 2
    with pytest.raises(TypeError):
        found["more"] = 1  # type: ignore[index]
    assert catalog.get_resource("tags", "f").document == {"list": [1], "map": {"a": 1}}


def test_a_list_is_by_key_and_of_one_kind_and_one_function_where_asked(catalog: Catalog) -> None:
    for key, owner in (("b", "f"), ("a", "g"), ("c", None)):
        catalog.put_resource("url", key, {}, function=owner)
    catalog.put_resource("policy", "d", {}, function="f")
    assert [each.key for each in catalog.list_resources("url")] == ["a", "b", "c"]
    assert [each.key for each in catalog.list_resources("url", function="f")] == ["b"]
    assert catalog.list_resources("url", function="nobody") == catalog.list_resources("other") == ()


def test_it_goes_with_its_function_and_with_no_other(catalog: Catalog) -> None:
    catalog.put_resource("url", "a", {}, function="f")
    catalog.put_resource("policy", "a", {}, function="f")
    kept = [catalog.put_resource("url", "b", {}, function="g"), catalog.put_resource("url", "c", {})]
    catalog.publish_version("f")
    catalog.delete_function("f", "1")
    assert len(catalog.list_resources("url")) == 3
    catalog.delete_function("f")
    assert list(catalog.list_resources("url")) == kept
    assert catalog.list_resources("policy") == ()


def test_it_goes_with_its_version_or_alias_however_that_goes(tmp_path: Path, clock: VirtualClock) -> None:
    database = CatalogDb(tmp_path / "catalog.db", code_root=tmp_path)
    catalog = deployed(Catalog(clock=clock, persistence=database))
    catalog.publish_version("f")
    catalog.create_alias("f", "live", "1")
    for key in ("f", "f:live", "f:1", "f:$LATEST"):
        catalog.put_resource("policy", key, {}, function=key)
    for missing in ("f:2", "f:other", "nobody:1"):
        with pytest.raises(errors.ResourceNotFoundException, match=f"function:{missing}"):
            catalog.put_resource("policy", "x", {}, function=missing)
    assert [each.key for each in catalog.list_resources("policy", function="f")] == ["f", "f:$LATEST", "f:1", "f:live"]
    assert [each.key for each in catalog.list_resources("policy", function="f:1")] == ["f:1"]
    catalog.delete_alias("f", "live")
    assert "f:live" not in [each.key for each in catalog.list_resources("policy")]
    catalog.delete_function("f", "1")
    left = catalog.list_resources("policy")
    assert [each.key for each in left] == ["f", "f:$LATEST"]
    database.close()
    again = CatalogDb(tmp_path / "catalog.db", code_root=tmp_path)
    reopened = Catalog(clock=clock, persistence=again)
    assert reopened.list_resources("policy") == left
    reopened.delete_function("f")
    assert Saved(*again.load()).resources == {} == reopened.snapshot.resources
    again.close()


def test_what_is_not_there_is_told(catalog: Catalog) -> None:
    with pytest.raises(errors.ResourceNotFoundException, match="There is no tags 'f'"):
        catalog.get_resource("tags", "f")
    with pytest.raises(errors.ResourceNotFoundException, match="There is no tags 'f'"):
        catalog.delete_resource("tags", "f")
    with pytest.raises(errors.ResourceNotFoundException, match="There is no tags 'f'"):
        catalog.put_resource("tags", "f", {}, revision_id="x")
    with pytest.raises(errors.ResourceNotFoundException, match=r"Function not found: arn:.*:function:nobody"):
        catalog.put_resource("tags", "f", {}, function="nobody")
    assert catalog.list_resources("tags") == ()


def test_only_one_can_create_and_only_the_current_revision_is_replaced(catalog: Catalog) -> None:
    made = catalog.put_resource("url", "f", {"n": 1}, create=True)
    with pytest.raises(errors.ResourceConflictException, match="There is a url 'f' already"):
        catalog.put_resource("url", "f", {"n": 2}, create=True)
    newer = catalog.put_resource("url", "f", {"n": 3}, revision_id=made.revision_id)
    with pytest.raises(errors.PreconditionFailedException, match=f"which is {newer.revision_id}"):
        catalog.put_resource("url", "f", {"n": 4}, revision_id=made.revision_id)
    with pytest.raises(errors.PreconditionFailedException):
        catalog.delete_resource("url", "f", revision_id=made.revision_id)
    assert catalog.get_resource("url", "f") == newer
    catalog.delete_resource("url", "f", revision_id=newer.revision_id)
    assert catalog.list_resources("url") == ()


@pytest.mark.parametrize("kind", ["", "Tags", "a.b", "1a", "a" * 65, "ä", None, 7])
def test_a_kind_that_is_no_name_is_refused(catalog: Catalog, kind: Any) -> None:
    for call in (
        lambda: catalog.put_resource(kind, "k", {}),
        lambda: catalog.get_resource(kind, "k"),
        lambda: catalog.list_resources(kind),
        lambda: catalog.delete_resource(kind, "k"),
    ):
        with pytest.raises(errors.ValidationException, match="at 'kind'"):
            call()


@pytest.mark.parametrize("key", ["", "k" * 513, "\ud800", 7])
def test_a_key_that_is_no_name_is_refused(catalog: Catalog, key: Any) -> None:
    with pytest.raises(errors.ValidationException, match="at 'key'"):
        catalog.put_resource("tags", key, {})


def test_an_owner_that_is_no_text_is_refused(catalog: Catalog) -> None:
    with pytest.raises(errors.ValidationException, match="at 'function'"):
        catalog.put_resource("tags", "k", {}, function=["f"])  # type: ignore[arg-type]


def nested(depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(depth - 1):
        made = {"a": made}
    return made


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([1], "document is a mapping, not list"),
        (None, "document is a mapping, not NoneType"),
        ({"a": b"x"}, "what JSON cannot say: bytes"),
        ({"a": {1, 2}}, "what JSON cannot say: set"),
        ({"a": float("nan")}, "what JSON cannot say: float nan"),
        ({"a": float("inf")}, "what JSON cannot say: float inf"),
        ({"a": 2**64}, "what JSON cannot say: int 18446744073709551616"),
        ({"a": {1: 2}}, "a key that is no text: 1"),
        ({"a": "\ud800"}, "text that is not Unicode"),
        ({"\ud800": 1}, "text that is not Unicode"),
        (nested(17), "nested deeper than 16"),
    ],
)
def test_what_is_no_document_is_refused(catalog: Catalog, document: Any, why: str) -> None:
    with pytest.raises(errors.InvalidParameterValueException, match=why):
        catalog.put_resource("tags", "k", document)
    assert catalog.list_resources("tags") == ()


def test_a_document_in_a_circle_is_refused(catalog: Catalog) -> None:
    document: dict[str, Any] = {}
    document["me"] = document
    with pytest.raises(errors.InvalidParameterValueException, match="nested deeper than 16"):
        catalog.put_resource("tags", "k", document)


def test_the_bounds_themselves_fit(catalog: Catalog) -> None:
    catalog.put_resource("t" * 64, "k" * 512, nested(16))
    largest = {"a": "x" * (module.DOCUMENT_MAX_BYTES - len('{"a":""}'))}
    assert catalog.put_resource("tags", "k", largest).document == largest
    with pytest.raises(errors.RequestTooLargeException, match="65537 bytes as JSON; at most 65536"):
        catalog.put_resource("tags", "k", {"a": largest["a"] + "x"})


def test_at_the_number_that_is_kept_only_replacing_goes_on(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESOURCES_MAX", 2)
    catalog.put_resource("tags", "a", {})
    catalog.put_resource("policy", "a", {})
    with pytest.raises(errors.InvalidParameterValueException, match="2 resources are kept, which is the most"):
        catalog.put_resource("tags", "b", {})
    catalog.put_resource("tags", "a", {"n": 1})
    catalog.delete_resource("policy", "a")
    catalog.put_resource("tags", "b", {})


@given(st.dictionaries(st.text("abc", max_size=5), JSON, max_size=4))
def test_any_json_comes_back_as_it_was(document: dict[str, Any]) -> None:
    assert json.loads(document_text(MappingProxyType(document))) == document


def test_the_memo_of_references_outlives_a_put_but_no_function(catalog: Catalog) -> None:
    found = catalog.resolve("f")
    catalog.put_resource("tags", "f", {})
    assert catalog.resolve("f") is found
    catalog.delete_function("f")
    with pytest.raises(errors.ResourceNotFoundException):
        catalog.resolve("f")


def test_what_was_put_is_in_the_file_and_what_went_is_not(tmp_path: Path, clock: VirtualClock) -> None:
    database = CatalogDb(tmp_path / "catalog.db", code_root=tmp_path)
    catalog = deployed(Catalog(clock=clock, persistence=database))
    for key, owner in (("f", "f"), ("g", "g"), ("free", None), ("gone", None)):
        catalog.put_resource("url", key, {"of": [key, "ü"]}, function=owner)
    catalog.put_resource("url", "g", {"again": True}, function="g")
    catalog.delete_resource("url", "gone")
    catalog.delete_function("f")
    kept = catalog.list_resources("url")
    database.close()
    again = CatalogDb(tmp_path / "catalog.db", code_root=tmp_path)
    assert Catalog(clock=clock, persistence=again).list_resources("url") == kept
    assert [each.key for each in kept] == ["free", "g"]
    again.close()


class Refusing:
    """Stands for a disk that fails, which cannot be had at will."""

    def load(self) -> Saved:
        return Saved({}, {})

    def write(self, edit: AnyEdit) -> None:
        if edit.name in ("f", "g"):
            return
        raise errors.ServiceException(f"{edit.name} was not changed")


def test_what_could_not_be_written_is_not_there(clock: VirtualClock) -> None:
    catalog = deployed(Catalog(clock=clock, persistence=Refusing()))
    with pytest.raises(errors.ServiceException, match="tags f was not changed"):
        catalog.put_resource("tags", "f", {}, function="f")
    assert catalog.list_resources("tags") == ()


def test_a_row_that_is_no_resource_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    CatalogDb(path, code_root=tmp_path).close()
    connection = apsw.Connection(str(path))
    connection.execute("INSERT INTO resources VALUES ('tags', 'f', 'no json', NULL, 'r', 0)")
    connection.close()
    database = CatalogDb(path, code_root=tmp_path)
    with pytest.raises(errors.DataFolderError, match=r"damaged .a row says"):
        database.load()
    database.close()
