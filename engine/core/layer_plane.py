"""F3: the methods of `Engine` for published layers, and for what of code can be had back. Rules: `store/layers.py`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .. import config
from ..model import Code, LayerVersion
from ..store.build import Progress
from .control import Control

T = TypeVar("T")


class LayerPlane(ABC):
    """What of an engine is about layers. `_opened` raises where it is not open."""

    _progress: Progress | None

    @abstractmethod
    def _opened(self) -> Control: ...

    @abstractmethod
    async def _in_thread(self, call: Callable[..., Callable[[], T]], *arguments: Any) -> T: ...

    async def publish_layer_version(
        self,
        name: str,
        *,
        code: Code,
        description: str = "",
        compatible_runtimes: Sequence[str] = (),
        compatible_architectures: Sequence[str] = (),
        license_info: str = "",
    ) -> LayerVersion:
        """Publish the next version of a layer, which functions name by its ARN among their `layers`.

        name: letters, digits, `-` and `_`, or the layer's ARN. code: as for `create_function`; it is found under /opt.
        What it is compatible with is told and can be listed by, and nothing is refused for it. Raises
        ValidationException, CodeStorageExceededException, and what `create_function` raises for code.
        """
        control = self._opened()
        said = {
            "description": description,
            "compatible_runtimes": compatible_runtimes,
            "compatible_architectures": compatible_architectures,
            "license_info": license_info,
        }
        return await self._in_thread(control.publish_layer_version, name, code, said, self._progress)

    async def get_layer_version(self, name: str, version: int) -> LayerVersion:
        """Raises ResourceNotFoundException."""
        return self._opened().catalog.get_layer_version(name, version)

    async def list_layers(
        self, *, compatible_runtime: str | None = None, compatible_architecture: str | None = None
    ) -> list[LayerVersion]:
        """The latest version of each layer, by name; of those that say that they are compatible, if asked so."""
        catalog = self._opened().catalog
        return list(
            catalog.list_layers(compatible_runtime=compatible_runtime, compatible_architecture=compatible_architecture)
        )

    async def list_layer_versions(
        self, name: str, *, compatible_runtime: str | None = None, compatible_architecture: str | None = None
    ) -> list[LayerVersion]:
        """All versions of a layer, the newest first; none of a layer that is not there, as in Lambda."""
        catalog = self._opened().catalog
        return list(
            catalog.list_layer_versions(
                name, compatible_runtime=compatible_runtime, compatible_architecture=compatible_architecture
            )
        )

    async def delete_layer_version(self, name: str, version: int) -> None:
        """Delete one version; its number does not come again. Functions that use it keep it; that it is not there is
        no error."""
        await self._in_thread(self._opened().delete_layer_version, name, version)

    async def read_code(self, sha256: str, offset: int = 0, size: int = config.CODE_PART_BYTES) -> bytes:
        """A part of the zip that a function or a layer was made of, from `offset` on; nothing past its end.

        sha256: as in `StoredCode`. size: at most 4,194,304 bytes. Raises ResourceNotFoundException where nothing refers
        to such a zip, ValidationException.
        """
        return await asyncio.to_thread(self._opened().read_code, sha256, offset, size)
