"""An alias with weights deals out its invocations by them, and preconditions hold, over a socket as embedded."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from chance import binomial_bounds
from doors import ONE_VCPU_MB, Door
from faces import Face

from engine import errors

CALLS = 2_000
OTHER = "arm64" if os.uname().machine == "x86_64" else "x86_64"


@pytest.fixture
def name(held: Door | Face, tmp_path: Path) -> Iterator[str]:
    """A function with the versions 1 and 2, whose answer is the version's number."""
    made = f"f-{uuid4().hex[:8]}"
    held.create_function(made, code=answering(tmp_path), handler="app.handler", memory_mb=ONE_VCPU_MB)
    for number in "12":
        held.update_function_configuration(made, description=number)
        held.publish_version(made)
    yield made
    held.delete_function(made)


def answering(folder: Path, answer: str = "context.function_version") -> Path:
    path = folder / "app.py"
    path.write_text(f"def handler(event, context):\n    return {answer}\n")
    return path


def versions_of(invoke: Callable[..., Any], name: str, calls: int = CALLS) -> Counter[str]:
    """How many invocations went where; what ran and what is told are the same."""
    results = [invoke(name, 1) for _ in range(calls)]
    assert all(result.json() == result.executed_version for result in results)
    return Counter(result.executed_version for result in results)


def test_a_tenth_of_the_invocations_goes_to_the_other_version(held: Door | Face, name: str) -> None:
    held.create_alias(name, "live", "1", routing={"2": 0.1})
    seen = versions_of(held.invoke, f"{name}:live")
    least, most = binomial_bounds(CALLS, 0.1)
    assert least <= seen["2"] <= most and seen.total() == CALLS and seen.keys() == {"1", "2"}


def test_a_changed_weight_holds_from_the_next_invocation_on(held: Door | Face, name: str) -> None:
    made = held.create_alias(name, "live", "1")
    assert versions_of(held.invoke, f"{name}:live", 20) == {"1": 20}
    told = held.update_alias(name, "live", routing={"2": 1.0}, revision_id=made.revision_id)
    assert (dict(told.routing), held.get_alias(name, "live")) == ({"2": 1.0}, told)
    assert versions_of(held.invoke, f"{name}:live", 20) == {"2": 20}
    held.update_alias(name, "live", routing={"2": 0.0})
    assert versions_of(held.invoke, f"{name}:live", 20) == {"1": 20}
    assert dict(held.update_alias(name, "live", function_version="2", routing={}).routing) == {}
    assert versions_of(held.invoke, f"{name}:live", 20) == {"2": 20}
    with pytest.raises(errors.PreconditionFailedException):
        held.update_alias(name, "live", routing={"1": 0.5}, revision_id=made.revision_id)


def test_a_version_is_published_only_of_the_code_and_revision_that_are_meant(held: Door | Face, name: str) -> None:
    latest = held.update_function_configuration(name, description="3")
    with pytest.raises(errors.InvalidParameterValueException, match="CodeSHA256"):
        held.publish_version(name, code_sha256="other")
    with pytest.raises(errors.PreconditionFailedException):
        held.publish_version(name, revision_id="other")
    assert [each.version for each in held.list_versions(name)] == ["$LATEST", "1", "2"]
    made = held.publish_version(name, code_sha256=latest.code.sha256, revision_id=latest.revision_id)
    assert made.version == "3"


def test_a_dry_run_checks_all_and_changes_nothing(held: Door | Face, name: str, tmp_path: Path) -> None:
    before = held.get_function(name)
    other = answering(tmp_path, "'other'")
    would_be = held.update_function_code(name, code=other, dry_run=True, revision_id=before.revision_id)
    assert would_be.code.sha256 != before.code.sha256
    assert held.get_function(name) == before
    assert held.invoke(name, 1).json() == "$LATEST"
    with pytest.raises(errors.PreconditionFailedException):
        held.update_function_code(name, code=other, dry_run=True, revision_id="other")
    with pytest.raises(errors.InvalidZipFileException):
        held.update_function_code(name, code=b"no zip", dry_run=True)
    assert held.update_function_code(name, code=other).code.sha256 == would_be.code.sha256
    assert held.invoke(name, 1).json() == "other"


def test_code_for_another_kind_of_cpu_is_refused(held: Door | Face, name: str, tmp_path: Path) -> None:
    own = held.get_function(name).architecture
    assert own != OTHER
    code = answering(tmp_path)
    with pytest.raises(errors.InvalidParameterValueException, match=f"architecture {OTHER} cannot be run here"):
        held.create_function(f"{name}-other", code=code, handler="app.handler", architecture=OTHER)
    with pytest.raises(errors.InvalidParameterValueException, match=f"architecture {OTHER} cannot be run here"):
        held.update_function_code(name, code=code, architecture=OTHER)
    with pytest.raises(errors.ValidationException, match=r"enum value set: \[x86_64, arm64\]"):
        held.update_function_code(name, code=code, architecture="sparc")
    assert held.update_function_code(name, code=code, architecture=own).architecture == own
