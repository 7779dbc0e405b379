"""F3: the methods of `Engine` for documents that it only keeps. Their rules: `store/resources.py`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..model import Resource
from .control import Control


class ResourcePlane(ABC):
    """What of an engine is about resources. `_opened` raises where it is not open."""

    @abstractmethod
    def _opened(self) -> Control: ...

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
        """Keep a document under `kind` and `key`, in the place of the one that is there, durable as functions are.

        kind: letters, digits, `_` and `-`. document: a mapping that JSON can say, of at most 65,536 bytes; 100,000 are
        kept in all. function: a bare name, or `name:qualifier` of a version or an alias, with which it is to go; None
        is no owner, also where there was one. revision_id: only in the place of this one. create: only where there is
        none. Raises ResourceNotFoundException for a function or a resource that is not there,
        PreconditionFailedException, ResourceConflictException, ValidationException, InvalidParameterValueException,
        RequestTooLargeException.
        """
        put = partial(self._opened().catalog.put_resource, function=function, revision_id=revision_id, create=create)
        return await asyncio.to_thread(put, kind, key, document)

    async def get_resource(self, kind: str, key: str) -> Resource:
        """Raises ResourceNotFoundException."""
        return self._opened().catalog.get_resource(kind, key)

    async def list_resources(self, kind: str, *, function: str | None = None) -> list[Resource]:
        """All of a kind by key; if a function is named, only what is its own, or its versions' and aliases'."""
        return list(self._opened().catalog.list_resources(kind, function=function))

    async def delete_resource(self, kind: str, key: str, *, revision_id: str | None = None) -> None:
        """Raises ResourceNotFoundException, PreconditionFailedException for a revision that is not the current one."""
        await asyncio.to_thread(partial(self._opened().catalog.delete_resource, kind, key, revision_id=revision_id))
