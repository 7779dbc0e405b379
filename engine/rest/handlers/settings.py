"""F5: from a request's members to the engine's settings of a function. Lambda's defaults are the engine's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...errors import InvalidParameterValueException

# Members whose values the engine takes as they are.
PLAIN: Final[Mapping[str, str]] = {
    "Runtime": "runtime",
    "Handler": "handler",
    "Role": "role",
    "Description": "description",
    "Timeout": "timeout_s",
    "MemorySize": "memory_mb",
}
LOGGING: Final[Mapping[str, str]] = {
    "LogFormat": "log_format",
    "ApplicationLogLevel": "application_log_level",
    "SystemLogLevel": "system_log_level",
    "LogGroup": "log_group",
}
# What the engine stores for Lambda's tools and makes no use of; an empty value takes it away.
KEPT: Final = ("VpcConfig", "KMSKeyArn", "TracingConfig", "FileSystemConfigs")
DURABLE: Final = "durable executions are not run by this engine"
CAPACITY: Final = "there are no managed instances here: functions run on this host"
REFUSED: Final[Mapping[str, str]] = {
    "ImageConfig": "this engine runs no container images",
    "CapacityProviderConfig": CAPACITY,
    "DurableConfig": DURABLE,
    "PublishTo": "functions are published as numbered versions only",
}


def settings_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `create_function`: what is not given is left to its default."""
    told = changes_of(given)
    if "TenancyConfig" in given:
        told["tenant_isolation"] = given["TenancyConfig"]["TenantIsolationMode"]
    architecture = architecture_of(given)
    return told if architecture is None else {**told, "architecture": architecture}


def architecture_of(given: Mapping[str, Any]) -> str | None:
    """The one of `Architectures`, which is a list with a place for one."""
    architectures = given.get("Architectures")
    return architectures[0] if architectures else None


def changes_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `update_function_configuration`: what is not given stays.

    Raises InvalidParameterValueException for what this engine cannot give.
    """
    for member, why in REFUSED.items():
        if given.get(member):
            raise InvalidParameterValueException(f"{member} is refused: {why}")
    told = {setting: given[member] for member, setting in PLAIN.items() if member in given}
    if "Environment" in given:
        told["environment"] = given["Environment"].get("Variables", {})
    if "EphemeralStorage" in given:
        told["ephemeral_storage_mb"] = given["EphemeralStorage"]["Size"]
    if "SnapStart" in given:
        told["snap_start"] = given["SnapStart"].get("ApplyOn") == "PublishedVersions"
    if "Layers" in given:
        told["layers"] = [_layer_arn(arn) for arn in given["Layers"]]
    if "DeadLetterConfig" in given:
        told["dead_letter_target_arn"] = given["DeadLetterConfig"].get("TargetArn", "")
    logging = given.get("LoggingConfig", {})
    told |= {setting: logging[member] for member, setting in LOGGING.items() if member in logging}
    kept = {member: given[member] or None for member in KEPT if member in given}
    return {**told, "kept": kept} if kept else told


def _layer_arn(arn: str) -> str:
    """Raises InvalidParameterValueException for what the engine would take for code: a path of this host, say."""
    if not arn.startswith("arn:"):
        raise InvalidParameterValueException(f"Layers has {arn!r}, which is no ARN of a layer version")
    return arn
