"""F2: the methods of both clients for resources: the same names, one to wait for and one that waits."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..model import Resource
from ..store.resources import document_text
from . import answers

T = TypeVar("T")


class AsynchronousResources(ABC):
    """For event loops. `_ask` sends a request and reads its answer."""

    @abstractmethod
    async def _ask(self, method: str, reader: Callable[[Any], T], **arguments: Any) -> T: ...

    async def put_resource(
        self,
        kind: str,
        key: str,
        document: Mapping[str, Any],
        *,
        function: str | None = None,
        revision_id: str | None = None,
        create: bool = False,
    ) -> Resource:
        """Keep a document; see `engine.Engine.put_resource`."""
        arguments = _put(kind, key, document, function, revision_id, create)
        return await self._ask("put_resource", answers.resource, **arguments)

    async def get_resource(self, kind: str, key: str) -> Resource:
        """Raises ResourceNotFoundException."""
        return await self._ask("get_resource", answers.resource, kind=kind, key=key)

    async def list_resources(self, kind: str, *, function: str | None = None) -> list[Resource]:
        """All of a kind by key; only a function's if one is named."""
        return await self._ask("list_resources", answers.resources, kind=kind, function=function)

    async def delete_resource(self, kind: str, key: str, *, revision_id: str | None = None) -> None:
        """Raises ResourceNotFoundException, PreconditionFailedException."""
        await self._ask("delete_resource", answers.nothing, kind=kind, key=key, revision_id=revision_id)


class BlockingResources(ABC):
    """For threads. `_ask` sends a request and reads its answer."""

    @abstractmethod
    def _ask(self, method: str, reader: Callable[[Any], T], **arguments: Any) -> T: ...

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
        """Keep a document; see `engine.Engine.put_resource`."""
        arguments = _put(kind, key, document, function, revision_id, create)
        return self._ask("put_resource", answers.resource, **arguments)

    def get_resource(self, kind: str, key: str) -> Resource:
        """Raises ResourceNotFoundException."""
        return self._ask("get_resource", answers.resource, kind=kind, key=key)

    def list_resources(self, kind: str, *, function: str | None = None) -> list[Resource]:
        """All of a kind by key; only a function's if one is named."""
        return self._ask("list_resources", answers.resources, kind=kind, function=function)

    def delete_resource(self, kind: str, key: str, *, revision_id: str | None = None) -> None:
        """Raises ResourceNotFoundException, PreconditionFailedException."""
        self._ask("delete_resource", answers.nothing, kind=kind, key=key, revision_id=revision_id)


def _put(
    kind: str, key: str, document: Mapping[str, Any], function: str | None, revision_id: str | None, create: bool
) -> dict[str, Any]:
    """The document as the engine would keep it, so that it is refused in the same words."""
    return {
        "kind": kind,
        "key": key,
        "document": json.loads(document_text(document)),
        "function": function,
        "revision_id": revision_id,
        "create": create,
    }
