"""What surrounds a handler: variables, modules and context are Lambda's, and nothing is the host's."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from doors import Function

from engine import errors

Deploy = Callable[..., Function]


def test_a_function_sees_no_variable_of_the_host(deploy: Deploy, host_secrets: frozenset[str]) -> None:
    function = deploy("tells_variables", environment={"OWN": "value"})
    variables = function().json()
    assert variables["OWN"] == "value"
    assert variables["AWS_LAMBDA_FUNCTION_NAME"] == function.name
    assert variables["_HANDLER"] == "endings.tells_variables"
    assert variables["TZ"] == ":UTC"
    assert not host_secrets & variables.keys()
    assert not {name for name in variables if name.startswith(("PYTEST", "VIRTUAL_ENV", "ENGINE", "HOME"))}


def test_a_function_imports_what_lambda_has_and_nothing_of_the_engines(deploy: Deploy) -> None:
    of_packages_imported_before = ["logging.handlers", "importlib.util", "json.tool"]
    lambdas = ["boto3", "botocore", "snapshot_restore_py", "simplejson", "decimal", *of_packages_imported_before]
    hosts = ["orjson", "uvloop", "msgpack", "psutil", "click", "rich", "Cython", "pytest"]
    told = deploy("imports", timeout_s=60)([*lambdas, *hosts, "engine", "engine._ext", "engine.worker"]).json()
    there = {name for name, outcome in told.items() if outcome == "imported"}
    assert there == set(lambdas)
    assert told["engine"] == "ModuleNotFoundError: No module named 'engine'"


def test_what_is_loaded_ahead_has_lambdas_paths_and_finds_its_other_modules(deploy: Deploy) -> None:
    told = deploy("imports_more_of_what_is_loaded")().json()
    assert told["file"] == "/var/lang/lib/python3.11/socket.py"
    assert told["executable"].startswith("/var/lang/bin/python3")
    assert 'File "/var/lang/lib/python3.11/socket.py", line ' in told["traceback"]
    assert "raise" in told["traceback"]  # lines of the standard library are shown
    assert told["elsewhere"] == []


def test_modules_that_are_loaded_ahead_are_told_of_a_fork(deploy: Deploy) -> None:
    assert deploy("forks")().json() == {"threads": 1, "same_number": False}


def test_the_context_is_lambdas(deploy: Deploy) -> None:
    function = deploy("tells_context", timeout_s=5, memory_mb=256)
    result = function()
    told = result.json()
    stream = told.pop("log_stream_name")
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)
    assert 0 < told.pop("remaining") <= 5_000
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0", told.pop("trace"))
    assert told == {
        "function_name": function.name,
        "function_version": "$LATEST",
        "invoked_function_arn": f"arn:aws:lambda:us-east-1:000000000000:function:{function.name}",
        "memory_limit_in_mb": "256",
        "aws_request_id": result.request_id,
        "log_group_name": f"/aws/lambda/{function.name}",
        "identity": [None, None],
        "tenant_id": None,
        "client": None,
    }
    (events,) = ({event.stream for event in function.door.logs(function.name)},)
    assert events == {stream}


def test_a_client_context_reaches_the_handler_and_only_that_invocation(deploy: Deploy) -> None:
    function = deploy("tells_context")
    sent = {"custom": {"k": "v"}, "env": {"make": "m"}, "client": {"app_title": "title"}}
    assert function(client_context=sent).json()["client"] == [{"k": "v"}, {"make": "m"}, "title"]
    assert function().json()["client"] is None
    with pytest.raises(errors.InvalidParameterValueException, match="3583"):
        function(client_context={"custom": {"k": "v" * 4_000}})


def test_a_log_tail_is_the_last_4_kb_of_the_invocations_log(deploy: Deploy) -> None:
    function = deploy("prints_much", timeout_s=30)
    short, long, none = function(2, log_tail=True), function(2_000, log_tail=True), function(2)
    assert short.log_tail is not None
    assert short.log_tail.splitlines() == function.log(short)
    assert long.log_tail is not None
    assert len(long.log_tail.encode()) == 4_096
    assert "\n".join([*function.log(long), ""]).endswith(long.log_tail)
    assert none.log_tail is None


def test_a_log_tail_of_a_failure_tells_how_it_ended(deploy: Deploy) -> None:
    function = deploy("ends")
    ended = function({"way": "os._exit(3)"}, log_tail=True)
    assert ended.log_tail is not None
    assert ended.log_tail.splitlines() == function.log(ended)


def test_a_dry_run_runs_nothing(deploy: Deploy) -> None:
    function = deploy("counts")
    dry = function(invocation_type="DryRun")
    assert (dry.status_code, dry.payload, dry.function_error) == (204, b"", None)
    assert function.pids() == []
    assert function().json() == 1
    with pytest.raises(errors.ResourceNotFoundException):
        function.door.invoke("nobody", invocation_type="DryRun")


def test_signals_are_handled_as_in_any_python(deploy: Deploy) -> None:
    code = "import signal; print({n.name: str(signal.getsignal(n)) for n in sorted(signal.valid_signals()) if n in S})"
    names = "SIGCHLD SIGHUP SIGINT SIGPIPE SIGTERM SIGXFSZ"
    chosen = f"import signal; S = {{getattr(signal, name) for name in {names.split()!r}}}; {code}"
    plain = subprocess.run([sys.executable, "-P", "-c", chosen], capture_output=True, text=True, check=True).stdout
    broken, handled = deploy("tells_its_signals")().json()
    assert broken == "BrokenPipeError"
    assert {name: re.sub(r" at 0x\w+", "", how) for name, how in handled.items()} == {
        name: re.sub(r" at 0x\w+", "", how) for name, how in ast.literal_eval(plain).items()
    }
