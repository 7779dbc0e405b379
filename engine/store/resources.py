"""F1: documents of the control plane that the engine only keeps: policies, tags, what doors need to remember.

A document is kept as JSON text and read anew for each reader, so that nobody has a part of the catalog in hand. One
that belongs to a function, a version or an alias goes with it. Kinds with a dot in their name are the engine's own.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

from ..errors import (
    InvalidParameterValueException,
    PreconditionFailedException,
    RequestTooLargeException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from ..model import RecursiveLoop, Resource
from ..validation import choice_problem, refuse, shown, text_problem
from .persistence import ResourceEdit
from .snapshot import FunctionRecord, ResourceRecord, Resources, Snapshot
from .writer import CatalogWriter

RESOURCES_MAX: Final = 100_000  # of all kinds together
DOCUMENT_MAX_BYTES: Final = 65_536  # as JSON in UTF-8
DOCUMENT_DEPTH_MAX: Final = 16  # of mappings and sequences within each other
KIND_PATTERN: Final = r"[a-z][a-z0-9_-]*"
KIND_MAX: Final = 64
KEY_MAX: Final = 512
RECURSION: Final = "engine.recursion"  # by function
RECURSIVE_LOOPS: Final = ("Allow", "Terminate")
_NUMBERS: Final = range(-(2**63), 2**64)  # what MessagePack can say


class ResourceShelf(CatalogWriter):
    """See `catalog.Catalog`, of which this is a part."""

    def put_resource(
        self,
        kind: str,
        key: str,
        document: Mapping[str, Any],
        *,
        function: str | None = None,
        revision_id: str | None = None,
        create: bool = False,
    ) -> Resource:
        """Keep a document, in the place of the one that is there, whose owner it does not inherit.

        Raises `ResourceNotFoundException` for a function that is not there, or a `revision_id` of nothing;
        `PreconditionFailedException`; `ResourceConflictException` where `create` finds one; `ValidationException`,
        `InvalidParameterValueException` and `RequestTooLargeException` for what is not kept.
        """
        _check_names(kind, key, function)
        return self._put_resource(kind, key, document, function=function, revision_id=revision_id, create=create)

    def get_resource(self, kind: str, key: str) -> Resource:
        """Raises `ResourceNotFoundException`."""
        _check_names(kind, key, None)
        return _found(self._snapshot, kind, key).resource()

    def list_resources(self, kind: str, *, function: str | None = None) -> tuple[Resource, ...]:
        """All of a kind by key; if a function is named, only what is its own or its versions' and aliases'."""
        _check_names(kind, None, function)
        there = self._snapshot.resources.get(kind, {})
        found = (there[key] for key in sorted(there))
        return tuple(each.resource() for each in found if function is None or _belongs_to(each.function, function))

    def delete_resource(self, kind: str, key: str, *, revision_id: str | None = None) -> None:
        """Raises `ResourceNotFoundException`, `PreconditionFailedException`."""
        _check_names(kind, key, None)
        with self._lock:
            _check_revision(_found(self._snapshot, kind, key), revision_id)
            self._write(ResourceEdit(kind, key, None), self._snapshot.with_resource(kind, key, None))

    def put_recursion_config(self, name: str, recursive_loop: RecursiveLoop) -> RecursiveLoop:
        """Whether a function that is called by itself is stopped. Raises `ResourceNotFoundException`."""
        refuse(choice_problem(recursive_loop, "recursiveLoop", RECURSIVE_LOOPS))
        self._put_resource(RECURSION, name, {"RecursiveLoop": recursive_loop}, function=name)
        return recursive_loop

    def get_recursion_config(self, name: str) -> RecursiveLoop:
        """What was put, else "Terminate". Raises `ResourceNotFoundException`."""
        self._snapshot.record(name)
        return "Allow" if self.allows_recursion(name) else "Terminate"

    def allows_recursion(self, name: str) -> bool:
        """Of a bare name, which need not be there."""
        said = self._snapshot.resources.get(RECURSION, {}).get(name)
        return said is not None and said.resource().document.get("RecursiveLoop") == "Allow"

    def _put_resource(
        self,
        kind: str,
        key: str,
        document: Mapping[str, Any],
        *,
        function: str | None = None,
        revision_id: str | None = None,
        create: bool = False,
    ) -> Resource:
        """For the engine's own kinds too."""
        text = document_text(document)
        with self._lock:
            snapshot = self._snapshot
            if function is not None:
                _check_owner(snapshot, function)
            before = snapshot.resources.get(kind, {}).get(key)
            if create and before is not None:
                raise ResourceConflictException(f"There is a {kind} {shown(key)!r} already")
            if revision_id is not None:
                _check_revision(_found(snapshot, kind, key), revision_id)
            if before is None:
                _check_room(snapshot)
            made = ResourceRecord(kind, key, text, function, str(uuid.uuid4()), self._clock.wall_ms())
            self._write(ResourceEdit(kind, key, made), snapshot.with_resource(kind, key, made))
        return made.resource()


