"""F1: the contract between the catalog and whatever keeps it. The file that keeps it on this host is `catalog_db`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeAlias

from .snapshot import FunctionRecord, LayerRecord, Layers, ResourceRecord, Resources


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of one function; None on either side: it was not there, or is not any more.

    What is kept for a function goes with it.

    `next_version` is remembered for a deleted function, `forgotten` names one for which it no longer is.
    """

    name: str
    before: FunctionRecord | None
    after: FunctionRecord | None
    next_version: int | None = None
    forgotten: str | None = None


@dataclass(frozen=True, slots=True)
class ResourceEdit:
    """One resource as it is from now on; None: it is no more."""

    kind: str
    key: str
    after: ResourceRecord | None

    @property
    def name(self) -> str:
        return f"{self.kind} {self.key}"


@dataclass(frozen=True, slots=True)
class LayerEdit:
    """One change of the versions of one layer; `forgotten` names another of which nothing is remembered any more."""

    layer: str
    before: LayerRecord
    after: LayerRecord
    forgotten: str | None = None

    @property
    def name(self) -> str:
        return f"layer {self.layer}"


AnyEdit: TypeAlias = Edit | ResourceEdit | LayerEdit


class Saved(NamedTuple):
    """What a catalog was when it was written last; `next_versions` in the order of deletion."""

    functions: Mapping[str, FunctionRecord]
    next_versions: dict[str, int]
    resources: Resources = MappingProxyType({})
    layers: Layers = MappingProxyType({})


class Persistence(Protocol):
    """Keeps a catalog. One writer at a time: the catalog calls under its lock."""

    def load(self) -> Saved:
        """What was written last. Raises `DataFolderError`."""

    def write(self, edit: AnyEdit) -> None:
        """Return once the edit will be found by every later `load`. Raises `ServiceException`: it was not written."""
