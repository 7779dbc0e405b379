"""Extensions as Lambda has them: when they are started, what they are told, and what becomes of a function with one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from builds import built_rust, zipped
from doors import ONE_VCPU_MB, PATIENCE_S, Function
from layers import BOOTSTRAP, PROBE, extended, last_event, probes, shut_down, told, zip_of
from verdicts import TIMED_OUT, answer, comes_to_log, ends, failure

import engine.sync
from engine.settings import OWN_RUNTIME


def test_an_extension_registers_before_the_runtime_starts_and_hears_of_every_invocation(deploy: Any) -> None:
    function = extended(deploy, "probe", variables={"INIT_SAYS": "the runtime begins"})
    results = [function({"do": [["say", f"invocation {number}"]]}) for number in range(3)]
    log = function.whole_log()
    registered = next(line for line in log if line.startswith("probe: registered"))
    assert json.loads(registered.removeprefix("probe: registered 200 ")) == {
        "functionName": function.name,
        "functionVersion": "$LATEST",
        "handler": "any.handler",
        "accountId": "000000000000",
    }
    ready = "EXTENSION\tName: probe\tState: Ready\tEvents: [INVOKE, SHUTDOWN]"
    assert log.index(registered) < log.index("the runtime begins") < log.index(ready)
    events = told(log, "probe", "INVOKE")
    assert [event["requestId"] for event in events] == [result.request_id for result in results]
    for event in events:
        assert event["eventType"] == "INVOKE"
        assert event["invokedFunctionArn"].endswith(f":function:{function.name}")
        assert event["tracing"]["type"] == "X-Amzn-Trace-Id"
        assert event["tracing"]["value"].startswith("Root=1-")
        assert 0 < event["deadlineMs"] - event["now_ms"] <= 10_000
    for result, number in zip(results, range(3), strict=True):
        assert f"invocation {number}" in function.log(result)
        assert f"probe: done {result.request_id}" in function.log(result)


def test_variables_of_an_extension_are_the_functions_without_the_runtimes_own(deploy: Any) -> None:
    extension = "#!/bin/sh\nenv | sort >&2\npwd\nexit 1\n"
    function = deploy(
        BOOTSTRAP,
        "any.handler",
        layers=[zip_of({"extensions/tells": extension})],
        environment={"MINE": "yes"},
    )
    failure(function)
    lines = function.whole_log()
    names = {line.partition("=")[0] for line in lines}
    assert {"MINE", "AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_FUNCTION_NAME", "AWS_REGION", "PATH"} <= names
    assert "MINE=yes" in lines
    assert "/" in lines
    assert not names & {"_HANDLER", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "AWS_LAMBDA_LOG_STREAM_NAME"}


def test_an_invocation_lasts_until_its_extensions_are_done(deploy: Any) -> None:
    function = extended(deploy, "probe", how={"probe": {"works_s": 0.3}})
    result = function({})
    assert result.function_error is None
    assert result.duration_ms >= 300
    assert f"probe: done {result.request_id}" in function.log(result)


def test_one_that_is_not_subscribed_to_invocations_holds_none_up(deploy: Any) -> None:
    function = extended(deploy, "probe", how={"probe": {"events": ["SHUTDOWN"]}})
    assert answer(function, {"n": 1})["event"] == {"n": 1}
    assert "EXTENSION\tName: probe\tState: Ready\tEvents: [SHUTDOWN]" in function.whole_log()
    assert shut_down(function)["shutdownReason"] == "spindown"
    assert told(function.whole_log(), "probe", "INVOKE") == []


def test_a_function_that_fails_and_one_that_streams_are_told_to_extensions_too(deploy: Any) -> None:
    function = extended(deploy, "probe")
    assert failure(function, {"fail": "no"}) == {"errorMessage": "no", "errorType": "Told"}
    assert answer(function, {"a": 1})["event"] == {"a": 1}
    assert len(told(function.whole_log(), "probe", "INVOKE")) == 2


def test_at_the_end_the_runtime_is_asked_first_and_then_the_extensions_in_two_seconds(deploy: Any) -> None:
    function = extended(deploy, "probe", variables={"ON_TERM": "leave"})
    answer(function, {})
    event = shut_down(function)
    assert (event["eventType"], event["shutdownReason"]) == ("SHUTDOWN", "spindown")
    assert 0 < event["deadlineMs"] - event["now_ms"] <= 2_000
    log = function.whole_log()
    shutdown = next(index for index, line in enumerate(log) if line.startswith("probe: SHUTDOWN"))
    assert log.index("runtime got SIGTERM") < shutdown


def test_a_runtime_that_does_not_leave_is_ended_and_the_extensions_still_have_their_time(deploy: Any) -> None:
    function = extended(deploy, "probe", variables={"ON_TERM": "stay"})
    answer(function, {})
    event = shut_down(function)
    assert event["shutdownReason"] == "spindown"
    assert 0 < event["deadlineMs"] - event["now_ms"] <= 1_700  # the runtime's 300 are over


def test_an_extension_that_does_not_leave_is_killed_and_the_next_environment_serves(deploy: Any) -> None:
    function = extended(deploy, "probe", how={"probe": {"lingers_s": 600}})
    answer(function, {})
    environment = function.pids()[0]
    function.door.update_function_configuration(function.name, description="another")
    assert answer(function, {"again": True})["event"] == {"again": True}
    is_gone(function, environment)
    assert "probe: ends" not in function.whole_log()


def test_a_time_out_is_answered_at_once_and_extensions_are_told_why(deploy: Any) -> None:
    function = extended(deploy, "probe", how={"probe": {"lingers_s": 1.5}}, timeout_s=1)
    answer(function, {})
    ends(function, {"do": [["sleep", 60]]}, "Sandbox.Timedout", "Task timed out after 1.00 seconds", TIMED_OUT)
    assert "probe: ends" not in function.whole_log()
    assert answer(function, {"next": 1})["event"] == {"next": 1}  # in another environment
    assert last_event(function)["shutdownReason"] == "timeout"


def test_an_extension_that_is_too_slow_has_the_invocation_time_out(deploy: Any) -> None:
    function = extended(deploy, "probe", how={"probe": {"works_s": 30}}, timeout_s=1)
    ends(function, {}, "Sandbox.Timedout", "Task timed out after 1.00 seconds", TIMED_OUT)


def test_a_runtime_that_exits_is_told_as_without_extensions_and_extensions_hear_of_a_failure(deploy: Any) -> None:
    function = extended(deploy, "probe")
    ends(function, {"do": [["exit", 7]]}, "Runtime.ExitError", "Runtime exited with error: exit status 7")
    event = last_event(function)
    assert event["shutdownReason"] == "failure"
    assert answer(function, {"then": 1})["event"] == {"then": 1}


def test_a_runtime_that_exits_after_its_answer_has_answered(deploy: Any) -> None:
    function = extended(deploy, "probe", how={"probe": {"works_s": 0.2}})
    assert answer(function, {"after": ["exit", 3]})["event"] == {"after": ["exit", 3]}
    assert last_event(function)["shutdownReason"] == "failure"


def test_a_runtime_over_its_memory(deploy: Any) -> None:
    function = extended(deploy, "probe", memory_mb=160)
    result = function({"do": [["hog", 400]]})
    assert result.json()["errorType"] == "Runtime.ExitError"
    assert "Runtime.OutOfMemory" in function.log(result)[-1]
    assert answer(function, {"then": 1})["event"] == {"then": 1}


def test_an_extension_that_exits_in_an_invocation_has_crashed(deploy: Any) -> None:
    function = extended(deploy, "probe", how={"probe": {"on_invoke": "exit", "status": 4}})
    ends(function, {"do": [["sleep", 5]]}, "Extension.Crash", "exit status 4")
    assert "Extension.Crash" in function.whole_log()


def test_an_extension_that_exits_before_it_registers_fails_every_init(deploy: Any) -> None:
    function = extended(deploy, "probe", how={"probe": {"before": "exit", "status": 0}})
    for _ in range(2):
        ends(function, {}, "Extension.Crash", "exit code 0")
    assert "EXTENSION\tName: probe\tState: Started\tEvents: []" in function.whole_log()


@pytest.mark.parametrize(("then", "kind"), [("init", "Extension.InitError"), ("exit", "Extension.ExitError")])
def test_an_extension_that_says_that_it_cannot(deploy: Any, then: str, kind: str) -> None:
    function = extended(deploy, "probe", how={"probe": {"then": then}})
    ends(function, {}, kind, "exit code 0")
    state = kind.removeprefix("Extension.")
    line = f"EXTENSION\tName: probe\tState: {state}\tEvents: [INVOKE, SHUTDOWN]\tError Type: Extension.Told"
    assert line in function.whole_log()
    assert "probe: told 202" in function.whole_log()


@pytest.mark.parametrize("how", [{"before": "sleep"}, {"then": "sleep"}])
def test_one_that_never_registers_or_never_asks_uses_up_the_time(deploy: Any, how: dict[str, Any]) -> None:
    """Ten seconds of an init of its own, and then the function's."""
    function = extended(deploy, "probe", how={"probe": how}, timeout_s=1)
    ends(function, {}, "Sandbox.Timedout", "Task timed out after 1.00 seconds", TIMED_OUT)


