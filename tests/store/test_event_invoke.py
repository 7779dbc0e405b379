"""What is said about events of a function: Lambda's rules and words, and that it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest

from engine import errors
from engine.clock import VirtualClock
from engine.model import EventInvokeConfig, StoredCode
from engine.store.catalog import Catalog
from engine.store.catalog_db import SCHEMA_VERSION, CatalogDb
from engine.store.persistence import Persistence
from engine.validation import validate_destination

CODE = StoredCode("c2hh", 1, Path("/code/sha"), 3)
HERE = "us-east-1:000000000000"
QUEUE = f"arn:aws:sqs:{HERE}:queue"
TOPIC = f"arn:aws:sns:{HERE}:topic"
BUCKET = "arn:aws:s3:::bucket"
FUNCTION = f"arn:aws:lambda:{HERE}:function"
NONE = r"The function arn:.*:function:%s doesn't have an EventInvokeConfig"


def deployed(persistence: Persistence | None = None) -> Catalog:
    """Functions `f`, with version 1 and an alias `live` of it, and `g`."""
    catalog = Catalog(clock=VirtualClock(), persistence=persistence)
    for name in ("f", "g"):
        catalog.create_function(name, CODE, handler="a.b", runtime="python3.11")
    catalog.publish_version("f")
    catalog.create_alias("f", "live", "1")
    return catalog


@pytest.fixture
def catalog() -> Catalog:
    return deployed()


@pytest.mark.parametrize("qualifier", [None, "", "$LATEST", "1", "live"])
def test_what_was_said_is_told(catalog: Catalog, qualifier: str | None) -> None:
    said = catalog.put_event_invoke_config(
        "f", qualifier, maximum_retry_attempts=1, maximum_event_age_s=60, on_success=TOPIC, on_failure=BUCKET
    )
    arn = f"{FUNCTION}:f:{qualifier or '$LATEST'}"
    assert said == EventInvokeConfig(arn, said.last_modified, 1, 60, TOPIC, BUCKET)
    assert said.last_modified.endswith("+0000")
    assert catalog.get_event_invoke_config("f", qualifier) == said
    assert catalog.list_event_invoke_configs("f") == (said,)
    assert catalog.list_event_invoke_configs("g") == ()
    catalog.delete_event_invoke_config("f", qualifier)
    assert catalog.list_event_invoke_configs("f") == ()


def test_putting_replaces_all_and_updating_what_is_given(catalog: Catalog) -> None:
    catalog.put_event_invoke_config("f", maximum_retry_attempts=0, on_success=QUEUE)
    updated = catalog.update_event_invoke_config("f", maximum_event_age_s=21_600, on_failure=QUEUE)
    assert (updated.maximum_retry_attempts, updated.maximum_event_age_s) == (0, 21_600)
    assert (updated.on_success, updated.on_failure) == (QUEUE, QUEUE)
    emptied = catalog.update_event_invoke_config("f", on_success="")
    assert (emptied.on_success, emptied.on_failure, emptied.maximum_retry_attempts) == (None, QUEUE, 0)
    put = catalog.put_event_invoke_config("f", maximum_event_age_s=60)
    assert put == EventInvokeConfig(f"{FUNCTION}:f:$LATEST", put.last_modified, maximum_event_age_s=60)


def test_a_change_is_dated() -> None:
    clock = VirtualClock()
    catalog = Catalog(clock=clock)
    catalog.create_function("f", CODE, handler="a.b", runtime="python3.11")
    before = catalog.put_event_invoke_config("f", maximum_retry_attempts=1)
    clock.advance_ms(1)
    assert catalog.update_event_invoke_config("f", maximum_retry_attempts=1).last_modified > before.last_modified


def test_what_is_not_there_is_named(catalog: Catalog) -> None:
    catalog.put_event_invoke_config("f", "1", maximum_retry_attempts=0)
    for method in (catalog.get_event_invoke_config, catalog.delete_event_invoke_config):
        with pytest.raises(errors.ResourceNotFoundException, match=NONE % r"f:\$LATEST"):
            method("f")
        with pytest.raises(errors.ResourceNotFoundException, match=NONE % "f:live"):
            method("f", "live")
        with pytest.raises(errors.ResourceNotFoundException, match=r"Function not found: .*:function:h:\$LATEST"):
            method("h")
    with pytest.raises(errors.ResourceNotFoundException, match=NONE % "f:live"):
        catalog.update_event_invoke_config("f", "live", maximum_retry_attempts=0)
    for qualifier in ("2", "dead"):
        with pytest.raises(errors.ResourceNotFoundException, match=rf"Function not found: .*:f:{qualifier}"):
            catalog.put_event_invoke_config("f", qualifier, maximum_retry_attempts=0)
    with pytest.raises(errors.ResourceNotFoundException, match="h"):
        catalog.list_event_invoke_configs("h")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"maximum_retry_attempts": 3}, "Value '3' at 'maximumRetryAttempts' .* less than or equal to 2"),
        ({"maximum_retry_attempts": -1}, "Value '-1' at 'maximumRetryAttempts' .* greater than or equal to 0"),
        ({"maximum_retry_attempts": True}, "'maximumRetryAttempts' must be int, not bool"),
        ({"maximum_event_age_s": 59}, "Value '59' at 'maximumEventAgeInSeconds' .* greater than or equal to 60"),
        ({"maximum_event_age_s": 21_601}, "Value '21601' at .* less than or equal to 21600"),
        ({"on_success": "queue"}, "Value 'queue' at 'destinationConfig.onSuccess.destination' .* pattern"),
        ({"on_failure": 5}, "Value '5' at 'destinationConfig.onFailure.destination' must be str"),
        ({"on_failure": QUEUE + "q" * 350}, "Member must have length less than or equal to 350"),
        ({"maximum_retry_attempts": 3, "on_failure": "q"}, "2 validation errors detected"),
    ],
)
def test_what_is_out_of_range_is_refused(catalog: Catalog, settings: Any, told: str) -> None:
    catalog.put_event_invoke_config("f", maximum_retry_attempts=1)
    before = catalog.snapshot
    for method in (catalog.put_event_invoke_config, catalog.update_event_invoke_config):
        with pytest.raises(errors.ValidationException, match=told):
            method("f", **settings)
    assert catalog.snapshot is before


def test_something_must_be_said(catalog: Catalog) -> None:
    for method in (catalog.put_event_invoke_config, catalog.update_event_invoke_config):
        with pytest.raises(errors.InvalidParameterValueException, match="You must specify at least one of error hand"):
            method("f", maximum_retry_attempts=None)


@pytest.mark.parametrize(
    "destination",
    ["", QUEUE, TOPIC, f"{FUNCTION}:g", f"{FUNCTION}:g:$LATEST", f"arn:aws:events:{HERE}:event-bus/default"],
)
def test_these_may_be_told_of_success_and_failure(destination: str) -> None:
    validate_destination(destination, on="OnSuccess")
    validate_destination(destination, on="OnFailure")


@pytest.mark.parametrize(
    "destination",
    [
        f"arn:aws:dynamodb:{HERE}:table/t",
        f"{QUEUE}.fifo",
        f"{TOPIC}.fifo",
        "kafka://topic",
        "arn:aws:s3::000000000000:",
    ],
)
def test_nothing_else_may_be(destination: str) -> None:
    with pytest.raises(errors.InvalidParameterValueException) as success:
        validate_destination(destination, on="OnSuccess")
    told = (
        f"DestinationConfig(onSuccess=OnSuccess(destination={destination}), onFailure=null) is invalid. OnSuccess takes"
    )
    assert told in success.value.message
    with pytest.raises(errors.InvalidParameterValueException, match="is invalid"):
        validate_destination(destination, on="OnFailure")


@pytest.mark.parametrize(
    "destination",
    [
        "arn:aws:sqs:::queue",
        f"arn:aws:sqs:{HERE}:",
        f"arn:aws:lambda:{HERE}:g",
        f"arn:aws:events:{HERE}:event-bus/aws.partner/example.com/bus",
        f"arn:aws:s3:{HERE}:bucket",
        "arn:aws:s3:::B",
    ],
)
def test_a_destination_is_named_whole(destination: str) -> None:
    with pytest.raises(errors.InvalidParameterValueException, match=f"The destination ARN {destination} is invalid."):
        validate_destination(destination, on="OnFailure")


def test_only_failures_go_to_a_bucket(catalog: Catalog) -> None:
    assert catalog.put_event_invoke_config("f", on_failure=BUCKET).on_failure == BUCKET
    with pytest.raises(errors.InvalidParameterValueException, match=r"OnSuccess takes .* sqs, sns, lambda, events;"):
        catalog.put_event_invoke_config("f", on_success=BUCKET)


@pytest.mark.parametrize(
    "destination",
    [
        f"{FUNCTION}:h",
        f"{FUNCTION}:g:1",
        f"{FUNCTION}:g:live",
        f"{FUNCTION}:",
        f"arn:aws:lambda:{HERE}:g",
        "arn:aws:lambda:eu-west-1:000000000000:function:g",
        "arn:aws:lambda:us-east-1:111111111111:function:g",
    ],
)
def test_a_function_that_is_told_is_there(catalog: Catalog, destination: str) -> None:
    with pytest.raises(errors.InvalidParameterValueException, match=f"The destination ARN {destination} is invalid."):
        catalog.put_event_invoke_config("f", on_success=destination)
    for there in (f"{FUNCTION}:g", f"{FUNCTION}:g:$LATEST"):
        assert catalog.put_event_invoke_config("f", on_success=there).on_success == there


@pytest.mark.parametrize("destination", [f"{FUNCTION}:f", f"{FUNCTION}:f:live"])
def test_a_function_is_not_told_of_itself(catalog: Catalog, destination: str) -> None:
    with pytest.raises(errors.InvalidParameterValueException, match="specify the function as a destination for itself"):
        catalog.put_event_invoke_config("f", "1", on_failure=destination)


def test_it_goes_with_its_alias_its_version_and_its_function(catalog: Catalog) -> None:
    for qualifier in ("$LATEST", "1", "live"):
        catalog.put_event_invoke_config("f", qualifier, maximum_retry_attempts=0)
    catalog.delete_alias("f", "live")
    assert set(catalog.get("f").event_invoke) == {"$LATEST", "1"}
    catalog.delete_function("f", "1")
    assert set(catalog.get("f").event_invoke) == {"$LATEST"}
    catalog.delete_function("f")
    catalog.create_function("f", CODE, handler="a.b", runtime="python3.11")
    assert catalog.list_event_invoke_configs("f") == ()


def test_an_alias_keeps_it_whatever_it_names(catalog: Catalog) -> None:
    said = catalog.put_event_invoke_config("f", "live", maximum_retry_attempts=0)
    catalog.update_alias("f", "live", function_version="$LATEST")
    assert catalog.get_event_invoke_config("f", "live") == said


def test_dead_letter_targets_are_part_of_a_version(catalog: Catalog) -> None:
    set_ = catalog.update_configuration("f", dead_letter_target_arn=QUEUE).new
    published = catalog.publish_version("f").new
    removed = catalog.update_configuration("f", dead_letter_target_arn="").new
    assert set_ is not None and published is not None and removed is not None
    assert (published.version, published.dead_letter_target_arn) == ("2", QUEUE)
    assert (set_.dead_letter_target_arn, removed.dead_letter_target_arn) == (QUEUE, None)


def test_it_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    database = CatalogDb(path, code_root=tmp_path)
    catalog = deployed(database)
    kept = (
        catalog.put_event_invoke_config("f", maximum_retry_attempts=0, maximum_event_age_s=60, on_success=QUEUE),
        catalog.put_event_invoke_config("f", "live", on_failure=BUCKET),
    )
    catalog.put_event_invoke_config("f", "1", on_failure=BUCKET)
    catalog.delete_event_invoke_config("f", "1")
    catalog.put_event_invoke_config("g", on_failure=BUCKET)
    catalog.delete_function("g")
    database.close()
    again = CatalogDb(path, code_root=tmp_path)
    functions = again.load().functions
    assert {"f": {"$LATEST": kept[0], "live": kept[1]}} == {
        name: record.event_invoke for name, record in functions.items()
    }
    again.close()


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_older_catalog_is_taken_over(tmp_path: Path, version: int) -> None:
    path = tmp_path / "catalog.db"
    database = CatalogDb(path, code_root=tmp_path)
    before = deployed(database).snapshot.functions
    database.close()
    connection = apsw.Connection(str(path))
    newer = {1: ("provisioned", "event_invoke"), 2: ("event_invoke",)}.get(version, ())
    for table in (*newer, "resources", "layers", "layer_versions"):
        connection.execute(f"DROP TABLE {table}")
    connection.pragma("user_version", version)
    connection.close()
    for _ in range(2):
        database = CatalogDb(path, code_root=Path("/code"))
        catalog = Catalog(clock=VirtualClock(), persistence=database)
        assert catalog.snapshot.functions.keys() == before.keys()
        assert database._connection is not None
        assert database._connection.pragma("user_version") == SCHEMA_VERSION
        said = catalog.put_event_invoke_config("f", "live", maximum_retry_attempts=0)
        assert catalog.list_event_invoke_configs("f") == (said,)
        kept = catalog.put_resource("policy", "f", {"Version": "2012-10-17"}, function="f")
        assert catalog.list_resources("policy") == (kept,)
        published = catalog.publish_layer_version("l", CODE)
        assert catalog.list_layers() == (published,)
        database.close()
