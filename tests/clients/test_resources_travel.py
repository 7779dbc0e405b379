"""Resources over a socket, by both clients: what goes in comes back, and refusals are the engine's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

import pytest
from faces import Face

from engine import errors
from engine.model import Resource


@pytest.fixture
def name(client: Face, source: Path) -> Iterator[str]:
    """A function, deleted afterwards where the test has not."""
    made = f"f-{uuid4().hex[:8]}"
    client.create_function(made, code=source, handler="app.handler")
    yield made
    if made in [each.function_name for each in client.list_functions()]:
        client.delete_function(made)


def test_a_document_travels_both_ways(client: Face, name: str) -> None:
    document = {"Statement": [{"Sid": "ü", "n": [1, 2.5, None, True]}], "empty": {}}
    made = client.put_resource("policy", name, MappingProxyType(document), function=name, create=True)
    assert isinstance(made, Resource)
    assert (made.kind, made.key, made.document, made.function) == ("policy", name, document, name)
    assert made.last_modified_ms > 0
    assert client.get_resource("policy", name) == made
    assert made in client.list_resources("policy")
    assert client.list_resources("policy", function=name) == [made]
    client.delete_resource("policy", name, revision_id=made.revision_id)
    assert client.list_resources("policy", function=name) == []


def test_a_resource_goes_with_its_function(client: Face, name: str) -> None:
    client.put_resource("url", name, {}, function=name)
    client.delete_function(name)
    with pytest.raises(errors.ResourceNotFoundException, match="There is no url"):
        client.get_resource("url", name)


def test_refusals_are_the_engines_own(client: Face, name: str) -> None:
    made = client.put_resource("tags", name, {}, function=name)
    with pytest.raises(errors.ResourceConflictException, match="There is a tags"):
        client.put_resource("tags", name, {}, create=True)
    client.put_resource("tags", name, {}, function=name)
    with pytest.raises(errors.PreconditionFailedException, match="is not that of the tags"):
        client.delete_resource("tags", name, revision_id=made.revision_id)
    with pytest.raises(errors.ValidationException, match="at 'kind'"):
        client.list_resources("Tags")
    with pytest.raises(errors.InvalidParameterValueException, match="what JSON cannot say: bytes"):
        client.put_resource("tags", name, {"a": b"x"})
    with pytest.raises(errors.RequestTooLargeException, match="at most 65536"):
        client.put_resource("tags", name, {"a": "x" * 70_000})