def without_owners(resources: Resources, gone: Collection[str]) -> Resources:
    """All but those that belong to one of these functions, versions and aliases."""
    if not gone:
        return resources
    left = {
        kind: {key: each for key, each in there.items() if not any(_belongs_to(each.function, one) for one in gone)}
        for kind, there in resources.items()
    }
    return MappingProxyType({kind: MappingProxyType(there) for kind, there in left.items() if there})


def owners_gone(name: str, before: FunctionRecord | None, after: FunctionRecord | None) -> list[str]:
    """What can own documents before a change of a function and not after it: the function, or `name:qualifier` each."""
    if before is None:
        return []
    if after is None:
        return [name]
    qualifiers = {*(before.versions.keys() - after.versions.keys()), *(before.aliases.keys() - after.aliases.keys())}
    return [f"{name}:{qualifier}" for qualifier in sorted(qualifiers)]


def _belongs_to(owner: str | None, function: str) -> bool:
    return owner is not None and (owner == function or owner.startswith(f"{function}:"))


def _check_owner(snapshot: Snapshot, function: str) -> None:
    name, _, qualifier = function.partition(":")
    if snapshot.record(name, qualifier or None).configuration(qualifier or None) is None:
        raise snapshot.not_found(name, qualifier)


def document_text(document: Mapping[str, Any]) -> str:
    """A document as JSON. Raises `InvalidParameterValueException` for what is no JSON, `RequestTooLargeException`."""
    if not isinstance(document, Mapping):
        raise InvalidParameterValueException(f"document is a mapping, not {type(document).__name__}")
    text = json.dumps(_plain(document, 1), ensure_ascii=False, separators=(",", ":"))
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidParameterValueException(f"document has text that is not Unicode: {error}") from error
    if size > DOCUMENT_MAX_BYTES:
        raise RequestTooLargeException(f"document has {size} bytes as JSON; at most {DOCUMENT_MAX_BYTES} are kept")
    return text


def _plain(value: object, depth: int) -> Any:
    """Of dict, list, str, bool, int, float and None only."""
    if isinstance(value, Mapping | list | tuple):
        if depth > DOCUMENT_DEPTH_MAX:
            raise InvalidParameterValueException(f"document is nested deeper than {DOCUMENT_DEPTH_MAX}")
        if not isinstance(value, Mapping):
            return [_plain(each, depth + 1) for each in value]
        odd = next((key for key in value if not isinstance(key, str)), None)
        if odd is not None:
            raise InvalidParameterValueException(f"document has a key that is no text: {shown(odd)}")
        return {key: _plain(each, depth + 1) for key, each in value.items()}
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int) and value in _NUMBERS:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise InvalidParameterValueException(f"document has what JSON cannot say: {type(value).__name__} {shown(value)}")


def _check_names(kind: object, key: object, function: object) -> None:
    refuse(
        text_problem(kind, "kind", KIND_PATTERN, KIND_MAX),
        None if key is None else text_problem(key, "key", None, KEY_MAX, least=1),
        None if function is None else text_problem(function, "function", None, KEY_MAX, least=1),
    )


def _found(snapshot: Snapshot, kind: str, key: str) -> ResourceRecord:
    found = snapshot.resources.get(kind, {}).get(key)
    if found is None:
        raise ResourceNotFoundException(f"There is no {kind} {shown(key)!r}")
    return found


def _check_revision(found: ResourceRecord, revision_id: str | None) -> None:
    if revision_id not in (None, found.revision_id):
        raise PreconditionFailedException(
            f"revision_id={shown(revision_id)} is not that of the {found.kind} {shown(found.key)!r}, which is "
            f"{found.revision_id}: get it again"
        )


def _check_room(snapshot: Snapshot) -> None:
    there = sum(map(len, snapshot.resources.values()))
    if there >= RESOURCES_MAX:
        raise InvalidParameterValueException(f"{there} resources are kept, which is the most: delete some")
