"""Functions, versions and aliases change as Lambda's do, and every change says what it left behind."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.clock import VirtualClock
from engine.errors import (
    CodeStorageExceededException,
    InvalidParameterValueException,
    LambdaError,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
    ValidationException,
)
from engine.model import StoredCode
from engine.store import catalog as catalog_module
from engine.store import snapshot as snapshot_module
from engine.store.catalog import Catalog, Change

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
NEW_YEAR_MS = 1_767_225_600_000


def code(number: int) -> StoredCode:
    return StoredCode(f"sha{number}", number, Path(f"/code/{number}"))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NEW_YEAR_MS)


@pytest.fixture
def catalog(clock: VirtualClock) -> Catalog:
    made = Catalog(clock=clock)
    create(made, "hello", 1)
    return made


def create(catalog: Catalog, name: str, number: int = 1, **settings: Any) -> Change:
    return catalog.create_function(name, code(number), handler="app.handler", runtime="python3.11", **settings)


def test_a_new_function_has_lambdas_defaults_and_stamps(clock: VirtualClock) -> None:
    clock.advance_ms(7)
    catalog = Catalog(clock=clock, region="eu-west-1", account_id="123456789012")
    variables = {"K": "V"}
    change = create(catalog, "hello", memory_mb=256, environment=variables, layers=[code(2)])
    new = change.new
    assert new is not None and new is catalog.resolve("hello")
    variables["K"] = "changed"
    assert (new.version, new.memory_mb, new.timeout_s, dict(new.environment)) == ("$LATEST", 256, 3, {"K": "V"})
    assert new.last_modified == "2026-01-01T00:00:00.007+0000"
    assert str(uuid.UUID(new.revision_id)) == new.revision_id
    assert new.function_arn == "arn:aws:lambda:eu-west-1:123456789012:function:hello"
    assert (change.retired, change.acquired, change.dropped) == ((), (code(1), code(2)), ())


def test_a_name_is_taken_once(catalog: Catalog) -> None:
    with pytest.raises(ResourceConflictException, match=r"^Function already exist: hello$"):
        create(catalog, "hello")


def test_an_update_retires_what_it_replaces(catalog: Catalog, clock: VirtualClock) -> None:
    old = catalog.resolve("hello")
    clock.advance_ms(1000)
    change = catalog.update_code("hello", code(2))
    assert change.retired == (old,)
    assert (change.acquired, change.dropped) == ((code(2),), (code(1),))
    newer = catalog.update_configuration("hello", timeout_s=9, environment={"A": "B"})
    assert newer.new is not None and newer.retired == (change.new,)
    assert (newer.acquired, newer.dropped) == ((), ())
    assert (newer.new.code, newer.new.timeout_s, newer.new.handler) == (code(2), 9, "app.handler")
    assert newer.new.last_modified == "2026-01-01T00:00:01.000+0000"
    assert len({old.revision_id, change.new and change.new.revision_id, newer.new.revision_id}) == 3
    assert old.timeout_s == 3
    with pytest.raises(FrozenInstanceError):
        old.timeout_s = 4  # type: ignore[misc]


def test_only_settings_can_be_updated(catalog: Catalog) -> None:
    with pytest.raises(TypeError, match="not settings of a function: version"):
        catalog.update_configuration("hello", version="7")  # type: ignore[call-arg]


def test_a_revision_that_is_not_the_latest_fails_the_precondition(catalog: Catalog) -> None:
    revision = catalog.resolve("hello").revision_id
    catalog.update_code("hello", code(2), revision_id=revision)
    message = "^The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API"
    attempts: tuple[Callable[[], Change], ...] = (
        lambda: catalog.update_code("hello", code(3), revision_id=revision),
        lambda: catalog.update_configuration("hello", timeout_s=4, revision_id=revision),
        lambda: catalog.publish_version("hello", revision_id=revision),
    )
    for attempt in attempts:
        with pytest.raises(PreconditionFailedException, match=message):
            attempt()
    assert catalog.resolve("hello").code == code(2)


def test_versions_count_up_and_stay_as_they_were(catalog: Catalog) -> None:
    one = catalog.publish_version("hello", description="first").new
    catalog.update_code("hello", code(2))
    two = catalog.publish_version("hello").new
    assert one is not None and two is not None
    assert (one.version, one.description, one.code) == ("1", "first", code(1))
    assert (two.version, two.description, two.code) == ("2", "", code(2))
    assert catalog.list_versions("hello") == (catalog.resolve("hello"), one, two)
    assert catalog.resolve("hello:1") is one
    assert one.function_arn == f"{ARN}hello:1"


def test_publishing_without_a_change_gives_the_same_version(catalog: Catalog) -> None:
    first = catalog.publish_version("hello", description="a")
    assert first.acquired == (code(1),)
    assert catalog.publish_version("hello", description="b") == Change(first.new)
    catalog.update_configuration("hello", timeout_s=9)
    catalog.update_configuration("hello", timeout_s=3)  # back again: what would be published is the same
    assert catalog.publish_version("hello").new is first.new
    catalog.update_configuration("hello", description="new")
    second = catalog.publish_version("hello").new
    assert second is not None and (second.version, second.description) == ("2", "new")


def test_publishing_checks_the_code_it_was_meant_for(catalog: Catalog) -> None:
    with pytest.raises(InvalidParameterValueException, match=r"^CodeSHA256 \(x\) is different from .*\(sha1\)"):
        catalog.publish_version("hello", code_sha256="x")
    assert catalog.publish_version("hello", code_sha256="sha1").new is not None


def test_every_reference_to_a_version_leads_to_it(catalog: Catalog) -> None:
    one = catalog.publish_version("hello").new
    catalog.create_alias("hello", "prod", "1")
    catalog.create_alias("hello", "dev", "$LATEST")
    latest = catalog.resolve("hello")
    for reference, qualifier in (
        *(("hello:1", None), ("hello", "1"), ("hello:1", "1"), (f"{ARN}hello:1", None), (f"{ARN}hello", "prod")),
        *(("hello:prod", None), ("000000000000:function:hello:prod", None), ("hello:prod", "prod")),
    ):
        for _ in range(2):  # the second time from memory
            assert catalog.resolve(reference, qualifier) is one
    for reference in ("hello", "hello:$LATEST", "hello:dev", f"{ARN}hello"):
        assert catalog.resolve(reference) is latest
    with pytest.raises(InvalidParameterValueException, match="derived qualifier"):
        catalog.resolve("hello:1", "prod")


@pytest.mark.parametrize(
    ("reference", "qualifier", "arn"),
    [
        ("gone", None, f"{ARN}gone"),
        ("gone", "5", f"{ARN}gone:5"),
        ("hello:9", None, f"{ARN}hello:9"),
        ("hello", "nope", f"{ARN}hello:nope"),
        (
            "arn:aws:lambda:us-east-1:123456789012:function:hello",
            None,
            "arn:aws:lambda:us-east-1:123456789012:function:hello",
        ),
    ],
)
def test_what_is_not_there_is_named_by_its_arn(
    catalog: Catalog, reference: str, qualifier: str | None, arn: str
) -> None:
    with pytest.raises(ResourceNotFoundException) as caught:
        catalog.resolve(reference, qualifier)
    assert caught.value.message == f"Function not found: {arn}"


def test_another_region_is_not_reachable(catalog: Catalog) -> None:
    with pytest.raises(ResourceNotFoundException, match=r"Functions from 'eu-west-1' are not reachable in this region"):
        catalog.resolve("arn:aws:lambda:eu-west-1:000000000000:function:hello")


def test_a_memory_of_references_is_never_stale_and_never_large(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_module, "RESOLVED_MAX", 3)
    before = catalog.snapshot
    old = before.resolve("hello")
    catalog.update_code("hello", code(2))
    assert catalog.resolve("hello").code == code(2)
    assert before.resolve("hello") is old
    for name in "abcdefgh":
        create(catalog, name)
    for name in "abcdefgh":
        assert catalog.resolve(name).function_name == name
    assert len(catalog.snapshot._resolved) <= 3


def test_deleting_a_function_retires_all_of_it(catalog: Catalog) -> None:
    catalog.publish_version("hello")
    catalog.update_code("hello", code(2))
    everything = catalog.list_versions("hello")
    change = catalog.delete_function("hello")
    assert (change.new, change.retired) == (None, everything)
    assert Counter(change.dropped) == Counter([code(1), code(2)])
    assert catalog.list_functions() == ()
    for attempt in (catalog.delete_function, catalog.get, catalog.resolve, catalog.list_aliases):
        with pytest.raises(ResourceNotFoundException, match=f"^Function not found: {ARN}hello$"):
            attempt("hello")


def test_version_numbers_are_not_given_out_twice(catalog: Catalog) -> None:
    catalog.publish_version("hello")
    catalog.delete_function("hello")
    create(catalog, "hello")
    again = catalog.publish_version("hello").new
    assert again is not None and again.version == "2"


def test_a_version_is_deleted_unless_an_alias_needs_it(catalog: Catalog) -> None:
    one = catalog.publish_version("hello").new
    catalog.create_alias("hello", "prod", "1")
    with pytest.raises(ResourceConflictException, match=r"the following aliases reference it: \[prod\]$"):
        catalog.delete_function("hello", "1")
    catalog.delete_alias("hello", "prod")
    assert catalog.delete_function("hello", "1") == Change(retired=(one,), dropped=(code(1),))  # type: ignore[arg-type]
    with pytest.raises(ResourceNotFoundException, match=f"{ARN}hello:1$"):
        catalog.resolve("hello:1")
    again = catalog.publish_version("hello").new
    assert again is not None and again.version == "2"


def test_latest_and_aliases_are_not_versions_to_delete(catalog: Catalog) -> None:
    catalog.create_alias("hello", "dev", "$LATEST")
    for qualifier, message in (("$LATEST", "without deleting the function"), ("dev", "Deletion of aliases")):
        with pytest.raises(InvalidParameterValueException, match=message):
            catalog.delete_function("hello", qualifier)
    with pytest.raises(ResourceNotFoundException):
        catalog.delete_function("hello", "3")


def test_aliases_are_made_moved_listed_and_deleted(catalog: Catalog) -> None:
    catalog.publish_version("hello")
    made = catalog.create_alias("hello", "prod", "1", description="live")
    assert catalog.get_alias("hello", "prod") is made
    with pytest.raises(ResourceConflictException, match=f"^Alias already exists: {ARN}hello:prod$"):
        catalog.create_alias("hello", "prod", "1")
    moved = catalog.update_alias("hello", "prod", function_version="$LATEST", revision_id=made.revision_id)
    assert (moved.function_version, moved.description) == ("$LATEST", "live")
    assert moved.revision_id != made.revision_id
    with pytest.raises(PreconditionFailedException):
        catalog.update_alias("hello", "prod", description="", revision_id=made.revision_id)
    dev = catalog.create_alias("hello", "dev", "1")
    assert catalog.list_aliases("hello") == (dev, moved)
    assert catalog.list_aliases("hello", function_version="1") == (dev,)
    catalog.delete_alias("hello", "prod")
    catalog.delete_alias("hello", "prod")
    for attempt in (catalog.get_alias, catalog.update_alias):
        with pytest.raises(ResourceNotFoundException, match=f"^Cannot find alias arn: {ARN}hello:prod$"):
            attempt("hello", "prod")


def test_an_alias_needs_a_version_and_a_name_of_its_own(catalog: Catalog) -> None:
    with pytest.raises(ResourceNotFoundException, match=f"^Function not found: {ARN}hello:3$"):
        catalog.create_alias("hello", "prod", "3")
    with pytest.raises(ValidationException, match="at 'name'"):
        catalog.create_alias("hello", "1", "$LATEST")


def test_functions_are_listed_by_name(catalog: Catalog) -> None:
    for name in ("zeta", "Alpha", "beta"):
        create(catalog, name)
    assert [latest.function_name for latest in catalog.list_functions()] == ["Alpha", "beta", "hello", "zeta"]


def test_a_hundred_of_the_accounts_concurrency_stay_unreserved(catalog: Catalog) -> None:
    create(catalog, "other")
    catalog.put_function_concurrency("hello", 500)
    assert catalog.get_function_concurrency("hello") == 500
    assert catalog.unreserved_concurrency() == 500
    with pytest.raises(InvalidParameterValueException) as caught:
        catalog.put_function_concurrency("other", 401)
    assert caught.value.message == (
        "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below "
        "its minimum value of [100]."
    )
    catalog.put_function_concurrency("other", 400)
    catalog.put_function_concurrency("hello", 500)  # its own is not counted twice
    catalog.delete_function_concurrency("other")
    assert catalog.get_function_concurrency("other") is None
    catalog.put_function_concurrency("other", 0)
    assert catalog.get_function_concurrency("other") == 0
    with pytest.raises(ValidationException):
        catalog.put_function_concurrency("other", -1)


def test_the_catalog_has_room_for_so_many(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_module, "CONFIGURATIONS_MAX", 2)
    catalog.publish_version("hello")
    with pytest.raises(CodeStorageExceededException, match="2 functions and versions"):
        create(catalog, "other")
    catalog.update_code("hello", code(2))  # makes no more of them


def test_writers_on_many_threads_lose_nothing(catalog: Catalog) -> None:
    def work(prefix: str) -> None:
        for number in range(50):
            create(catalog, f"{prefix}{number}", number)
            catalog.update_configuration("hello", timeout_s=number + 1)
            catalog.publish_version("hello")

    threads = [threading.Thread(target=work, args=(prefix,)) for prefix in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(catalog.list_functions()) == 201
    numbers = [version.version for version in catalog.list_versions("hello")[1:]]
    assert numbers == [str(number + 1) for number in range(len(numbers))]


def test_a_bundle_that_cannot_be_retained_changes_nothing(clock: VirtualClock) -> None:
    def refuse(_: StoredCode) -> None:
        raise ValueError("gone")

    catalog = Catalog(clock=clock, retain=refuse)
    with pytest.raises(ValueError, match="gone"):
        create(catalog, "hello")
    assert catalog.list_functions() == ()


class ReferencesAreCounted(RuleBasedStateMachine):
    """Whatever is done, the bundles given out and taken back are those of the configurations that are there."""

    names = st.sampled_from(["f", "g"])
    codes = st.integers(0, 2).map(code)

    def __init__(self) -> None:
        super().__init__()
        self.held: Counter[StoredCode] = Counter()
        self.catalog = Catalog(clock=VirtualClock(), retain=lambda stored: self.held.update([stored]))

    def apply(self, operation: Any, *args: Any, **options: Any) -> None:
        try:
            change = operation(*args, **options)
        except LambdaError:
            return
        self.held.subtract(change.dropped)

    @rule(name=names, stored=codes, layers=st.lists(codes, max_size=2))
    def create(self, name: str, stored: StoredCode, layers: list[StoredCode]) -> None:
        self.apply(self.catalog.create_function, name, stored, handler="a.b", runtime="python3.11", layers=layers)

    @rule(name=names, stored=codes)
    def update_code(self, name: str, stored: StoredCode) -> None:
        self.apply(self.catalog.update_code, name, stored)

    @rule(name=names, layers=st.lists(codes, max_size=2))
    def update_layers(self, name: str, layers: list[StoredCode]) -> None:
        self.apply(self.catalog.update_configuration, name, layers=layers)

    @rule(name=names)
    def publish(self, name: str) -> None:
        self.apply(self.catalog.publish_version, name)

    @rule(name=names, qualifier=st.sampled_from([None, "1", "2"]))
    def delete(self, name: str, qualifier: str | None) -> None:
        self.apply(self.catalog.delete_function, name, qualifier)

    @invariant()
    def references_match(self) -> None:
        there = Counter(
            stored
            for record in self.catalog.snapshot.functions.values()
            for configuration in record.all_configurations()
            for stored in (configuration.code, *configuration.layers)
        )
        assert +self.held == there
        assert all(count >= 0 for count in self.held.values())


ReferencesAreCounted.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
test_references_are_counted_whatever_is_done = ReferencesAreCounted.TestCase
