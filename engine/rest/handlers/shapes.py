"""F5: the engine's values as members of Lambda's shapes."""

from __future__ import annotations

import hashlib
import sys
from typing import Any, Final

from ...model import EventInvokeConfig, FunctionConfiguration, FunctionState, ProvisionedConcurrencyConfig
from ...store.snapshot import LATEST

ACTIVE: Final = FunctionState()


# What the service leaves out of lists: https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html
NOT_IN_LISTS: Final = ("State", "StateReason", "StateReasonCode", "LastUpdateStatus", "RuntimeVersionConfig")


def configuration(function: FunctionConfiguration, *, qualified: bool, state: FunctionState = ACTIVE) -> dict[str, Any]:
    """FunctionConfiguration with the fields and defaults that the service gives.

    qualified: whether the ARN has `:$LATEST`, which it has where the caller named it. state: what is Active by itself
    is everything but a version that starts from snapshots.
    """
    arn = function.function_arn
    if qualified and function.version == LATEST:
        arn = f"{arn}:{LATEST}"
    dead_letter, tenancy = function.dead_letter_target_arn, function.tenant_isolation
    return {
        "FunctionName": function.function_name,
        "FunctionArn": arn,
        "Runtime": function.runtime,
        "Role": function.role,
        "Handler": function.handler,
        "CodeSize": function.code.size,
        "Description": function.description,
        "Timeout": function.timeout_s,
        "MemorySize": function.memory_mb,
        "LastModified": function.last_modified,
        "CodeSha256": function.code.sha256,
        "Version": function.version,
        "Environment": {"Variables": dict(function.environment)} if function.environment else None,
        "DeadLetterConfig": None if dead_letter is None else {"TargetArn": dead_letter},
        "TracingConfig": function.kept.get("TracingConfig", {"Mode": "PassThrough"}),
        "VpcConfig": function.kept.get("VpcConfig"),
        "KMSKeyArn": function.kept.get("KMSKeyArn"),
        "FileSystemConfigs": function.kept.get("FileSystemConfigs"),
        "RevisionId": function.revision_id,
        "Layers": _layers(function) or None,
        "State": state.state,
        "StateReason": state.reason,
        "StateReasonCode": state.reason_code,
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": [function.architecture],
        "EphemeralStorage": {"Size": function.ephemeral_storage_mb},
        "SnapStart": _snap_start(function),
        "TenancyConfig": None if tenancy is None else {"TenantIsolationMode": tenancy},
        "RuntimeVersionConfig": {"RuntimeVersionArn": runtime_version_arn(function.region, function.runtime)},
        "LoggingConfig": {
            "LogFormat": function.log_format,
            "ApplicationLogLevel": function.application_log_level,
            "SystemLogLevel": function.system_log_level,
            "LogGroup": function.log_group,
        },
    }


def listed(function: FunctionConfiguration, *, qualified: bool) -> dict[str, Any]:
    """FunctionConfiguration as lists have it."""
    told = configuration(function, qualified=qualified)
    return {member: value for member, value in told.items() if member not in NOT_IN_LISTS}


def runtime_version_arn(region: str, runtime: str) -> str:
    """Names the interpreter that runs a runtime's functions here: another build of it has another ARN."""
    digest = hashlib.sha256(f"{runtime} on {sys.version}".encode()).hexdigest()
    return f"arn:aws:lambda:{region}::runtime:{digest}"


def _layers(function: FunctionConfiguration) -> list[dict[str, Any]]:
    """Those that were given as code, which only this engine's own interfaces do, are named by their content."""
    return [
        {"Arn": arn or f"sha256:{layer.sha256}", "CodeSize": layer.size}
        for arn, layer in zip(function.layer_arns, function.layers, strict=True)
    ]


def _snap_start(function: FunctionConfiguration) -> dict[str, str]:
    return {
        "ApplyOn": "PublishedVersions" if function.snap_start else "None",
        "OptimizationStatus": "On" if function.starts_from_snapshot else "Off",
    }


def event_invoke_config(made: EventInvokeConfig, modified_s: float) -> dict[str, Any]:
    """FunctionEventInvokeConfig."""
    destinations = {
        name: {"Destination": arn} if arn else {}
        for name, arn in (("OnSuccess", made.on_success), ("OnFailure", made.on_failure))
    }
    return {
        "LastModified": modified_s,
        "FunctionArn": made.function_arn,
        "MaximumRetryAttempts": made.maximum_retry_attempts,
        "MaximumEventAgeInSeconds": made.maximum_event_age_s,
        "DestinationConfig": destinations,
    }


def provisioned(made: ProvisionedConcurrencyConfig) -> dict[str, Any]:
    """Put- and GetProvisionedConcurrencyConfig's answer."""
    return {
        "RequestedProvisionedConcurrentExecutions": made.requested_provisioned_concurrent_executions,
        "AvailableProvisionedConcurrentExecutions": made.available_provisioned_concurrent_executions,
        "AllocatedProvisionedConcurrentExecutions": made.allocated_provisioned_concurrent_executions,
        "Status": made.status,
        "StatusReason": made.status_reason,
        "LastModified": made.last_modified,
    }