def test_a_file_that_cannot_be_run_is_an_extension_that_cannot_be_launched(deploy: Any) -> None:
    plain = deploy(BOOTSTRAP, "any.handler", layers=[zip_of({"extensions/plain": PROBE}, 0o644)])
    told_of = failure(plain)
    assert told_of["errorType"] == "Extension.LaunchError"
    assert "fork/exec /opt/extensions/plain: permission denied" in told_of["errorMessage"]
    line = "EXTENSION\tName: plain\tState: LaunchError\tEvents: []\tError Type: PermissionDenied"
    assert line in plain.whole_log()


def test_ten_extensions_run_and_eleven_do_not(deploy: Any) -> None:
    names = [f"probe-{number:02}" for number in range(11)]
    ten = extended(deploy, *names[:10], timeout_s=60)
    result = ten({})
    assert result.function_error is None
    assert all(f"{name}: done {result.request_id}" in ten.log(result) for name in names[:10])
    told_of = failure(extended(deploy, *names, timeout_s=60))
    assert told_of["errorType"] == "Extension.LaunchError"
    assert "there are 11 extensions" in told_of["errorMessage"]


def test_layers_each_with_extensions_and_the_later_ones_file_of_one_name(deploy: Any) -> None:
    layers = [probes("one", "both"), zip_of({"extensions/both": "#!/bin/sh\nexit 9\n"})]
    function = extended(deploy, layers=layers)
    ends(function, {}, "Extension.Crash", "exit status 9")


