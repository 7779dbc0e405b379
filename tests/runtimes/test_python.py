"""Python functions do the same on the engine's own Python and on others; AWS's own client runs unmodified."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
from doors import Door
from verdicts import answer, echoes_six_megabytes, ends, failure, runs_out_of_memory, times_out

from engine.errors import InvalidParameterValueException
from engine.runtimes.bootstraps.python.marshal import ASCII_ONLY_RUNTIMES
from engine.runtimes.contract import RuntimeMissingError, Subject
from engine.runtimes.python import Python
from engine.settings import OWN_RUNTIME

ENDINGS = Path(__file__).parent.parent / "lifecycle" / "code"
OTHERS = ("python3.8", "python3.13")
PYTHONS = (OWN_RUNTIME, *OTHERS)
SIX_MEGABYTES = {"text": "x" * 3_000_000, "numbers": list(range(350_000))}

MORE = """
import logging, os, sys

def tells_version(event, context):
    return [list(sys.version_info[:3]), sys.path, repr(context)[:30], sys.argv[0], os.environ["PYTHONPATH"]]

def logs(event, context):
    logging.getLogger().warning("told %s", event)
    context.log("by the context")
    print("to stderr", file=sys.stderr)

def streams(event, context):
    if event.get("early"):
        raise KeyError("early")
    yield {"statusCode": 201, "headers": {"a": "b"}}
    yield "one "
    yield b"two"
    if event.get("late"):
        raise ValueError("late")

def imports(event, context):
    module = __import__(event)
    return [module.__file__, getattr(module, "VALUE", None)]
