"""F3: the methods of `Engine` that make, change and delete functions and say how they run. What they do: `control`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from .. import config, settings
from ..model import (
    Alias,
    Code,
    EventInvokeConfig,
    FunctionConfiguration,
    FunctionState,
    Network,
    ProvisionedConcurrencyConfig,
    TenantIsolation,
)
from ..store.build import Progress
from ..store.event_invoke import event_settings
from .control import Control

T = TypeVar("T")


class ControlPlane(ABC):
    """What of an engine is not about invoking. `_opened` gives its control, or raises where it is not open."""

    _settings: settings.EngineSettings
    _progress: Progress | None

    @abstractmethod
    def _opened(self) -> Control: ...

    async def _in_thread(self, call: Callable[..., Callable[[], T]], *arguments: Any) -> T:
        """Control-plane work reads and writes files: off the loop, then the rest on it."""
        finish = await asyncio.to_thread(call, *arguments)
        return finish()

    async def create_function(
        self,
        name: str,
        *,
        code: Code,
        handler: str,
        runtime: str | None = None,
        memory_mb: int = config.MEMORY_DEFAULT_MB,
        timeout_s: int = config.TIMEOUT_DEFAULT_S,
        environment: Mapping[str, str] | None = None,
        layers: Sequence[Code] = (),
        description: str = "",
        role: str | None = None,
        ephemeral_storage_mb: int = config.EPHEMERAL_MIN_MB,
        network: Network | None = None,
        snap_start: bool = False,
        dead_letter_target_arn: str | None = None,
        architecture: str | None = None,
        log_format: Literal["Text", "JSON"] = "Text",
        application_log_level: str | None = None,
        system_log_level: str | None = None,
        log_group: str | None = None,
        tenant_isolation: TenantIsolation | None = None,
        kept: Mapping[str, object] | None = None,
    ) -> FunctionConfiguration:
        """Deploy a function.

        code: a folder (with a `requirements.txt` it is built first), a `.zip` path, zip bytes, or a single `.py` file.
        runtime: None is the engine's own Python. network: None is the engine's default. snap_start: published versions
        start from a snapshot. dead_letter_target_arn: the queue or topic that events go to which failed for good.
        architecture: None is this host's own, the only one that is taken. log_format: "Text" or "JSON"; with JSON
        application_log_level (TRACE to FATAL) and system_log_level (DEBUG, INFO or WARN), else INFO. log_group: None is
        Lambda's own for the function. tenant_isolation: "PER_TENANT" has no environment serve two tenants, and each
        invocation name its own; for good. kept: settings that Lambda has and this engine only gives back, JSON by their
        names there; of an update a value of None takes one away.
        Raises ResourceConflictException when the name is taken, and what Lambda raises for values it does not take.
        """
        control = self._opened()
        return await self._in_thread(
            control.create_function,
            name,
            code,
            {
                "handler": handler,
                "runtime": settings.OWN_RUNTIME if runtime is None else runtime,
                "memory_mb": memory_mb,
                "timeout_s": timeout_s,
                "environment": environment or {},
                "description": description,
                "role": role or f"arn:aws:iam::{self._settings.account_id}:role/execution_role",
                "ephemeral_storage_mb": ephemeral_storage_mb,
                "network": network,
                "snap_start": snap_start,
                "dead_letter_target_arn": dead_letter_target_arn,
                "architecture": settings.OWN_ARCHITECTURE if architecture is None else architecture,
                "log_format": log_format,
                "application_log_level": application_log_level,
                "system_log_level": system_log_level,
                "log_group": log_group,
                "tenant_isolation": tenant_isolation,
                "kept": kept or {},
            },
            layers,
            self._progress,
        )

    async def update_function_code(
        self,
        name: str,
        *,
        code: Code,
        architecture: str | None = None,
        revision_id: str | None = None,
        dry_run: bool = False,
    ) -> FunctionConfiguration:
        """Give `$LATEST` new code. Invocations under way finish on the old one.

        revision_id: only if that is the current one. dry_run: check everything, the code too, and change nothing; the
        answer says what `$LATEST` would be.
        """
        return await self._in_thread(
            self._opened().update_function_code, name, code, architecture, revision_id, dry_run, self._progress
        )

    async def update_function_configuration(
        self, name: str, *, revision_id: str | None = None, layers: Sequence[Code] | None = None, **changes: Any
    ) -> FunctionConfiguration:
        """Change settings of `$LATEST`, named as in `create_function`; what is not given stays."""
        return await self._in_thread(
            self._opened().update_function_configuration, name, changes, layers, revision_id, self._progress
        )

    async def delete_function(self, name: str, *, qualifier: str | None = None) -> None:
        """Delete a function, or one published version of it. Invocations under way finish."""
        await self._in_thread(self._opened().delete_function, name, qualifier)

    async def get_function(self, name: str, *, qualifier: str | None = None) -> FunctionConfiguration:
        """The configuration that a name leads to. Raises ResourceNotFoundException."""
        return self._opened().catalog.resolve(name, qualifier)

    async def get_function_state(self, name: str, *, qualifier: str | None = None) -> FunctionState:
        """Whether a version can be invoked as it is meant to be: one with SnapStart is Pending until its snapshot is
        made, then Active, or Failed with the reason (and starts by its init). Others are Active.

        Raises ResourceNotFoundException.
        """
        return self._opened().function_state(name, qualifier)

    async def list_functions(self) -> list[FunctionConfiguration]:
        """`$LATEST` of every function, by name."""
        return list(self._opened().catalog.list_functions())

    async def list_versions(self, name: str) -> list[FunctionConfiguration]:
        """`$LATEST`, then the published versions in order."""
        return list(self._opened().catalog.list_versions(name))

    async def publish_version(
        self,
        name: str,
        *,
        description: str | None = None,
        code_sha256: str | None = None,
        revision_id: str | None = None,
    ) -> FunctionConfiguration:
        """Freeze `$LATEST` under the next number; only if it has this code and this revision, where they are given.

        Raises InvalidParameterValueException for other code, PreconditionFailedException for another revision.
        """
        return await self._in_thread(self._opened().publish_version, name, description, code_sha256, revision_id)

    async def create_alias(
        self,
        name: str,
        alias: str,
        function_version: str,
        *,
        description: str = "",
        routing: Mapping[str, float] | None = None,
    ) -> Alias:
        """Name a version.

        routing: {"2": 0.1} sends a tenth of the invocations to version 2. Events go by their request id, so that one
        that is tried again stays with its version.
        """
        return await self._in_thread(self._opened().create_alias, name, alias, function_version, description, routing)

    async def update_alias(
        self,
        name: str,
        alias: str,
        *,
        function_version: str | None = None,
        description: str | None = None,
        routing: Mapping[str, float] | None = None,
        revision_id: str | None = None,
    ) -> Alias:
        """Have an alias name another version; what is not given stays. routing: {} sends all to the one version."""
        return await self._in_thread(
            self._opened().update_alias, name, alias, function_version, description, routing, revision_id
        )

    async def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias; that it is not there is no error, as in Lambda."""
        await self._in_thread(self._opened().delete_alias, name, alias)

    async def get_alias(self, name: str, alias: str) -> Alias:
        """Raises ResourceNotFoundException."""
        return self._opened().catalog.get_alias(name, alias)

    async def list_aliases(self, name: str, *, function_version: str | None = None) -> list[Alias]:
        """By name; only those of `function_version` if it is given."""
        return list(self._opened().catalog.list_aliases(name, function_version=function_version))

    async def put_function_concurrency(self, name: str, reserved: int) -> None:
        """Reserve concurrency of the account's for one function, which is also the most it gets; 0 stops it."""
        await self._in_thread(self._opened().put_function_concurrency, name, reserved)

    async def get_function_concurrency(self, name: str) -> int | None:
        """What is reserved for a function; None when it shares the unreserved."""
        return self._opened().catalog.get_function_concurrency(name)

    async def delete_function_concurrency(self, name: str) -> None:
        """Give a function's reservation back."""
        await self._in_thread(self._opened().delete_function_concurrency, name)

    async def put_provisioned_concurrency_config(
        self, name: str, qualifier: str, provisioned: int
    ) -> ProvisionedConcurrencyConfig:
        """Keep so many environments of a published version, or of an alias's version, initialised and ready.

        Answers at once; `status` says how far it is. They are set aside of the function's concurrency or the account's;
        invocations beyond them run on demand. Raises InvalidParameterValueException, ResourceConflictException,
        ResourceNotFoundException as Lambda does.
        """
        return await self._in_thread(self._opened().put_provisioned, name, qualifier, provisioned)

    async def get_provisioned_concurrency_config(self, name: str, qualifier: str) -> ProvisionedConcurrencyConfig:
        """Raises ProvisionedConcurrencyConfigNotFoundException where nothing was asked for."""
        return self._opened().provisioned.told(name, qualifier)

    async def list_provisioned_concurrency_configs(self, name: str) -> list[ProvisionedConcurrencyConfig]:
        """Of every version and alias of a function that has one."""
        return self._opened().provisioned.all_told(name)

    async def delete_provisioned_concurrency_config(self, name: str, qualifier: str) -> None:
        """Keep none ready any more; invocations under way finish. That there was none is no error."""
        await self._in_thread(self._opened().delete_provisioned, name, qualifier)

    async def put_function_event_invoke_config(
        self,
        name: str,
        *,
        qualifier: str | None = None,
        maximum_retry_attempts: int | None = None,
        maximum_event_age_s: int | None = None,
        on_success: str | None = None,
        on_failure: str | None = None,
    ) -> EventInvokeConfig:
        """Say what happens to events of a version, an alias or (None) `$LATEST`; what is not given has its default.

        maximum_retry_attempts: 0 to 2, which is the default. maximum_event_age_s: 60 to 21,600, which is the default.
        on_success, on_failure: ARNs of a queue, a topic, an event bus or another function here that is told of events
        that are done, or failed for good; of the latter also a bucket. Raises InvalidParameterValueException,
        ResourceNotFoundException, ValidationException as Lambda does.
        """
        said = event_settings(maximum_retry_attempts, maximum_event_age_s, on_success, on_failure)
        return await self._in_thread(self._opened().put_event_invoke, name, qualifier, said)

    async def update_function_event_invoke_config(
        self,
        name: str,
        *,
        qualifier: str | None = None,
        maximum_retry_attempts: int | None = None,
        maximum_event_age_s: int | None = None,
        on_success: str | None = None,
        on_failure: str | None = None,
    ) -> EventInvokeConfig:
        """Change some of it; what is not given stays, and a destination of "" is none any more."""
        said = event_settings(maximum_retry_attempts, maximum_event_age_s, on_success, on_failure)
        return await self._in_thread(self._opened().update_event_invoke, name, qualifier, said)

    async def get_function_event_invoke_config(self, name: str, *, qualifier: str | None = None) -> EventInvokeConfig:
        """What was said of a version, an alias or (None) `$LATEST`. Raises ResourceNotFoundException."""
        return self._opened().catalog.get_event_invoke_config(name, qualifier)

    async def list_function_event_invoke_configs(self, name: str) -> list[EventInvokeConfig]:
        """Of `$LATEST`, every version and every alias of a function that has one."""
        return list(self._opened().catalog.list_event_invoke_configs(name))

    async def delete_function_event_invoke_config(self, name: str, *, qualifier: str | None = None) -> None:
        """Have the defaults again. Raises ResourceNotFoundException, also where there is none."""
        await self._in_thread(self._opened().delete_event_invoke, name, qualifier)