NOBODY = "00000000-0000-0000-0000-000000000000"
REFUSED = [
    ("twice", "POST", "/2020-01-01/extension/register", {"events": []}, {"Lambda-Extension-Name": "probe"}),
    ("nameless", "POST", "/2020-01-01/extension/register", {"events": []}, {}),
    ("event", "POST", "/2020-01-01/extension/register", {"events": ["NOTHING"]}, {"Lambda-Extension-Name": "probe"}),
    ("internal", "POST", "/2020-01-01/extension/register", {"events": ["SHUTDOWN"]}, {"Lambda-Extension-Name": "in"}),
    ("no id", "GET", "/2020-01-01/extension/event/next", None, {}),
    ("odd id", "GET", "/2020-01-01/extension/event/next", None, {"Lambda-Extension-Identifier": "me"}),
    ("strange id", "GET", "/2020-01-01/extension/event/next", None, {"Lambda-Extension-Identifier": NOBODY}),
    ("no type", "POST", "/2020-01-01/extension/init/error", {}, {"Lambda-Extension-Identifier": "OWN"}),
    ("method", "PUT", "/2020-01-01/extension/event/next", None, {"Lambda-Extension-Identifier": "OWN"}),
    ("nowhere", "GET", "/2020-01-01/extension/what", None, {"Lambda-Extension-Identifier": "OWN"}),
]  # fmt: skip
SAID = {
    "twice": "403 Extension.InvalidExtensionState State transition from Registered to Registered failed for extension "
    "probe. Error: State transition is not allowed",
    "nameless": "403 Extension.InvalidExtensionName Empty extension name",
    "event": "403 Extension.InvalidEventType NOTHING: ErrorInvalidEventType",
    "internal": "403 Extension.InvalidEventType SHUTDOWN: ShutdownEventNotSupportedForInternalExtension",
    "no id": "403 Extension.MissingExtensionIdentifier Missing Lambda-Extension-Identifier header",
    "odd id": "403 Extension.InvalidExtensionIdentifier Invalid Lambda-Extension-Identifier",
    "strange id": "403 Extension.UnknownExtensionIdentifier Unknown extension 00000000-0000-0000-0000-000000000000",
    "no type": "403 Extension.MissingHeader Lambda-Extension-Function-Error-Type not found",
    "method": "405 ",
    "nowhere": "404 404 page not found",
}