"""


@pytest.fixture
def more(tmp_path: Path) -> Path:
    file = tmp_path / "more.py"
    file.write_text(MORE)
    return file


@pytest.fixture(params=PYTHONS)
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_each_runs_on_its_own_version_and_no_warning_is_given(deploy: Any, more: Path, runtime: str) -> None:
    function = deploy(more, "more.tells_version", runtime)
    version, path, context, program, python_path = answer(function)
    opening = function.log(function.results[0])[0]
    assert opening.startswith(f"INIT_START Runtime Version: python:{version[0]}.{version[1]}.v{version[2]}\t")
    assert f"python{version[0]}.{version[1]}" == runtime
    assert path[:2] == ["/var/task", "/var/runtime"]
    assert not any("site-packages" in folder or "dist-packages" in folder for folder in path)
    assert (context, program, python_path) == (
        "LambdaContext([aws_request_id=", "/var/runtime/bootstrap.py", "/var/runtime",
    )  # fmt: skip


def test_an_exact_version_is_taken_under_strict_runtimes_too(more: Path) -> None:
    import engine.sync

    with engine.sync.Engine(strict_runtimes=True) as strict:
        for runtime in OTHERS:
            strict.create_function(
                runtime.replace(".", "_"), code=more, handler="more.logs", runtime=runtime, memory_mb=128
            )


def test_a_version_that_the_host_has_not_runs_on_the_engines_own_with_a_warning(
    deploy: Any, more: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(language: Python, runtime: str) -> None:
        raise RuntimeMissingError(runtime)

    monkeypatch.setattr(Python, "choose", lacks)
    with pytest.warns(RuntimeWarning, match=f"python3.13 runs on this engine's own {OWN_RUNTIME}"):
        function = deploy(more, "more.tells_version", "python3.13")
    assert "python{}.{}".format(*answer(function)[0]) == OWN_RUNTIME


def test_an_exception_is_told_with_the_users_frames_alone(deploy: Any, runtime: str) -> None:
    function = deploy(ENDINGS, "endings.raises", runtime)
    for say in ("no such thing", 'quoted "text"\nand a line', "ünïcödé ☃"):
        told = failure(function, {"say": say})
        result = function.results[-1]
        assert list(told) == ["errorMessage", "errorType", "requestId", "stackTrace"]
        assert (told["errorMessage"], told["errorType"], told["requestId"]) == (say, "ValueError", result.request_id)
        frames = [re.fullmatch(r'  File "(.*)", line \d+, in (\w+)\n    (.*)\n', text) for text in told["stackTrace"]]
        assert [frame and frame.groups()[:2] for frame in frames] == [
            ("/var/task/endings.py", "raises"), ("/var/task/endings.py", "deeper"),
        ]  # fmt: skip
        log = function.log(result)
        assert "own line" in log
        assert any(line.startswith(f"[ERROR] ValueError: {say.splitlines()[0]}") for line in log)
    assert [result.start for result in function.results] == ["cold", "warm", "warm"]


REASONS = {
    "os._exit(0)": "Runtime exited without providing a reason",
    "sys.exit(4)": "Runtime exited with error: exit status 4",
    "sys.exit(text)": "Runtime exited with error: exit status 1",
    "KeyboardInterrupt": "Runtime exited with error: exit status 1",
    "SIGKILL": "Runtime exited with error: signal: killed",
    "SIGSEGV": "Runtime exited with error: signal: segmentation fault",
}


def test_a_process_that_ends_is_an_exit_error_and_the_next_invocation_works(deploy: Any, runtime: str) -> None:
    function = deploy(ENDINGS, "endings.ends", runtime)
    for way, reason in REASONS.items():
        result = ends(function, {"way": way}, "Runtime.ExitError", reason)
        assert "own line" in function.log(result)
        if way == "sys.exit(text)":
            assert "last words" in function.log(result)
    assert isinstance(answer(function), str)


def test_time_and_memory_are_limited(deploy: Any, runtime: str) -> None:
    slow = deploy(ENDINGS, "endings.ends", runtime, timeout_s=1)
    times_out(slow, {"way": "sleeps"})
    times_out(slow, {"way": "C loop"})
    hungry = deploy(ENDINGS, "endings.ends", runtime, memory_mb=128)
    runs_out_of_memory(hungry, {"way": "memory"})
    assert isinstance(answer(hungry), str)


def test_what_is_printed_and_logged_is_the_invocations(deploy: Any, more: Path, runtime: str) -> None:
    function = deploy(more, "more.logs", runtime)
    for number in (1, 2):
        answer(function, number)
        result = function.results[-1]
        lines = [line for line in function.log(result) if not line.startswith(("START", "END", "REPORT", "INIT_START"))]
        told, *rest = lines
        assert re.fullmatch(rf"\[WARNING\]\t\S+Z\t{result.request_id}\ttold {number}", told)
        assert rest == ["by the context", "to stderr"]


def test_a_log_may_be_json(deploy: Any, more: Path, runtime: str) -> None:
    function = deploy(more, "more.logs", runtime, log_format="JSON", application_log_level="WARN")
    answer(function, {"k": 1})
    result = function.results[-1]
    (told,) = (json.loads(line) for line in function.log(result) if '"WARNING"' in line)
    assert (told["message"], told["logger"], told["requestId"]) == ("told {'k': 1}", "root", result.request_id)


def test_the_context_and_the_variables_are_lambdas(deploy: Any, runtime: str) -> None:
    function = deploy(ENDINGS, "endings.tells_context", runtime, timeout_s=5)
    told = answer(function, None, client_context={"custom": {"k": "v"}, "env": {}, "client": {"app_title": "t"}})
    assert 0 < told.pop("remaining") <= 5_000
    assert told.pop("trace").startswith("Root=1-")
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", told.pop("log_stream_name"))
    assert told == {
        "function_name": function.name,
        "function_version": "$LATEST",
        "invoked_function_arn": f"arn:aws:lambda:us-east-1:000000000000:function:{function.name}",
        "memory_limit_in_mb": "1769",
        "aws_request_id": function.results[-1].request_id,
        "log_group_name": f"/aws/lambda/{function.name}",
        "identity": [None, None],
        "tenant_id": None,
        "client": [{"k": "v"}, {}, "t"],
    }
    variables = answer(deploy(ENDINGS, "endings.tells_variables", runtime, environment={"OWN": "value"}))
    assert (variables["OWN"], variables["TZ"], variables["AWS_EXECUTION_ENV"]) == (
        "value", ":UTC", f"AWS_Lambda_{runtime}",
    )  # fmt: skip
    assert not {name for name in variables if name.startswith(("PYTEST", "VIRTUAL_ENV", "ENGINE", "HOME"))}


def test_payloads_of_every_size_and_kind(deploy: Any, runtime: str) -> None:
    if runtime in ASCII_ONLY_RUNTIMES:  # which write é in six bytes
        assert answer(deploy(ENDINGS, "endings.echoes", runtime), SIX_MEGABYTES) == SIX_MEGABYTES
    else:
        echoes_six_megabytes(deploy(ENDINGS, "endings.echoes", runtime))
    long = deploy(ENDINGS, "endings.answers_bytes", runtime)
    assert failure(long, 6_291_557)["errorType"] == "Function.ResponseSizeTooLarge"
    assert len(answer(long, 6_291_556)) == 6_291_554
    told = failure(deploy(ENDINGS, "endings.answers_a_set", runtime))
    assert told["errorMessage"] == "Unable to marshal response: Object of type set is not JSON serializable"
    assert told["errorType"] == "Runtime.MarshalError"
    assert deploy(ENDINGS, "endings.answers_decimal", runtime)().payload == b'{"price": 1.10}'
    assert deploy(ENDINGS, "endings.answers_nan", runtime)().payload == b"[NaN, Infinity]"


def test_what_a_generator_yields_is_streamed(deploy: Any, more: Path, door: Door, runtime: str) -> None:
    function = deploy(more, "more.streams", runtime)
    given = door.invoke_stream(function.name, {})
    prelude, body = b"".join(given).split(bytes(8))
    assert (json.loads(prelude)["statusCode"], body) == (201, b"one two")
    assert given.content_type == "application/vnd.awslambda.http-integration-response"
    assert function({}).payload.endswith(bytes(8) + b"one two")
    broken = door.invoke_stream(function.name, {"late": True})
    assert b"".join(broken).endswith(b"one two")
    told = json.loads(broken.result.payload)
    assert (told["errorType"], told["errorMessage"], broken.result.function_error) == (
        "ValueError", "late", "Unhandled",
    )  # fmt: skip
    assert failure(function, {"early": True})["errorType"] == "KeyError"


INITS = {
    "a missing import": ("import nothere", "app.handler", "Runtime.ImportModuleError"),
    "a missing module": ("pass", "other.handler", "Runtime.ImportModuleError"),
    "a missing handler": ("pass", "app.handler", "Runtime.HandlerNotFound"),
    "a syntax error": ("def handler(:\n", "app.handler", "Runtime.UserCodeSyntaxError"),
    "an exception": ("raise KeyError('k')", "app.handler", "KeyError"),
}


@pytest.mark.parametrize("wrong", INITS)
def test_an_init_that_fails_is_told_in_the_same_words(deploy: Any, tmp_path: Path, wrong: str) -> None:
    code, handler, error_type = INITS[wrong]
    file = tmp_path / "app.py"
    file.write_text(code)
    told = {runtime: failure(deploy(file, handler, runtime)) for runtime in PYTHONS}
    own = told[OWN_RUNTIME]
    assert (own["errorType"], own["requestId"]) == (error_type, "")
    for runtime in OTHERS:
        assert {**told[runtime], "stackTrace": []} == {**own, "stackTrace": []}
        assert [line.rpartition("/")[2] for line in told[runtime]["stackTrace"]][-1:] == [
            line.rpartition("/")[2] for line in own["stackTrace"]
        ][-1:]


def test_a_layer_is_found_by_version_and_code_comes_first(deploy: Any, more: Path, tmp_path: Path) -> None:
    for runtime in OTHERS:
        layer = tmp_path / f"{runtime}.zip"
        with zipfile.ZipFile(layer, "w") as archive:
            archive.writestr(f"python/lib/{runtime}/site-packages/layered.py", f"VALUE = '{runtime}'")
            archive.writestr("python/more.py", "VALUE = 'hidden'")
        function = deploy(more, "more.imports", runtime, layers=[layer])
        assert answer(function, "layered") == [f"/opt/python/lib/{runtime}/site-packages/layered.py", runtime]


def test_the_runtimes_packages_are_there_and_requirements_are_installed_by_that_python(
    deploy: Any, more: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "needs"
    folder.mkdir()
    (folder / "more.py").write_text(MORE)
    (folder / "requirements.txt").write_text("markupsafe\n")
    function = deploy(folder, "more.imports", "python3.13")
    assert answer(function, "boto3")[0].startswith("/var/runtime/boto3/")
    assert answer(function, "markupsafe._speedups")[0].startswith("/var/task/markupsafe/")  # is compiled for 3.13


def test_a_process_that_waits_is_not_for_functions_with_variables_that_python_reads_at_its_start() -> None:
    language = Python()
    interpreter = language.choose("python3.13")

    def stock(**environment: str) -> str | None:
        return language.launch(interpreter, Subject("python3.13", "a.b", 128, environment)).stock

    assert stock(OWN="1", PYTHONPATH="/var/task/lib") == interpreter.executable
    assert stock(PYTHONHASHSEED="0") is stock(LD_PRELOAD="x.so") is stock(AWS_LAMBDA_EXEC_WRAPPER="/opt/w") is None


def test_an_option_of_pythons_among_a_functions_variables_is_obeyed(deploy: Any, tmp_path: Path) -> None:
    file = tmp_path / "app.py"
    file.write_text("import sys\ndef handler(event, context):\n    return sys.flags.optimize\n")
    assert answer(deploy(file, "app.handler", "python3.13", environment={"PYTHONOPTIMIZE": "2"})) == 2


# --- AWS's own client, in the bundle of a custom runtime ------------------------------------------------------------

CLIENT = """
import json, logging, sys
def hello(event, context):
    print("printed")
    logging.getLogger().error("logged")
    return {"hello": event, "id": context.aws_request_id, "left": context.get_remaining_time_in_millis()}
