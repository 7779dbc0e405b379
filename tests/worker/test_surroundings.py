"""A function finds Lambda's variables, time zone and import path around it, and nothing of the host's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.runtimes.bootstraps.python.import_path import layer_folders, search_path
from engine.worker import surroundings
from engine.worker.surroundings import environment_variables

ROOT = str(Path(surroundings.__file__).parents[2])
FUNCTION: dict[str, Any] = {
    "function_name": "orders",
    "version": "$LATEST",
    "memory_mb": 256,
    "log_group": "/aws/lambda/orders",
    "log_stream": "2026/01/01/[$LATEST]0123456789abcdef0123456789abcdef",
    "handler": "app.handler",
    "region": "eu-west-1",
    "runtime": "python3.11",
    "task_root": "/var/task",
    "runtime_dir": "/var/runtime",
}
# What `dict(os.environ)` is in a python3.11 function, without credentials, trace and the Runtime API's address.
IN_LAMBDA = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
    "AWS_LAMBDA_FUNCTION_NAME": "orders",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/orders",
    "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]0123456789abcdef0123456789abcdef",
    "AWS_REGION": "eu-west-1",
    "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
    "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LANG": "en_US.UTF-8",
    "LD_LIBRARY_PATH": (
        "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
    ),
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "PWD": "/var/task",
    "PYTHONPATH": "/var/runtime",
    "SHLVL": "0",
    "TZ": ":UTC",
    "_AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1",
    "_AWS_XRAY_DAEMON_PORT": "2000",
    "_HANDLER": "app.handler",
}


def test_the_variables_are_lambdas_and_no_others() -> None:
    assert environment_variables(**FUNCTION) == IN_LAMBDA


def test_the_users_variables_replace_what_is_not_reserved_only() -> None:
    user = {"LANG": "C", "TZ": "Europe/Berlin", "PATH": "/mine", "OWN": "1", "AWS_REGION": "mars", "_HANDLER": "x.y"}
    seen = environment_variables(**FUNCTION, user=user)
    assert {name: seen[name] for name in user} == {**user, "AWS_REGION": "eu-west-1", "_HANDLER": "app.handler"}


def test_credentials_the_runtime_api_and_a_json_log_come_when_there_are_any() -> None:
    more: dict[str, Any] = {
        "credentials": {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "S", "AWS_SESSION_TOKEN": "T"},
        "runtime_api": "127.0.0.1:9001",
        "log_format": "JSON",
        "log_level": "INFO",
        "initialization_type": "provisioned-concurrency",
    }
    added = {
        **more["credentials"],
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_LEVEL": "INFO",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency",
    }
    assert environment_variables(**FUNCTION, **more) == {**IN_LAMBDA, **added}


def test_a_text_log_has_no_level_of_its_own() -> None:
    assert environment_variables(**FUNCTION, log_level="DEBUG") == IN_LAMBDA


SITE = f"python/lib/python3.{sys.version_info[1]}/site-packages"


def test_the_import_path_is_code_layers_runtime_standard_library() -> None:
    path = search_path("/var/task", ["/opt"], ["/runtime/packages"], ["/lib/python311.zip", "/lib/python3.11"])
    layers = [f"/opt/{SITE}", "/opt/python"]
    assert path == ["/var/task", *layers, "/runtime/packages", "/lib/python311.zip", "/lib/python3.11"]


def test_a_later_layer_comes_before_an_earlier_one() -> None:
    assert layer_folders(["/l/1", "/l/2"]) == [f"/l/2/{SITE}", f"/l/1/{SITE}", "/l/2/python", "/l/1/python"]


def test_a_python_path_of_the_functions_own_takes_the_place_of_the_layers() -> None:
    assert search_path("/t", ["/opt"], ["/r"], ["/s"], python_path="/mine::/r") == ["/t", "/mine", "/r", "/s"]


APPLY = """
import json, os, sys, time
sys.path.insert(0, {root!r})
from engine.runtimes.bootstraps.python import import_path
stdlib = sys.path[1:]
sys.path_importer_cache[{task!r}] = None
import_path.apply({environ!r}, [{task!r}, *stdlib])
import_path.run_path_files([{task!r}, "/nowhere"])
import found, from_pth
print(json.dumps([dict(os.environ), time.tzname, sys.path[:1], os.popen("echo $OWN$HOME").read()]))
"""


@pytest.mark.parametrize(("zone", "name"), [(":UTC", "UTC"), ("XYZ-3", "XYZ")])
def test_the_process_gets_exactly_these_surroundings(tmp_path: Path, zone: str, name: str) -> None:
    (tmp_path / "found.py").write_text("")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "from_pth.py").write_text("")
    (tmp_path / "extra.pth").write_text("more\n")
    environ = {"TZ": zone, "OWN": "mine", "PATH": "/usr/bin:/bin"}
    code = APPLY.format(root=ROOT, task=str(tmp_path), environ=environ)
    host = {**os.environ, "OF_THE_HOST": "1"}
    command = [sys.executable, "-I", "-S", "-B", "-c", code]
    done = subprocess.run(command, env=host, stdout=subprocess.PIPE, check=True)
    assert json.loads(done.stdout) == [environ, [name, name], [str(tmp_path)], "mine\n"]
