"""Published layers: Lambda's rules and words, whose references are whose, and that it is all kept."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import apsw
import pytest

from engine import config, errors
from engine.clock import VirtualClock
from engine.model import LayerVersion, StoredCode
from engine.store import layers as module
from engine.store.blobs import tree_name
from engine.store.catalog import Catalog
from engine.store.catalog_db import CatalogDb
from engine.store.layers import check_layer_arns, is_layer_arn
from engine.store.persistence import AnyEdit, Saved

HERE = "arn:aws:lambda:us-east-1:000000000000:layer"
ROOT = Path("/code")


def code(name: str, size: int = 10, unzipped_bytes: int = 30) -> StoredCode:
    return StoredCode(name, size, ROOT / tree_name(name), unzipped_bytes)


A, B, OWN = code("AAAA"), code("BBBB"), code("CCCC")


class References:
    """Counts them, as a code store does."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def retain(self, stored: StoredCode) -> None:
        self.counts[stored.sha256] += 1

    def release(self, stored: StoredCode) -> None:
        self.counts[stored.sha256] -= 1


@pytest.fixture
def references() -> References:
    return References()


@pytest.fixture
def catalog(references: References) -> Catalog:
    return made(references)


def made(references: References, persistence: Any = None) -> Catalog:
    return Catalog(clock=VirtualClock(), retain=references.retain, release=references.release, persistence=persistence)


def test_versions_are_numbered_and_told_whole(catalog: Catalog, references: References) -> None:
    first = catalog.publish_layer_version(
        "tools",
        A,
        description="hammers",
        compatible_runtimes=["python3.11", "nodejs20.x"],
        compatible_architectures=["x86_64"],
        license_info="MIT",
    )
    assert first == LayerVersion(
        *("tools", 1, A, "hammers", ("python3.11", "nodejs20.x"), ("x86_64",), "MIT"), first.created_date
    )
    assert first.created_date.endswith("+0000")
    assert (first.layer_arn, first.layer_version_arn) == (f"{HERE}:tools", f"{HERE}:tools:1")
    second = catalog.publish_layer_version(f"{HERE}:tools", B)
    assert (second.layer_name, second.version, second.description, second.license_info) == ("tools", 2, "", "")
    assert catalog.get_layer_version("tools", 1) == catalog.get_layer_version(f"{HERE}:tools", 1) == first
    assert references.counts == {"AAAA": 1, "BBBB": 1}


def test_lists_are_of_the_latest_of_each_and_of_all_of_one_newest_first(catalog: Catalog) -> None:
    for name, stored in (("b", A), ("a", A), ("b", B)):
        catalog.publish_layer_version(name, stored)
    assert [(each.layer_name, each.version) for each in catalog.list_layers()] == [("a", 1), ("b", 2)]
    assert [each.version for each in catalog.list_layer_versions("b")] == [2, 1]
    assert catalog.list_layer_versions("nobody") == ()


def test_filters_find_the_latest_that_says_it_is_compatible(catalog: Catalog) -> None:
    catalog.publish_layer_version("l", A, compatible_runtimes=["python3.11"], compatible_architectures=["x86_64"])
    catalog.publish_layer_version("l", A, compatible_runtimes=["python3.12"], compatible_architectures=["arm64"])
    catalog.publish_layer_version("silent", A)

    def found(**compatible: str) -> list[tuple[str, int]]:
        listed = [(each.layer_name, each.version) for each in catalog.list_layers(**compatible)]
        assert [each.version for each in catalog.list_layer_versions("l", **compatible)] == [n for _, n in listed]
        return listed

    assert found(compatible_runtime="python3.11") == [("l", 1)]
    assert found(compatible_architecture="arm64") == [("l", 2)]
    assert found(compatible_runtime="python3.11", compatible_architecture="arm64") == []
    with pytest.raises(errors.ValidationException, match="at 'compatibleRuntime' failed"):
        catalog.list_layers(compatible_runtime="cobol")
    with pytest.raises(errors.ValidationException, match="at 'compatibleArchitecture' failed"):
        catalog.list_layer_versions("l", compatible_architecture="z80")


def test_a_deleted_version_is_gone_and_its_number_is_not_used_again(catalog: Catalog, references: References) -> None:
    for _ in range(2):
        catalog.publish_layer_version("l", A)
    assert catalog.delete_layer_version("l", 2) == (A,)
    assert catalog.delete_layer_version("l", 2) == ()
    assert catalog.delete_layer_version("l", 1) == (A,)
    assert catalog.delete_layer_version("nobody", 1) == ()
    assert catalog.list_layers() == catalog.list_layer_versions("l") == ()
    assert catalog.publish_layer_version("l", A).version == 3
    assert references.counts == {"AAAA": 3}  # what a deletion drops is the caller's to release