def test_requests_that_are_refused_and_the_words_for_it(deploy: Any) -> None:
    function = extended(deploy, "probe", how={"probe": {"try": REFUSED}})
    answer(function, {})
    said = {}
    for line in function.whole_log():
        if line.startswith("probe: tried "):
            title = next(title for title in SAID if line.startswith(f"probe: tried {title} "))
            status, _, body = line.removeprefix(f"probe: tried {title} ").partition(" ")
            error = json.loads(body) if body.startswith("{") else body
            said[title] = f"{status} " + (f"{error['errorType']} {error['errorMessage']}" if body[:1] == "{" else error)
    assert said == SAID


def test_an_internal_extension_hears_of_invocations_and_nobody_registers_later(deploy: Any) -> None:
    function = extended(deploy, variables={"INTERNAL": "thread", "ON_TERM": "leave"})
    result = function({"do": [["register", ["late", ["INVOKE"]]]]})
    told_of = result.json()
    assert told_of["internal"][0] == 200
    assert told_of["internal"][1] == {
        "functionName": function.name,
        "functionVersion": "$LATEST",
        "handler": "any.handler",
    }
    status, refused, _ = told_of["results"][0]
    assert (status, refused["errorType"]) == (403, "Extension.RegistrationClosed")
    assert f"within INVOKE {result.request_id}" in function.log(result)
    assert "EXTENSION\tName: within\tState: Ready\tEvents: [INVOKE]" in function.whole_log()
    function.door.update_function_configuration(function.name, description="another")
    comes_to_log(function, "runtime got SIGTERM")


def test_without_extensions_a_runtime_is_not_asked_to_leave(deploy: Any) -> None:
    function = extended(deploy, variables={"ON_TERM": "leave"})
    answer(function, {})
    (environment,) = function.pids()
    function.door.update_function_configuration(function.name, description="another")
    answer(function, {})
    is_gone(function, environment)
    assert "runtime got SIGTERM" not in function.whole_log()


