"""The environment variables that a function finds before its first line runs.

The variables are those of AWS's documentation ("Defined runtime environment variables"); a few more are what a
function sees there: AWS_DEFAULT_REGION, PWD, SHLVL, the X-Ray daemon's address. Nothing comes from the host.
"""

from __future__ import annotations

from collections.abc import Mapping

_XRAY_HOST, _XRAY_PORT = "127.0.0.1", "2000"  # where the X-Ray SDK sends by default; datagrams nobody takes are dropped
_NO_VALUES: Mapping[str, str] = {}


def environment_variables(
    *,
    function_name: str,
    version: str,
    memory_mb: int,
    log_group: str,
    log_stream: str,
    handler: str,
    region: str,
    runtime: str,
    task_root: str,
    runtime_dir: str,
    language_root: str = "/var/lang",
    layers_root: str = "/opt",
    initialization_type: str = "on-demand",
    user: Mapping[str, str] = _NO_VALUES,
    credentials: Mapping[str, str] = _NO_VALUES,
    runtime_api: str | None = None,
    log_format: str = "Text",
    log_level: str | None = None,
) -> dict[str, str]:
    """All variables of one environment.

    `user` may replace PATH, LANG, TZ, PYTHONPATH and their like, but no name that Lambda reserves.
    `initialization_type` is on-demand, provisioned-concurrency or snap-start. `credentials` holds AWS_ACCESS_KEY_ID
    and its like; `runtime_api` is host:port where there is such an API.
    """
    reserved = {
        "_HANDLER": handler,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}",
        "AWS_LAMBDA_FUNCTION_NAME": function_name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": initialization_type,
        "AWS_LAMBDA_LOG_GROUP_NAME": log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "LAMBDA_TASK_ROOT": task_root,
        "LAMBDA_RUNTIME_DIR": runtime_dir,
        **({} if runtime_api is None else {"AWS_LAMBDA_RUNTIME_API": runtime_api}),
        **_log_variables(log_format, log_level),
        **credentials,
    }
    return {**replaceable(task_root, runtime_dir, language_root, layers_root), **user, **reserved}


def replaceable(task_root: str, runtime_dir: str, language_root: str, layers_root: str) -> dict[str, str]:
    """Variables that are the same for every function, unless that has its own of the same names."""
    libraries = f"{runtime_dir}:{runtime_dir}/lib:{task_root}:{task_root}/lib:{layers_root}/lib"
    return {
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": f"{language_root}/bin:/usr/local/bin:/usr/bin/:/bin:{layers_root}/bin",
        "LD_LIBRARY_PATH": f"{language_root}/lib:/lib64:/usr/lib64:{libraries}",
        "PYTHONPATH": runtime_dir,
        "PWD": task_root,
        "SHLVL": "0",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": f"{_XRAY_HOST}:{_XRAY_PORT}",
        "_AWS_XRAY_DAEMON_ADDRESS": _XRAY_HOST,
        "_AWS_XRAY_DAEMON_PORT": _XRAY_PORT,
    }


def _log_variables(log_format: str, log_level: str | None) -> dict[str, str]:
    """Lambda has a level for a function's log only when the format is JSON."""
    if log_format.upper() != "JSON":
        return {}
    return {"AWS_LAMBDA_LOG_FORMAT": "JSON", **({} if log_level is None else {"AWS_LAMBDA_LOG_LEVEL": log_level})}
