"""An alias may send a part of its invocations to a second published version, by Lambda's rules."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.clock import VirtualClock
from engine.errors import (
    InvalidParameterValueException,
    LambdaError,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
    ValidationException,
)
from engine.model import StoredCode
from engine.store.catalog import Catalog
from engine.store.catalog_db import CatalogDb
from engine.store.rows import alias_text, read_alias

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


@pytest.fixture
def catalog() -> Catalog:
    """`f` with versions 1 to 3."""
    return filled(Catalog(clock=VirtualClock()))


def filled(catalog: Catalog) -> Catalog:
    code = StoredCode("c2hh", 1, Path("/code/sha"))
    catalog.create_function("f", code, handler="a.b", runtime="python3.11")
    for number in range(3):
        catalog.update_configuration("f", description=str(number))
        catalog.publish_version("f")
    return catalog


def test_weights_are_kept_until_an_empty_routing_takes_them_away(catalog: Catalog) -> None:
    made = catalog.create_alias("f", "live", "1", routing={"2": 0.25})
    assert (dict(made.routing), made.versions) == ({"2": 0.25}, ("1", "2"))
    assert dict(catalog.update_alias("f", "live", description="moved").routing) == {"2": 0.25}
    assert dict(catalog.update_alias("f", "live", routing={"3": 1}).routing) == {"3": 1.0}
    assert catalog.resolve("f", "live").version == "1"
    moved = catalog.update_alias("f", "live", function_version="3", routing={})
    assert (moved.function_version, dict(moved.routing)) == ("3", {})


@pytest.mark.parametrize(
    ("routing", "error", "says"),
    [
        ({"2": 0.1, "3": 0.1}, InvalidParameterValueException, "cannot be greater than 1"),
        ({"2": 1.5}, ValidationException, "{2=1.5}' at 'routingConfig.additionalVersionWeights'"),
        ({"2": -0.1}, ValidationException, "less than or equal to 1.0"),
        ({"2": float("nan")}, ValidationException, "{2=nan}"),
        ({"2": True}, ValidationException, "{2=True}"),
        ({"2": None}, ValidationException, "must not be null"),
        ({"$LATEST": 0.1}, ValidationException, "regular expression pattern: [0-9]+"),
        ({2: 0.1}, ValidationException, "Map keys must satisfy constraint"),
        (["2"], ValidationException, "must be dict, not list"),
        ({"1": 0.1}, InvalidParameterValueException, "version 1 is already included in routing configuration."),
        ({"9": 0.1}, ResourceNotFoundException, f"Function not found: {ARN}f:9"),
    ],
)
def test_weights_that_lambda_refuses_are_refused_in_its_words(
    catalog: Catalog, routing: Any, error: type[LambdaError], says: str
) -> None:
    catalog.create_alias("f", "live", "1")
    for attempt in (
        lambda: catalog.create_alias("f", "other", "1", routing=routing),
        lambda: catalog.update_alias("f", "live", routing=routing),
    ):
        with pytest.raises(error) as refused:
            attempt()
        assert says in str(refused.value)
    assert [alias.name for alias in catalog.list_aliases("f")] == ["live"]
    assert dict(catalog.get_alias("f", "live").routing) == {}


def test_latest_is_no_part_of_a_split_and_a_version_is_there_once(catalog: Catalog) -> None:
    with pytest.raises(InvalidParameterValueException, match=r"\$LATEST is not supported for an alias pointing to"):
        catalog.create_alias("f", "live", "$LATEST", routing={"1": 0.5})
    catalog.create_alias("f", "live", "1", routing={"2": 0.5})
    with pytest.raises(InvalidParameterValueException, match="Function version 2 is already included"):
        catalog.update_alias("f", "live", function_version="2")
    assert catalog.update_alias("f", "live", function_version="2", routing={"1": 0.5}).versions == ("2", "1")


def test_a_version_that_an_alias_leads_to_in_part_cannot_be_deleted(catalog: Catalog) -> None:
    catalog.create_alias("f", "live", "1", routing={"2": 0.0})
    assert [alias.name for alias in catalog.list_aliases("f", function_version="2")] == ["live"]
    with pytest.raises(ResourceConflictException, match=r"following aliases reference it: \[live\]"):
        catalog.delete_function("f", "2")
    catalog.update_alias("f", "live", routing={})
    catalog.delete_function("f", "2")


def test_an_alias_changes_only_where_its_revision_is_the_current_one(catalog: Catalog) -> None:
    made = catalog.create_alias("f", "live", "1")
    changed = catalog.update_alias("f", "live", routing={"2": 0.1}, revision_id=made.revision_id)
    with pytest.raises(PreconditionFailedException, match="Revision Id provided does not match"):
        catalog.update_alias("f", "live", routing={}, revision_id=made.revision_id)
    assert catalog.get_alias("f", "live") == changed


def test_weights_are_found_again_and_an_older_alias_has_none(tmp_path: Path) -> None:
    database = CatalogDb(tmp_path / "catalog.db", code_root=tmp_path)
    made = filled(Catalog(clock=VirtualClock(), persistence=database)).create_alias(
        "f", "live", "1", routing={"2": 0.1}
    )
    database.close()
    database = CatalogDb(tmp_path / "catalog.db", code_root=tmp_path)
    found = Catalog(clock=VirtualClock(), persistence=database).get_alias("f", "live")
    database.close()
    assert found == made and dict(found.routing) == {"2": 0.1}
    older = json.loads(alias_text(made))
    del older["routing"]
    assert read_alias(json.dumps(older)) == replace(made, routing={})


@pytest.mark.parametrize(
    ("units", "weight", "shares"), [(10, 0.1, {"1": 9, "2": 1}), (1, 0.1, {"1": 1}), (4, 1, {"2": 4})]
)
def test_provisioned_concurrency_is_dealt_out_by_weight(
    catalog: Catalog, units: int, weight: float, shares: dict[str, int]
) -> None:
    catalog.create_alias("f", "live", "1", routing={"2": weight})
    catalog.put_provisioned_concurrency("f", "live", units)
    assert catalog.get("f").provisioned_versions() == shares
    for qualifier in ("1", "2"):
        with pytest.raises(ResourceConflictException, match="Version is pointed by a Provisioned Concurrency alias"):
            catalog.put_provisioned_concurrency("f", qualifier, 1)


def test_weights_do_not_bring_a_version_under_two_requests(catalog: Catalog) -> None:
    catalog.create_alias("f", "live", "1")
    catalog.put_provisioned_concurrency("f", "live", 2)
    catalog.put_provisioned_concurrency("f", "2", 2)
    with pytest.raises(ResourceConflictException, match="already Provisioned version"):
        catalog.update_alias("f", "live", routing={"2": 0.5})
    assert catalog.update_alias("f", "live", routing={"3": 0.5}).versions == ("1", "3")
    assert catalog.get("f").provisioned_versions() == {"1": 1, "3": 1, "2": 2}