def test_what_is_not_there_is_told_in_lambdas_words(catalog: Catalog) -> None:
    catalog.publish_layer_version("l", A)
    elsewhere = "arn:aws:lambda:eu-west-1:000000000000:layer:l"
    for name, version in (("nobody", 1), ("l", 2), (elsewhere, 1)):
        with pytest.raises(errors.ResourceNotFoundException, match=r"^The resource you requested does not exist\.$"):
            catalog.get_layer_version(name, version)
    for call in (catalog.get_layer_version, catalog.delete_layer_version):
        with pytest.raises(errors.InvalidParameterValueException, match=r"^Layer Version Cannot be less than 1\.$"):
            call("l", 0)
        with pytest.raises(errors.ValidationException, match="at 'versionNumber' must be int"):
            call("l", "1")  # type: ignore[arg-type]
        with pytest.raises(errors.ValidationException, match="at 'layerName' failed"):
            call("a b", 1)


@pytest.mark.parametrize(
    ("name", "said", "member"),
    [
        ("", {}, "layerName"),
        ("a" * 141, {}, "layerName"),
        ("a/b", {}, "layerName"),
        ("l", {"description": "x" * 257}, "description"),
        ("l", {"license_info": "x" * 513}, "licenseInfo"),
        ("l", {"compatible_runtimes": ["python3.11"] * 16}, "compatibleRuntimes"),
        ("l", {"compatible_runtimes": ["python1.5"]}, "compatibleRuntimes"),
        ("l", {"compatible_runtimes": "python3.11"}, "compatibleRuntimes"),
        ("l", {"compatible_runtimes": None}, "compatibleRuntimes"),
        ("l", {"compatible_architectures": ["z80"]}, "compatibleArchitectures"),
        ("l", {"compatible_architectures": ["arm64", "x86_64", "arm64"]}, "compatibleArchitectures"),
    ],
)
def test_what_the_service_model_forbids_is_refused(
    catalog: Catalog, references: References, name: str, said: Any, member: str
) -> None:
    with pytest.raises(errors.ValidationException, match=f"at '{member}'"):
        catalog.publish_layer_version(name, A, **said)
    assert catalog.list_layers() == ()
    assert references.counts == {}


def test_a_layer_of_another_account_cannot_be_published(catalog: Catalog) -> None:
    with pytest.raises(errors.ResourceNotFoundException):
        catalog.publish_layer_version("arn:aws:lambda:us-east-1:123456789012:layer:l", A)


def test_what_begins_as_an_arn_is_no_path() -> None:
    assert is_layer_arn(f"{HERE}:l:1")
    assert not any(map(is_layer_arn, ("layer.zip", "./arn:x", Path("arn:x"), b"arn:", "")))


@pytest.mark.parametrize(
    ("arns", "kind", "why"),
    [
        ([f"{HERE}:l:9"], errors.InvalidParameterValueException, rf"^Layer version {HERE}:l:9 does not exist\.$"),
        ([f"{HERE}:nobody:1"], errors.InvalidParameterValueException, r"does not exist\.$"),
        ([f"{HERE}:l:{'9' * 30}"], errors.InvalidParameterValueException, r"does not exist\.$"),
        (
            [f"{HERE}:l:1", f"{HERE}:m:1", f"{HERE}:l:2"],
            errors.InvalidParameterValueException,
            "^Two different versions of the same layer are not allowed to be referenced in the same function. "
            rf"{HERE}:l:1 and {HERE}:l:2 are versions of the same layer\.$",
        ),
        (
            ["arn:aws:lambda:eu-west-1:000000000000:layer:l:1"],
            errors.InvalidParameterValueException,
            "Layers are not in the same region as the function. Layers are expected to be in region us-east-1",
        ),
        (
            ["arn:aws:lambda:us-east-1:123456789012:layer:l:1"],
            errors.InvalidParameterValueException,
            "does not exist. Only layers of account 000000000000 are here",
        ),
        (["arn:aws:lambda:::awslayer:AmazonLinux1703"], errors.InvalidParameterValueException, "does not exist"),
        ([f"{HERE}:l"], errors.ValidationException, "at 'layers' failed to satisfy constraint"),
        (["arn:aws:s3:::bucket"], errors.ValidationException, "at 'layers' failed to satisfy constraint"),
        ([f"{HERE}:l:one"], errors.ValidationException, "at 'layers' failed to satisfy constraint"),
    ],
)
def test_arns_that_a_function_cannot_use_are_refused(
    catalog: Catalog, arns: list[str], kind: type[Exception], why: str
) -> None:
    for name in ("l", "l", "m"):
        catalog.publish_layer_version(name, A)
    with pytest.raises(kind, match=why):
        check_layer_arns(catalog.snapshot, arns)


