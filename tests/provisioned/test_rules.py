"""Where provisioned concurrency may be, and how much: Lambda's rules and words, without an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import errors
from engine.clock import VirtualClock
from engine.model import StoredCode
from engine.store.catalog import Catalog

CODE = StoredCode("c2hh", 1, Path("/code/sha"), 3)


@pytest.fixture
def catalog() -> Catalog:
    """Functions `f`, with versions 1 and 2 and aliases of each, and `g` with version 1."""
    made = Catalog(clock=VirtualClock())
    for name in ("f", "g"):
        made.create_function(name, CODE, handler="a.b", runtime="python3.11")
        made.publish_version(name)
    made.update_configuration("f", description="two")
    made.publish_version("f")
    for alias, version in (("one", "1"), ("also-one", "1"), ("two", "2"), ("newest", "$LATEST")):
        made.create_alias("f", alias, version)
    return made


def test_what_was_asked_for_is_told(catalog: Catalog) -> None:
    asked = catalog.put_provisioned_concurrency("f", "one", 7)
    assert catalog.get_provisioned_concurrency("f", "one") == asked
    assert (asked.requested, asked.last_modified[-5:]) == (7, "+0000")
    assert catalog.get("f").provisioned_versions() == {"1": 7}
    catalog.put_provisioned_concurrency("f", "one", 9)
    assert catalog.get("f").provisioned_versions() == {"1": 9}
    catalog.delete_provisioned_concurrency("f", "one")
    catalog.delete_provisioned_concurrency("f", "one")
    assert catalog.get("f").provisioned_versions() == {}


@pytest.mark.parametrize("qualifier", ["$LATEST", "newest"])
def test_what_is_not_published_cannot_have_it(catalog: Catalog, qualifier: str) -> None:
    with pytest.raises(errors.InvalidParameterValueException, match="cannot be applied to unpublished function"):
        catalog.put_provisioned_concurrency("f", qualifier, 1)


def test_what_is_not_there_is_named(catalog: Catalog) -> None:
    with pytest.raises(errors.ResourceNotFoundException, match=r"Function not found: arn.*:function:h"):
        catalog.put_provisioned_concurrency("h", "1", 1)
    for call in (catalog.get_provisioned_concurrency, catalog.delete_provisioned_concurrency):
        with pytest.raises(errors.ResourceNotFoundException, match=r"Function not found: arn.*:function:f:3"):
            call("f", "3")
        with pytest.raises(errors.ResourceNotFoundException, match=r"Cannot find alias arn: arn.*:function:f:three"):
            call("f", "three")
        with pytest.raises(errors.InvalidParameterValueException, match="must be an alias or a published version"):
            call("f", "$LATEST")
    with pytest.raises(errors.ProvisionedConcurrencyConfigNotFoundException, match="No Provisioned Concurrency Config"):
        catalog.get_provisioned_concurrency("f", "1")


@pytest.mark.parametrize("provisioned", [0, -1, "3", True, 1.0])
def test_only_whole_numbers_from_one_on_are_taken(catalog: Catalog, provisioned: int) -> None:
    with pytest.raises(errors.ValidationException, match="provisionedConcurrentExecutions"):
        catalog.put_provisioned_concurrency("f", "1", provisioned)


def test_a_version_has_it_once_directly_or_through_one_alias(catalog: Catalog) -> None:
    catalog.put_provisioned_concurrency("f", "one", 1)
    with pytest.raises(errors.ResourceConflictException, match="Version is pointed by a Provisioned Concurrency alias"):
        catalog.put_provisioned_concurrency("f", "1", 1)
    already = "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
    with pytest.raises(errors.ResourceConflictException, match=already):
        catalog.put_provisioned_concurrency("f", "also-one", 1)
    catalog.put_provisioned_concurrency("f", "2", 1)
    with pytest.raises(errors.ResourceConflictException, match=already):
        catalog.update_alias("f", "one", function_version="2")
    with pytest.raises(errors.InvalidParameterValueException, match="unpublished"):
        catalog.update_alias("f", "one", function_version="$LATEST")
    catalog.update_alias("f", "also-one", function_version="2")
    assert catalog.get("f").provisioned_versions() == {"1": 1, "2": 1}


def test_an_alias_takes_it_along_and_with_it(catalog: Catalog) -> None:
    catalog.put_provisioned_concurrency("f", "one", 3)
    catalog.update_alias("f", "one", function_version="2")
    assert catalog.get("f").provisioned_versions() == {"2": 3}
    catalog.delete_alias("f", "one")
    assert catalog.get("f").provisioned_versions() == {}


def test_a_deleted_version_takes_it_with_it(catalog: Catalog) -> None:
    catalog.put_provisioned_concurrency("g", "1", 3)
    catalog.delete_function("g", "1")
    assert catalog.get("g").provisioned == {}


def test_it_lies_within_the_functions_reservation(catalog: Catalog) -> None:
    catalog.put_function_concurrency("f", 10)
    catalog.put_provisioned_concurrency("f", "1", 6)
    with pytest.raises(errors.InvalidParameterValueException, match="should not be greater than the reservedConcurr"):
        catalog.put_provisioned_concurrency("f", "2", 5)
    catalog.put_provisioned_concurrency("f", "2", 4)
    with pytest.raises(errors.InvalidParameterValueException, match=r"should not be lower than .* \[10\]"):
        catalog.put_function_concurrency("f", 9)
    assert catalog.unreserved_concurrency() == 990
    catalog.delete_function_concurrency("f")
    assert catalog.unreserved_concurrency() == 990


def test_it_leaves_the_account_a_hundred(catalog: Catalog) -> None:
    with pytest.raises(errors.InvalidParameterValueException, match=r"is greater than account's unreserved .* \[500\]"):
        catalog.put_function_concurrency("g", 500)
        catalog.put_provisioned_concurrency("f", "1", 501)
    catalog.put_provisioned_concurrency("f", "1", 300)
    below = r"UnreservedConcurrentExecution below its minimum value of \[100\]"
    with pytest.raises(errors.InvalidParameterValueException, match=f"Specified ConcurrentExecutions .*{below}"):
        catalog.put_provisioned_concurrency("f", "2", 101)
    with pytest.raises(errors.InvalidParameterValueException, match=f"Specified ReservedConcurrent.*{below}"):
        catalog.put_function_concurrency("g", 601)
    catalog.put_provisioned_concurrency("f", "2", 100)
    assert catalog.unreserved_concurrency() == 100


def test_a_version_has_no_more_than_it_can_have_environments() -> None:
    catalog = Catalog(clock=VirtualClock(), account_concurrency=10_000)
    catalog.create_function("f", CODE, handler="a.b", runtime="python3.11")
    catalog.publish_version("f")
    with pytest.raises(errors.InvalidParameterValueException, match="provisioned=1001: a version has at most 1,000"):
        catalog.put_provisioned_concurrency("f", "1", 1_001)


def test_snapshots_and_provisioned_concurrency_exclude_each_other(catalog: Catalog) -> None:
    catalog.update_configuration("g", snap_start=True)
    catalog.publish_version("g")
    with pytest.raises(errors.InvalidParameterValueException, match="SnapStart does not support provisioned"):
        catalog.put_provisioned_concurrency("g", "2", 1)