def fails(event, context):
    raise ValueError("not today")
def echoes(event, context):
    return event
"""


@pytest.fixture(scope="module")
def with_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip with AWS's client as pip lays it out, and a bootstrap that runs it on this Python."""
    folder = tmp_path_factory.mktemp("client")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "awslambdaric"]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "app.py").write_text(CLIENT)
    bootstrap = folder / "bootstrap"
    bootstrap.write_text('#!/bin/sh\nexport PYTHONPATH=/var/task\nexec $PYTHON -m awslambdaric "$_HANDLER"\n')
    bootstrap.chmod(0o755)
    return folder


def test_awss_own_client_runs_unmodified(deploy: Any, with_client: Path) -> None:
    given = {"environment": {"PYTHON": "/var/lang/bin/python3"}}
    function = deploy(with_client, "app.hello", "provided.al2023", **given)
    for number in range(2):
        told = answer(function, {"number": number})
        result = function.results[-1]
        assert (told["hello"], told["id"]) == ({"number": number}, result.request_id)
        assert 0 < told["left"] <= 60_000
        log = function.log(result)
        assert "printed" in log
        assert any(re.fullmatch(rf"\[ERROR\]\t\S+Z\t{result.request_id}\tlogged", line) for line in log)
    assert [result.start for result in function.results] == ["cold", "warm"]
    echoes = deploy(with_client, "app.echoes", "provided.al2023", **given)
    assert answer(echoes, SIX_MEGABYTES) == SIX_MEGABYTES