def test_a_function_has_a_reference_of_its_own(catalog: Catalog, references: References) -> None:
    arn = catalog.publish_layer_version("l", A).layer_version_arn
    held = catalog.hold_layer(arn)
    catalog.create_function("f", OWN, handler="a.b", runtime="python3.11", layers=(held, B), layer_arns=(arn, ""))
    references.release(held)
    assert references.counts == {"AAAA": 2, "BBBB": 1, "CCCC": 1}
    for stored in catalog.delete_layer_version("l", 1):
        references.release(stored)
    assert references.counts["AAAA"] == 1
    latest = catalog.update_configuration("f", memory_mb=512).new
    assert latest is not None
    assert (latest.layers, latest.layer_arns) == ((A, B), (arn, ""))
    with pytest.raises(errors.InvalidParameterValueException, match="does not exist"):
        catalog.hold_layer(arn)
    change = catalog.update_configuration("f", layers=(B,))
    assert change.new is not None
    assert (change.new.layer_arns, change.dropped) == (("",), (A,))


def test_code_and_layers_together_have_lambdas_limit(catalog: Catalog) -> None:
    half = config.UNZIPPED_MAX_BYTES // 2
    big, bigger = code("BBBB", unzipped_bytes=half), code("AAAA", unzipped_bytes=half + 1)
    catalog.create_function("f", big, handler="a.b", runtime="python3.11", layers=(big,))
    refused = (
        "^Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. "
        r"The actual size is 262144001 bytes\.$"
    )
    with pytest.raises(errors.InvalidParameterValueException, match=refused):
        catalog.update_code("f", bigger)
    with pytest.raises(errors.InvalidParameterValueException, match=refused):
        catalog.with_code("f", bigger)
    with pytest.raises(errors.InvalidParameterValueException, match=refused):
        catalog.update_configuration("f", layers=(bigger,))
    with pytest.raises(errors.InvalidParameterValueException, match=refused):
        catalog.create_function("g", bigger, handler="a.b", runtime="python3.11", layers=(big,))
    assert catalog.get("f").latest.layers == (big,)


def test_the_account_is_told_what_it_may_have_and_has(catalog: Catalog) -> None:
    catalog.create_function("f", code("AAAA", 1_000), handler="a.b", runtime="python3.11", layers=(B,))
    catalog.publish_version("f")
    catalog.publish_layer_version("l", code("BBBB", 77))
    catalog.put_function_concurrency("f", 300)
    told = catalog.account_settings()
    assert (told.total_code_size_bytes, told.function_count) == (2_077, 1)
    assert (told.concurrent_executions, told.unreserved_concurrent_executions) == (1_000, 700)
    assert told.total_code_size_limit_bytes == 80_530_636_800
    assert (told.code_size_unzipped_limit_bytes, told.code_size_zipped_limit_bytes) == (262_144_000, 52_428_800)


def test_more_than_an_account_may_store_is_refused(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "CODE_STORAGE_MAX_BYTES", 25)
    catalog.create_function("f", A, handler="a.b", runtime="python3.11")
    catalog.publish_layer_version("l", A)
    refused = "Code storage limit exceeded: 20 bytes are stored, "
    with pytest.raises(errors.CodeStorageExceededException, match=refused):
        catalog.publish_layer_version("l", A)
    with pytest.raises(errors.CodeStorageExceededException, match=refused):
        catalog.publish_version("f")
    with pytest.raises(errors.CodeStorageExceededException, match=refused):
        catalog.update_code("f", code("BBBB", 16))
    with pytest.raises(errors.CodeStorageExceededException, match=refused):
        catalog.with_code("f", code("BBBB", 16))
    catalog.update_code("f", code("BBBB", 15))
    catalog.update_code("f", code("BBBB", 1))


