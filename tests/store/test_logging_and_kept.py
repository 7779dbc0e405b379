"""How a function logs, and what is only kept of it, are settings as others: versions have them, older rows do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.clock import VirtualClock
from engine.errors import InvalidParameterValueException, LambdaError, ValidationException
from engine.model import FunctionConfiguration, StoredCode
from engine.store.catalog import Catalog, Change
from engine.store.catalog_db import CatalogDb
from engine.store.kept import DEPTH_MAX, KEPT_MAX_BYTES
from engine.store.rows import Reader, configuration_text
from engine.validation import validate_configuration

CODE = StoredCode("c2hh", 1, Path("/code/sha"), 3)
GIVEN: dict[str, Any] = {
    "function_name": "f",
    "handler": "a.b",
    "runtime": "python3.11",
    "memory_mb": 128,
    "timeout_s": 3,
    "ephemeral_storage_mb": 512,
    "environment": {},
    "layers_count": 0,
    "description": "",
    "role": "arn:aws:iam::000000000000:role/r",
    "architecture": "x86_64",
}
NEW = {"log_format", "application_log_level", "system_log_level", "log_group_name", "kept"}


def made(change: Change) -> FunctionConfiguration:
    assert change.new is not None
    return change.new


def created(catalog: Catalog, **settings: Any) -> FunctionConfiguration:
    return made(catalog.create_function("f", CODE, handler="a.b", runtime="python3.11", **settings))


def logging(configuration: FunctionConfiguration) -> tuple[str, str | None, str | None, str]:
    levels = configuration.application_log_level, configuration.system_log_level
    return configuration.log_format, *levels, configuration.log_group


def test_a_log_is_text_without_levels_in_lambdas_own_group() -> None:
    assert logging(created(Catalog(clock=VirtualClock()))) == ("Text", None, None, "/aws/lambda/f")


def test_json_has_the_level_info_where_none_is_given_and_text_takes_levels_away() -> None:
    catalog = Catalog(clock=VirtualClock())
    created(catalog, log_format="JSON", system_log_level="WARN", log_group_name="mine")
    version = made(catalog.publish_version("f"))
    assert logging(version) == ("JSON", "INFO", "WARN", "mine")
    assert logging(made(catalog.update_configuration("f", log_format="Text"))) == ("Text", None, None, "mine")
    assert logging(made(catalog.update_configuration("f", log_group_name=""))) == ("Text", None, None, "/aws/lambda/f")
    assert logging(catalog.resolve("f", "1")) == logging(version)


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"log_format": "json"}, ValidationException, "'loggingConfig.logFormat' failed.*enum value set: .JSON, Text."),
        ({"log_format": "JSON", "application_log_level": "info"}, ValidationException, "'loggingConfig.applicationLog"),
        (
            {"log_format": "JSON", "system_log_level": "ERROR"},
            ValidationException,
            "enum value set: .DEBUG, INFO, WARN",
        ),
        ({"log_group": "a b"}, ValidationException, "'loggingConfig.logGroup' failed to satisfy"),
        ({"log_group": ""}, ValidationException, "length greater than or equal to 1"),
        ({"log_group": "x" * 513}, ValidationException, "length less than or equal to 512"),
        ({"system_log_level": "INFO"}, InvalidParameterValueException, 'LogFormat is set to "Text". Remove LogLevel'),
        ({"application_log_level": "INFO"}, InvalidParameterValueException, "LogLevel is not supported when"),
    ],
)
def test_logging_that_lambda_refuses_is_refused_in_its_words(
    settings: dict[str, Any], error: type[LambdaError], says: str
) -> None:
    with pytest.raises(error, match=says):
        validate_configuration(**GIVEN, **settings)


def test_what_is_kept_is_joined_by_key_and_none_takes_a_key_away() -> None:
    catalog = Catalog(clock=VirtualClock())
    given = {"TracingConfig": {"Mode": "Active"}, "VpcConfig": {"SubnetIds": ["a"]}, "KMSKeyArn": None}
    assert dict(created(catalog, kept=given).kept) == {name: given[name] for name in ("TracingConfig", "VpcConfig")}
    given["VpcConfig"]["SubnetIds"].append("b")  # type: ignore[index,union-attr]
    assert catalog.resolve("f").kept["VpcConfig"] == {"SubnetIds": ["a"]}
    catalog.publish_version("f")
    changed = made(catalog.update_configuration("f", kept={"TracingConfig": None, "DurableConfig": {"Days": 1}}))
    assert dict(changed.kept) == {"VpcConfig": {"SubnetIds": ["a"]}, "DurableConfig": {"Days": 1}}
    assert dict(made(catalog.update_configuration("f", description="x")).kept) == dict(changed.kept)
    assert catalog.resolve("f", "1").kept.keys() == {"TracingConfig", "VpcConfig"}
    assert made(catalog.publish_version("f")).version == "2"


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        ({"a": "x" * KEPT_MAX_BYTES}, "65,536 are taken"),
        ({"a": nested(DEPTH_MAX)}, "more than 16 deep"),
        ({"a": b"bytes"}, "is no JSON value"),
        ({"a": float("inf")}, "inf is no JSON value"),
        ({"a": 1 << 64}, "is no JSON value"),
        ({"a": "\ud800"}, "is no JSON value"),
        ({"a": {1: 2}}, "1 is a key that is not text"),
        (["a"], "give a mapping"),
    ],
)
def test_what_cannot_be_kept_is_refused(kept: Any, says: str) -> None:
    catalog = Catalog(clock=VirtualClock())
    with pytest.raises(InvalidParameterValueException, match=says):
        created(catalog, kept=kept)
    created(catalog, kept={"a": nested(DEPTH_MAX - 3)})
    with pytest.raises(InvalidParameterValueException, match=says):
        catalog.update_configuration("f", kept=kept)


def test_what_is_kept_has_its_bound_over_several_changes() -> None:
    catalog = Catalog(clock=VirtualClock())
    created(catalog, kept={"a": "x" * 40_000})
    with pytest.raises(InvalidParameterValueException, match="leave some out"):
        catalog.update_configuration("f", kept={"b": "x" * 40_000})
    catalog.update_configuration("f", kept={"a": None, "b": "x" * 40_000})


def test_all_of_it_is_found_again(tmp_path: Path) -> None:
    database = CatalogDb(tmp_path / "catalog.db", code_root=tmp_path)
    catalog = Catalog(clock=VirtualClock(), persistence=database)
    given: dict[str, Any] = {"log_format": "JSON", "application_log_level": "TRACE", "log_group_name": "mine"}
    created(catalog, **given, kept={"TracingConfig": {"Mode": "Active"}})
    version = made(catalog.publish_version("f"))
    database.close()
    database = CatalogDb(tmp_path / "catalog.db", code_root=tmp_path)
    found = Catalog(clock=VirtualClock(), persistence=database).resolve("f", "1")
    database.close()
    assert (logging(found), dict(found.kept)) == (logging(version), {"TracingConfig": {"Mode": "Active"}})


def test_what_an_older_engine_wrote_reads_as_the_defaults() -> None:
    written = json.loads(configuration_text(created(Catalog(clock=VirtualClock()), log_format="JSON", kept={"a": 1})))
    older = {name: value for name, value in written.items() if name not in NEW}
    assert written.keys() - older.keys() == NEW
    read = Reader(Path("/code")).configuration(json.dumps(older))
    assert (logging(read), dict(read.kept)) == (("Text", None, None, "/aws/lambda/f"), {})
