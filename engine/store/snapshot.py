"""F1: the catalog's content at one moment, immutable, and the questions that can be asked of it. Changes: `catalog`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, TypeAlias

from ..errors import ResourceNotFoundException
from ..model import Alias, EventInvokeConfig, FunctionConfiguration, LayerVersion, ProvisionedRequest, Resource
from ..validation import merge_qualifier, split_function_reference

LATEST: Final = "$LATEST"
RESOLVED_MAX: Final = 4_096  # references remembered by one snapshot; at the bound all are forgotten


@dataclass(frozen=True, slots=True)
class FunctionRecord:
    """One function with everything under its name.

    `next_version` is the number the next published version gets; `published` is what `$LATEST` was when the last one
    was published. `provisioned` by version number or alias, `event_invoke` by these or `$LATEST`.
    """

    latest: FunctionConfiguration
    versions: Mapping[str, FunctionConfiguration] = field(default_factory=lambda: MappingProxyType({}))
    aliases: Mapping[str, Alias] = field(default_factory=lambda: MappingProxyType({}))
    next_version: int = 1
    reserved_concurrency: int | None = None
    published: FunctionConfiguration | None = None
    provisioned: Mapping[str, ProvisionedRequest] = field(default_factory=lambda: MappingProxyType({}))
    event_invoke: Mapping[str, EventInvokeConfig] = field(default_factory=lambda: MappingProxyType({}))

    def all_configurations(self) -> tuple[FunctionConfiguration, ...]:
        """`$LATEST`, then the published versions in order."""
        return self.latest, *self.versions.values()

    def provisioned_versions(self) -> dict[str, int]:
        """How much concurrency is provisioned, by version: for each there is one request at most."""
        asked = self.provisioned.items()
        shares = (share for qualifier, request in asked for share in self.shares_of(qualifier, request.requested))
        return {version: units for version, units in shares if units}

    def shares_of(self, qualifier: str, units: int) -> tuple[tuple[str, int], ...]:
        """What of so many units goes to which version: an alias with weights deals them out by these."""
        alias = self.aliases.get(qualifier)
        if alias is None:
            return ((qualifier, units),)
        others = tuple((version, round(units * weight)) for version, weight in alias.routing.items())
        return (alias.function_version, units - sum(share for _, share in others)), *others

    def versions_of(self, qualifier: str) -> tuple[str, ...]:
        """The versions that an alias leads to; of anything else itself."""
        alias = self.aliases.get(qualifier)
        return (qualifier,) if alias is None else alias.versions

    def version_of(self, qualifier: str) -> str:
        """The version that an alias names; of anything else itself."""
        alias = self.aliases.get(qualifier)
        return qualifier if alias is None else alias.function_version

    def configuration(self, qualifier: str | None) -> FunctionConfiguration | None:
        """By version number, `$LATEST` (or None) or alias; None if there is none."""
        if qualifier is None or qualifier == LATEST:
            return self.latest
        version = self.version_of(qualifier)
        return self.latest if version == LATEST else self.versions.get(version)


@dataclass(frozen=True, slots=True)
class ResourceRecord:
    """A document as it is kept: JSON text, which nobody can change by reading it."""

    kind: str
    key: str
    text: str
    function: str | None
    revision_id: str
    last_modified_ms: int

    def resource(self) -> Resource:
        document = MappingProxyType(json.loads(self.text))
        return Resource(self.kind, self.key, document, self.function, self.revision_id, self.last_modified_ms)


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """The versions of one layer by number, and the number the next one gets: none is given out twice."""

    versions: Mapping[int, LayerVersion] = field(default_factory=lambda: MappingProxyType({}))
    next_version: int = 1


Layers: TypeAlias = Mapping[str, LayerRecord]  # by bare name; without a version, the longest so first
Resources: TypeAlias = Mapping[str, Mapping[str, ResourceRecord]]  # by kind, then by key


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All functions of one region and account, and what else is kept.

    `_resolved` is a memo, the one thing in here that grows: what a reference led to in *these* functions. It dies with
    them, so it is never stale, and threads that race on it write equal values.
    """

    region: str
    account_id: str
    functions: Mapping[str, FunctionRecord] = field(default_factory=lambda: MappingProxyType({}))
    resources: Resources = field(default_factory=lambda: MappingProxyType({}))
    layers: Layers = field(default_factory=lambda: MappingProxyType({}))
    _resolved: dict[str | tuple[str, str], FunctionConfiguration] = field(default_factory=dict, repr=False)

    def resolve(self, reference: str, qualifier: str | None = None) -> FunctionConfiguration:
        """The configuration that `reference`, with `qualifier`, leads to: one dict look-up when it was asked before.

        Raises `ResourceNotFoundException`, and what `validation` raises for a malformed reference or a qualifier that
        contradicts it.
        """
        key = reference if qualifier is None else (reference, qualifier)
        found = self._resolved.get(key)
        if found is None:
            name, merged = self.names(reference, qualifier)
            found = self.record(name, merged).configuration(merged)
            if found is None:
                raise self.not_found(name, merged)
            if len(self._resolved) >= RESOLVED_MAX:
                self._resolved.clear()
            self._resolved[key] = found
        return found

    def names(self, reference: str, qualifier: str | None = None) -> tuple[str, str | None]:
        """Name and qualifier of a reference to this region and account; `ResourceNotFoundException` for another's."""
        parsed = split_function_reference(reference)
        merged = merge_qualifier(parsed.qualifier, qualifier)
        if parsed.region not in (None, self.region):
            raise ResourceNotFoundException(
                f"Functions from '{parsed.region}' are not reachable in this region ('{self.region}')"
            )
        if parsed.account_id not in (None, self.account_id):
            raise ResourceNotFoundException(
                f"Function not found: {arn(self.region, str(parsed.account_id), parsed.name, merged)}"
            )
        return parsed.name, merged

    def record(self, name: str, qualifier: str | None = None) -> FunctionRecord:
        """Everything under a bare name; the refusal names `qualifier` too."""
        record = self.functions.get(name)
        if record is None:
            raise self.not_found(name, qualifier)
        return record

    def with_functions(self, functions: Mapping[str, FunctionRecord], resources: Resources) -> Snapshot:
        """With other functions, of which nothing is remembered yet."""
        return replace(self, functions=functions, resources=resources, _resolved={})

    def with_resource(self, kind: str, key: str, record: ResourceRecord | None) -> Snapshot:
        """With this one in the place of what was there; None: with nothing there."""
        there = dict(self.resources.get(kind, {}))
        there.pop(key, None)
        if record is not None:
            there[key] = record
        kinds = dict(self.resources)
        kinds.pop(kind, None)
        if there:
            kinds[kind] = MappingProxyType(there)
        return replace(self, resources=MappingProxyType(kinds))

    def code_bytes(self) -> int:
        """What all zips take together as Lambda counts it: those of each version of each function and layer."""
        functions = sum(each.code.size for record in self.functions.values() for each in record.all_configurations())
        layers = sum(each.code.size for record in self.layers.values() for each in record.versions.values())
        return functions + layers

    def arn(self, name: str, qualifier: str | None = None) -> str:
        return arn(self.region, self.account_id, name, qualifier)

    def not_found(self, name: str, qualifier: str | None) -> ResourceNotFoundException:
        return ResourceNotFoundException(f"Function not found: {self.arn(name, qualifier)}")


def arn(region: str, account_id: str, name: str, qualifier: str | None = None) -> str:
    """A function's ARN, qualified if `qualifier` is given."""
    unqualified = f"arn:aws:lambda:{region}:{account_id}:function:{name}"
    return unqualified if qualifier is None else f"{unqualified}:{qualifier}"
