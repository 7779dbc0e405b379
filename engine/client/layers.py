"""F2: the methods of both clients for layers, code and the account: one to wait for and one that waits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .. import config
from ..model import AccountSettings, Code, LayerVersion, RecursiveLoop
from . import answers

T = TypeVar("T")


class AsynchronousLayers(ABC):
    """For event loops. `_ask` sends a request and reads its answer, `_send_code` one with code beside it."""

    @abstractmethod
    async def _ask(self, method: str, reader: Callable[[Any], T], **arguments: Any) -> T: ...

    @abstractmethod
    async def _send_code(
        self, method: str, reader: Callable[[Any], T], arguments: dict[str, Any], code: Code | None
    ) -> T: ...

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
        """Publish the next version of a layer; see `engine.Engine.publish_layer_version`. Code is made a zip here."""
        arguments = {
            "name": name,
            "description": description,
            "compatible_runtimes": list(compatible_runtimes),
            "compatible_architectures": list(compatible_architectures),
            "license_info": license_info,
        }
        return await self._send_code("publish_layer_version", answers.layer_version, arguments, code)

    async def get_layer_version(self, name: str, version: int) -> LayerVersion:
        """Raises ResourceNotFoundException."""
        return await self._ask("get_layer_version", answers.layer_version, name=name, version=version)

    async def list_layers(
        self, *, compatible_runtime: str | None = None, compatible_architecture: str | None = None
    ) -> list[LayerVersion]:
        """The latest version of each layer that says that it is compatible, by name."""
        arguments = {"compatible_runtime": compatible_runtime, "compatible_architecture": compatible_architecture}
        return await self._ask("list_layers", answers.layers, **arguments)

    async def list_layer_versions(
        self, name: str, *, compatible_runtime: str | None = None, compatible_architecture: str | None = None
    ) -> list[LayerVersion]:
        """All versions of a layer, the newest first."""
        arguments = {"compatible_runtime": compatible_runtime, "compatible_architecture": compatible_architecture}
        return await self._ask("list_layer_versions", answers.layer_versions, name=name, **arguments)

    async def delete_layer_version(self, name: str, version: int) -> None:
        """Functions that use it keep it."""
        await self._ask("delete_layer_version", answers.nothing, name=name, version=version)

    async def read_code(self, sha256: str, offset: int = 0, size: int = config.CODE_PART_BYTES) -> bytes:
        """A part of a function's or a layer's zip; see `engine.Engine.read_code`."""
        return await self._ask("read_code", answers.data, sha256=sha256, offset=offset, size=size)

    async def account_settings(self) -> AccountSettings:
        """What the account may have and has."""
        return await self._ask("account_settings", answers.account_settings)

    async def put_function_recursion_config(self, name: str, recursive_loop: RecursiveLoop) -> RecursiveLoop:
        """Whether a function that is called by itself is stopped."""
        arguments = {"name": name, "recursive_loop": recursive_loop}
        return await self._ask("put_function_recursion_config", answers.recursive_loop, **arguments)

    async def get_function_recursion_config(self, name: str) -> RecursiveLoop:
        """What was put, else "Terminate"."""
        return await self._ask("get_function_recursion_config", answers.recursive_loop, name=name)


class BlockingLayers(ABC):
    """For threads. `_ask` sends a request and reads its answer, `_send_code` one with code beside it."""

    @abstractmethod
    def _ask(self, method: str, reader: Callable[[Any], T], **arguments: Any) -> T: ...

    @abstractmethod
    def _send_code(
        self, method: str, reader: Callable[[Any], T], arguments: dict[str, Any], code: Code | None
    ) -> T: ...

    def publish_layer_version(
        self,
        name: str,
        *,
        code: Code,
        description: str = "",
        compatible_runtimes: Sequence[str] = (),
        compatible_architectures: Sequence[str] = (),
        license_info: str = "",
    ) -> LayerVersion:
        """Publish the next version of a layer; see `engine.Engine.publish_layer_version`. Code is made a zip here."""
        arguments = {
            "name": name,
            "description": description,
            "compatible_runtimes": list(compatible_runtimes),
            "compatible_architectures": list(compatible_architectures),
            "license_info": license_info,
        }
        return self._send_code("publish_layer_version", answers.layer_version, arguments, code)

    def get_layer_version(self, name: str, version: int) -> LayerVersion:
        """Raises ResourceNotFoundException."""
        return self._ask("get_layer_version", answers.layer_version, name=name, version=version)

    def list_layers(
        self, *, compatible_runtime: str | None = None, compatible_architecture: str | None = None
    ) -> list[LayerVersion]:
        """The latest version of each layer that says that it is compatible, by name."""
        arguments = {"compatible_runtime": compatible_runtime, "compatible_architecture": compatible_architecture}
        return self._ask("list_layers", answers.layers, **arguments)

    def list_layer_versions(
        self, name: str, *, compatible_runtime: str | None = None, compatible_architecture: str | None = None
    ) -> list[LayerVersion]:
        """All versions of a layer, the newest first."""
        arguments = {"compatible_runtime": compatible_runtime, "compatible_architecture": compatible_architecture}
        return self._ask("list_layer_versions", answers.layer_versions, name=name, **arguments)

    def delete_layer_version(self, name: str, version: int) -> None:
        """Functions that use it keep it."""
        self._ask("delete_layer_version", answers.nothing, name=name, version=version)

    def read_code(self, sha256: str, offset: int = 0, size: int = config.CODE_PART_BYTES) -> bytes:
        """A part of a function's or a layer's zip; see `engine.Engine.read_code`."""
        return self._ask("read_code", answers.data, sha256=sha256, offset=offset, size=size)

    def account_settings(self) -> AccountSettings:
        """What the account may have and has."""
        return self._ask("account_settings", answers.account_settings)

    def put_function_recursion_config(self, name: str, recursive_loop: RecursiveLoop) -> RecursiveLoop:
        """Whether a function that is called by itself is stopped."""
        arguments = {"name": name, "recursive_loop": recursive_loop}
        return self._ask("put_function_recursion_config", answers.recursive_loop, **arguments)

    def get_function_recursion_config(self, name: str) -> RecursiveLoop:
        """What was put, else "Terminate"."""
        return self._ask("get_function_recursion_config", answers.recursive_loop, name=name)