def test_an_engine_that_closes_tells_all_extensions() -> None:
    """On the host's network, so that they can tell somebody who is still there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        how = {"probe": {"tells_port": listener.getsockname()[1], "lingers_s": 0.2}}
        with engine.sync.Engine(network="host") as opened:
            for number in range(3):
                name = f"closing-{number}"
                settings = {"memory_mb": ONE_VCPU_MB, "timeout_s": 30, "environment": {"PROBE": json.dumps(how)}}
                runtime = {"handler": "any.handler", "runtime": "provided.al2023", "layers": [probes("probe")]}
                opened.create_function(name, code=BOOTSTRAP, **runtime, **settings)
                assert opened.invoke(name, {"n": number}).json()["event"] == {"n": number}
        heard = [json.loads(read_all(listener.accept()[0])) for _ in range(3)]
    assert [event["shutdownReason"] for event in heard] == ["spindown"] * 3


def test_with_json_logs_an_extension_is_told_of_in_json(deploy: Any) -> None:
    function: Function = extended(deploy, "probe", log_format="JSON")
    answer(function, {})
    records = [json.loads(line) for line in function.whole_log() if line.startswith("{")]
    told_of = [each for each in records if each.get("type") == "platform.extension"]
    assert told_of == [
        {**told_of[0], "record": {"name": "probe", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]}},
    ]


def test_the_engines_own_python_has_extensions_too(deploy: Any) -> None:
    source = "import os, sys\n\ndef handler(event, context):\n    print('handled', flush=True)\n"
    source += "    return [event, sys.version_info[:2], os.getcwd(), context.aws_request_id]\n"
    code, layers = zip_of({"main.py": source}, 0o644), [probes("probe")]
    function = deploy(code, "main.handler", OWN_RUNTIME, layers=layers, network="loopback", timeout_s=10)
    for number in range(2):
        result = function({"n": number})
        assert result.function_error is None, result.payload
        assert result.json() == [{"n": number}, list(sys.version_info[:2]), "/var/task", result.request_id]
        assert f"probe: done {result.request_id}" in function.log(result)
        assert "handled" in function.log(result)
    assert shut_down(function)["shutdownReason"] == "spindown"


def test_snapshots_are_made_without_extensions_and_that_is_said(deploy: Any) -> None:
    code = zip_of({"main.py": "def handler(event, context):\n    return event\n"}, 0o644)
    with pytest.warns(RuntimeWarning, match="extensions, which are not run in a function with SnapStart"):
        function = deploy(code, "main.handler", OWN_RUNTIME, layers=[probes("probe")], snap_start=True)
    assert answer(function, {"a": 1}) == {"a": 1}
    assert not [line for line in function.whole_log() if line.startswith("EXTENSION")]


def test_an_extension_by_awss_own_client_in_rust(deploy: Any, tmp_path: Path) -> None:
    """The crate lambda-extension, from crates.io: events, and telemetry over HTTP."""
    (tmp_path / "layer" / "extensions").mkdir(parents=True)
    shutil.copy2(built_rust("rust-extension") / "bootstrap", tmp_path / "layer" / "extensions" / "tells")
    layers = [zipped(tmp_path / "layer", tmp_path / "layer.zip")]
    function = deploy(BOOTSTRAP, "any.handler", layers=layers, network="loopback", timeout_s=10)
    result = function({"do": [["say", "hello"], ["sleep", 0.2]]})
    assert result.function_error is None
    assert f"rust: INVOKE {result.request_id}" in function.log(result)
    assert 'rust: Function("hello")' in function.whole_log()
    assert any(line.startswith("rust: PlatformInitReport") for line in function.whole_log())
    assert "EXTENSION\tName: tells\tState: Ready\tEvents: [INVOKE, SHUTDOWN]" in function.whole_log()
    function.door.update_function_configuration(function.name, description="another")
    comes_to_log(function, "rust: SHUTDOWN")
    comes_to_log(function, "rust: PlatformReport")


WRAPPED = {
    OWN_RUNTIME: ("main.py", "import os\n\ndef handler(event, context):\n    return os.environ['WRAPPED']\n"),
    "nodejs22.x": ("main.js", "exports.handler = async () => process.env.WRAPPED;\n"),
    "ruby3.3": ("main.rb", "def handler(event:, context:)\n  ENV['WRAPPED']\nend\n"),
}


@pytest.mark.filterwarnings("ignore:.* runs on .*:RuntimeWarning")
@pytest.mark.parametrize("runtime", WRAPPED)
def test_what_a_wrapper_of_a_layer_exports_holds_and_one_that_is_not_there_is_told(deploy: Any, runtime: str) -> None:
    file, source = WRAPPED[runtime]
    wrapper = zip_of({"wraps": '#!/bin/sh\nexport WRAPPED="yes, $#"\nexec "$@"\n'})
    settings = {"layers": [probes("probe"), wrapper], "network": "loopback"}
    code = zip_of({file: source}, 0o644)
    wrapped = deploy(code, "main.handler", runtime, environment={"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wraps"}, **settings)
    assert answer(wrapped).startswith("yes, ")
    missing = deploy(code, "main.handler", runtime, environment={"AWS_LAMBDA_EXEC_WRAPPER": "/opt/none"}, **settings)
    told_of = failure(missing)
    assert told_of["errorType"] == "Runtime.InvalidEntrypoint"
    assert "fork/exec /opt/none: no such file or directory" in told_of["errorMessage"]


def is_gone(function: Function, environment: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while environment in function.pids():
        assert time.monotonic() < deadline
        os.sched_yield()


def read_all(connection: socket.socket) -> bytes:
    with connection:
        connection.settimeout(PATIENCE_S)
        return b"".join(iter(lambda: connection.recv(65_536), b""))