def test_the_number_of_layer_versions_is_bounded(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAYER_VERSIONS_MAX", 2)
    catalog.publish_layer_version("a", A)
    catalog.publish_layer_version("b", A)
    with pytest.raises(errors.CodeStorageExceededException, match="2 layer versions"):
        catalog.publish_layer_version("a", A)
    catalog.delete_layer_version("b", 1)
    assert catalog.publish_layer_version("a", A).version == 2


def test_at_the_bound_the_layer_that_is_gone_for_longest_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, references: References
) -> None:
    monkeypatch.setattr(module, "NAMES_REMEMBERED_MAX", 1)
    database = CatalogDb(tmp_path / "catalog.db", code_root=ROOT)
    catalog = made(references, database)
    for name in ("a", "b", "kept"):
        catalog.publish_layer_version(name, A)
    for name in ("b", "a"):
        catalog.delete_layer_version(name, 1)
    before = catalog.snapshot.layers
    assert [*before] == ["kept", "a"]
    database.close()
    again = CatalogDb(tmp_path / "catalog.db", code_root=ROOT)
    catalog = made(references, again)
    assert (catalog.snapshot.layers, [*catalog.snapshot.layers]) == (before, ["kept", "a"])
    numbers = [catalog.publish_layer_version(name, A).version for name in ("a", "b")]
    assert numbers == [2, 1]
    again.close()


def test_what_was_published_is_in_the_file_and_what_went_is_not(tmp_path: Path, references: References) -> None:
    database = CatalogDb(tmp_path / "catalog.db", code_root=ROOT)
    catalog = made(references, database)
    arn = catalog.publish_layer_version("l", A, description="ü", compatible_runtimes=["python3.11"]).layer_version_arn
    catalog.publish_layer_version("l", B, license_info="MIT", compatible_architectures=["arm64"])
    catalog.publish_layer_version("gone", B)
    catalog.create_function("f", OWN, handler="a.b", runtime="python3.11", layers=(A, B), layer_arns=(arn, ""))
    catalog.delete_layer_version("gone", 1)
    before = catalog.snapshot
    database.close()
    again = CatalogDb(tmp_path / "catalog.db", code_root=ROOT)
    catalog = made(references, again)
    assert (catalog.snapshot.layers, catalog.snapshot.functions) == (before.layers, before.functions)
    assert catalog.publish_layer_version("gone", A).version == 2
    again.close()


def test_a_configuration_of_an_older_file_has_layers_without_arns(tmp_path: Path, references: References) -> None:
    path = tmp_path / "catalog.db"
    database = CatalogDb(path, code_root=ROOT)
    made(references, database).create_function("f", OWN, handler="a.b", runtime="python3.11", layers=(A, B))
    database.close()
    connection = apsw.Connection(str(path))
    ((text,),) = connection.execute("SELECT latest FROM functions")
    content = json.loads(text)
    del content["layer_arns"]
    connection.execute("UPDATE functions SET latest = ?", (json.dumps(content),))
    connection.close()
    again = CatalogDb(path, code_root=ROOT)
    assert again.load().functions["f"].latest.layer_arns == ("", "")
    again.close()


class Refusing:
    """Stands for a disk that fails, which cannot be had at will."""

    def load(self) -> Saved:
        return Saved({}, {})

    def write(self, edit: AnyEdit) -> None:
        raise errors.ServiceException(f"{edit.name} was not changed")


def test_what_could_not_be_written_is_neither_there_nor_referred_to(references: References) -> None:
    catalog = made(references, Refusing())
    with pytest.raises(errors.ServiceException, match="layer l was not changed"):
        catalog.publish_layer_version("l", A)
    assert catalog.list_layers() == ()
    assert references.counts["AAAA"] == 0


def test_recursion_is_stopped_unless_it_is_allowed(catalog: Catalog) -> None:
    catalog.create_function("f", OWN, handler="a.b", runtime="python3.11")
    assert catalog.get_recursion_config("f") == "Terminate"
    assert catalog.put_recursion_config("f", "Allow") == "Allow"
    assert (catalog.get_recursion_config("f"), catalog.allows_recursion("f")) == ("Allow", True)
    catalog.put_recursion_config("f", "Terminate")
    assert not catalog.allows_recursion("f")
    catalog.put_recursion_config("f", "Allow")
    catalog.delete_function("f")
    assert not catalog.allows_recursion("f")
    with pytest.raises(errors.ResourceNotFoundException, match="Function not found"):
        catalog.get_recursion_config("f")
    with pytest.raises(errors.ResourceNotFoundException, match="Function not found"):
        catalog.put_recursion_config("f", "Allow")
    with pytest.raises(errors.ValidationException, match="at 'recursiveLoop'"):
        catalog.put_recursion_config("f", "Perhaps")  # type: ignore[arg-type]