def test_awss_own_client_tells_errors_with_their_trace(deploy: Any, with_client: Path) -> None:
    given = {"environment": {"PYTHON": "/var/lang/bin/python3"}}
    function = deploy(with_client, "app.fails", "provided.al2023", **given)
    told = failure(function)
    assert (told["errorType"], told["errorMessage"]) == ("ValueError", "not today")
    assert told["stackTrace"] == ['  File "/var/task/app.py", line 8, in fails\n    raise ValueError("not today")\n']
    missing = failure(deploy(with_client, "app.nothere", "provided.al2023", **given))
    assert (missing["errorType"], missing["errorMessage"]) == (
        "Runtime.HandlerNotFound", "Handler 'nothere' missing on module 'app'",
    )  # fmt: skip


def test_awss_own_client_may_write_frames_to_a_descriptor_of_its_own(
    deploy: Any, with_client: Path, tmp_path: Path
) -> None:
    """Lambda gives it one; here the bootstrap does, and it leads to the log."""
    wrapper = tmp_path / "framed" / "bootstrap"
    shutil.copytree(with_client, wrapper.parent)
    wrapper.write_text(
        "#!/bin/sh\nexport PYTHONPATH=/var/task _LAMBDA_TELEMETRY_LOG_FD=7\n"
        'exec 7>&1\nexec $PYTHON -m awslambdaric "$_HANDLER"\n'
    )
    wrapper.chmod(0o755)
    function = deploy(wrapper.parent, "app.hello", "provided.al2023", environment={"PYTHON": "/var/lang/bin/python3"})
    answer(function, 1)
    log = "\n".join(function.log(function.results[-1]))
    assert "printed" in log
    assert "\tlogged" in log


def test_strict_engines_refuse_a_version_that_is_not_here(more: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import engine.sync

    monkeypatch.setattr(Python, "_find", lambda language, runtime: None)
    with engine.sync.Engine(strict_runtimes=True) as strict, warnings.catch_warnings():
        with pytest.raises(InvalidParameterValueException, match="strict_runtimes=True forbids"):
            strict.create_function("f", code=more, handler="more.logs", runtime="python3.13")
