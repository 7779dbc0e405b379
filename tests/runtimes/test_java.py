"""Functions in Java with AWS's own runtime client: built by Maven, deployed and run as users do it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from builds import built_java, zipped
from doors import Door, Function
from verdicts import answer, ends, failure, runs_out_of_memory, times_out

from engine.runtimes import java as java_language
from engine.runtimes.contract import RuntimeMissingError
from engine.runtimes.java import RUNTIMES, Java

BEHAVE = "behaves.Behave::handle"
KILLED = "Runtime exited with error: signal: killed"


def exact_runtimes() -> list[str]:
    """Those that this host has the very Java of, the newest first."""
    named = {name for name in RUNTIMES for each in Java().installed() if Java().is_exact(name, each)}
    return sorted((name for name in named if "." not in name), key=lambda name: -RUNTIMES[name])


RUNTIME = exact_runtimes()[-1]


@pytest.fixture(scope="module")
def built() -> Path:
    return built_java("java-behaves")


@pytest.fixture(scope="module")
def jar(built: Path) -> Path:
    return built / "all-in-one.jar"


@pytest.fixture
def java(deploy: Any, jar: Path) -> Any:
    """Deploys the jar: `java(handler, **settings)`."""

    def create(handler: str = BEHAVE, **settings: Any) -> Function:
        function: Function = deploy(settings.pop("code", jar), handler, settings.pop("runtime", RUNTIME), **settings)
        return function

    return create


@pytest.mark.parametrize("runtime", exact_runtimes())
def test_hello_on_every_java_of_this_host(java: Any, runtime: str) -> None:
    hello = java("behaves.Hello", runtime=runtime)
    first, second = hello({"name": "Ada", "list": [1, 2.5, None]}), hello({})
    told = {8: "1.8"}.get(RUNTIMES[runtime], str(RUNTIMES[runtime]))
    assert first.json() == {"name": "Ada", "list": [1, 2.5, None], "count": 1, "java": told}
    assert second.json()["count"] == 2
    assert (first.start, second.start) == ("cold", "warm")
    assert first.init_ms and second.init_ms is None
    assert hello.log(first)[0].startswith("INIT_START Runtime Version: ")
    assert len(hello.log(first)) == 4, "Java itself says nothing in a function's log"


def test_plain_objects_and_a_library_in_one_jar(java: Any) -> None:
    orders = java("behaves.Orders::price")
    event = {"customer": "Ada Lovelace", "prices": ["0.10", "0.2", "3"], "unknown": {"a": 1}}
    assert answer(orders, event) == {"text": "Ada Lovelace", "total": 3.30}
    wrong = failure(orders, {"customer": "Ada", "prices": {"a": 1}})
    assert wrong["errorType"] == "java.lang.RuntimeException"
    assert wrong["errorMessage"].startswith("An error occurred during JSON parsing")


def test_a_zip_of_classes_with_jars_in_lib(java: Any, built: Path, tmp_path: Path) -> None:
    code = tmp_path / "code"
    shutil.copytree(built / "classes", code)
    shutil.copytree(built / "lib", code / "lib")
    orders = java("behaves.Orders::price", code=zipped(code, tmp_path / "orders.zip"))
    assert answer(orders, {"customer": "Lin", "prices": ["1"]}) == {"text": "Lin", "total": 1}


def test_jars_of_a_layer(java: Any, built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "lib", tmp_path / "layer" / "java" / "lib")
    orders = java("behaves.Orders::price", code=built / "classes", layers=[tmp_path / "layer"])
    assert answer(orders, {"customer": "Lin", "prices": []}) == {"text": "Lin", "total": 0}


def test_a_library_that_is_not_there_is_the_functions_error(java: Any, built: Path) -> None:
    told = failure(java("behaves.Orders::price", code=built / "classes"), {"customer": "Lin"})
    assert told["errorType"] == "java.lang.NoClassDefFoundError"
    assert told["errorMessage"] == "com/google/gson/Gson"


def test_streams_give_back_what_comes_in_byte_by_byte(java: Any) -> None:
    result = java("behaves.Bytes")(b'{"a" :  1, "\xc3\xa4": null}')
    assert (result.function_error, result.payload) == (None, b'{"a" :  1, "\xc3\xa4": null}')


def test_six_megabytes_both_ways(java: Any) -> None:
    event = {"text": "é" * 1_500_000, "numbers": list(range(400_000))}
    assert answer(java("behaves.Bytes"), event) == event
    told = answer(java("behaves.Hello"), event)
    assert (told["text"], told["numbers"], told["count"]) == (event["text"], event["numbers"], 1)


def test_an_exception_shows_its_class_and_the_functions_own_stack(java: Any) -> None:
    behave = java()
    told = failure(behave, {"do": "fail"})
    assert (told["errorMessage"], told["errorType"]) == ("tea is out of stock", "behaves.Behave$OutOfStock")
    first, second, *_ = told["stackTrace"]
    assert first.startswith("behaves.Behave.outOfStock(Behave.java:")
    assert second.startswith("behaves.Behave.handle(Behave.java:")
    assert not any("services.lambda" in frame or frame.startswith("engine.") for frame in told["stackTrace"])
    log = behave.log(behave.results[0])
    assert "tea is out of stock: behaves.Behave$OutOfStock" in log, "the whole trace is in the log of that invocation"
    assert "Caused by: java.io.IOException: no ship came" in log
    assert log[-1].endswith("Status: error\tError Type: Runtime.UserException")
    name = "java.lang.NullPointerException"
    told = failure(behave, {"do": "fail without words"})
    assert (told["errorMessage"], told["errorType"]) == (name, name)
    assert answer(behave) == "nothing"
    assert behave.results[-1].start == "warm"


def test_context_environment_and_heap(java: Any) -> None:
    behave = java(memory_mb=512, timeout_s=30, environment={"COLOUR": "blue ä\n", "PATH": "/usr/bin"})
    result = behave({"do": "context"}, client_context={"custom": {"a": "b"}, "client": {"app_title": "shop"}})
    told = result.json()
    assert told["request_id"] == result.request_id
    assert (told["name"], told["version"], told["memory_mb"]) == (behave.name, "$LATEST", 512)
    assert told["arn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{behave.name}"
    assert told["group"] == f"/aws/lambda/{behave.name}" and "[$LATEST]" in told["stream"]
    assert 0 < told["left_ms"] <= 30_000
    assert told["custom"] == {"a": "b"}
    assert told["thread"] == "main"
    assert 400 <= told["heap_mb"] <= 512 * 0.85
    environment = told["environment"]
    assert environment["COLOUR"] == "blue ä\n"
    assert environment["PATH"] == "/usr/bin"
    assert environment["_HANDLER"] == BEHAVE
    assert environment["AWS_EXECUTION_ENV"] == f"AWS_Lambda_{RUNTIME}"
    assert environment["LAMBDA_TASK_ROOT"] == "/var/task"
    assert not environment.keys() & {"HOME", "LC_ALL", "OLDPWD"}
    assert set(told["child_environment"].split("\n")) >= {"COLOUR=blue ä", f"_HANDLER={BEHAVE}"}


def test_the_working_folder_is_the_codes(java: Any, built: Path, tmp_path: Path) -> None:
    code = tmp_path / "code"
    shutil.copytree(built / "classes", code)
    (code / "settings.txt").write_text("dark\n")
    (code / "grün").touch()
    told = answer(java(code=code), {"do": "files"})
    assert told == {
        "folder": "/var/task",
        "by a relative path": "dark\n",
        "by a stream": "dark",
        "absolute": "/var/task/settings.txt",
        "names": [True, True],
        "charset": "UTF-8",
        "locale": "en_US",
        "resource": "/var/task/settings.txt",
        "tmp": [],
        "child": "/var/task",
    }


def test_all_output_is_in_the_log_of_its_invocation(java: Any) -> None:
    behave = java()
    answer(behave)
    assert answer(behave, {"do": "print"}) == "printed"
    start, *said, end, _ = behave.log(behave.results[-1])
    assert start.startswith("START RequestId: ") and end.startswith("END RequestId: ")
    assert said[:3] == ["to standard output: ä", "to standard error", "by the logger"]
    assert said[3].startswith("[WARN] with a level") and said[-1].endswith("of a child process")
    assert len(behave.log(behave.results[0])) == 4


def test_json_logs_are_records_and_levels_are_kept_out(java: Any) -> None:
    behave = java(log_format="JSON", application_log_level="WARN")
    answer(behave, {"do": "print"})
    records = [json.loads(line) for line in behave.log(behave.results[0]) if line.startswith("{")]
    said = {record["message"]: record for record in records if "message" in record}
    assert said.keys() == {"with a level"}
    assert said["with a level"]["level"] == "WARN"
    assert said["with a level"]["AWSRequestId"] == behave.results[0].request_id


def test_a_handler_that_exits_ends_its_environment(java: Any) -> None:
    behave = java()
    ends(behave, {"do": "exit", "status": 3}, "Runtime.ExitError", "Runtime exited with error: exit status 3")
    ends(behave, {"do": "exit", "status": 0}, "Runtime.ExitError", "Runtime exited without providing a reason")
    assert answer(behave) == "nothing"
    assert behave.results[-1].start == "cold"


def test_a_time_out_ends_the_environment(java: Any) -> None:
    behave = java(timeout_s=1)
    answer(behave)
    times_out(behave, {"do": "hang"})
    assert answer(behave) == "nothing"
    assert behave.results[-1].start == "cold"


def test_a_heap_that_is_full_is_an_error_of_java_and_ends_the_process(java: Any) -> None:
    behave = java()
    told = failure(behave, {"do": "fill the heap"})
    assert (told["errorMessage"], told["errorType"]) == ("Java heap space", "java.lang.OutOfMemoryError")
    assert told["stackTrace"][0].startswith("behaves.Behave.handle(Behave.java:")
    assert answer(behave) == "nothing"
    assert behave.results[-1].start == "cold"


def test_memory_beyond_the_heap_is_the_kernels_matter(java: Any) -> None:
    behave = java(memory_mb=256)
    runs_out_of_memory(behave, {"do": "fill memory"})
    assert behave.results[-1].max_memory_mb == 256


@pytest.mark.parametrize(
    ("handler", "message", "error_type"),
    [
        ("behaves.Nothing", "Class not found: behaves.Nothing", "java.lang.ClassNotFoundException"),
        (
            "behaves.Behave::nothing",
            "No public method named nothing with appropriate method signature found on class behaves.Behave",
            None,
        ),
        ("behaves.Behave", "Class does not implement an appropriate handler interface: behaves.Behave", None),
        ("behaves.Behave::", "Invalid handler: `behaves.Behave::'", None),
    ],
)
def test_a_handler_that_is_not_there(java: Any, handler: str, message: str, error_type: str | None) -> None:
    told = failure(java(handler), {})
    assert (told["errorMessage"], told.get("errorType")) == (message, error_type)


@pytest.mark.parametrize(
    ("handler", "message", "error_type"),
    [
        ("behaves.Broken", "the shop has no door", "java.lang.IllegalArgumentException"),
        (
            "behaves.Broken$Class::handle",
            "Error loading class behaves.Broken$Class",
            "java.lang.ExceptionInInitializerError",
        ),
    ],
)
def test_an_init_that_fails(java: Any, handler: str, message: str, error_type: str) -> None:
    broken = java(handler)
    told = failure(broken, {})
    assert (told["errorMessage"], told["errorType"]) == (message, error_type)
    log = broken.log(broken.results[0])
    assert log[-1].endswith("Status: error\tError Type: Runtime.BadFunctionCode")
    assert any("Phase: invoke\tStatus: error\tError Type: Runtime.BadFunctionCode" in line for line in log)
    assert any(line.startswith(f"{message}: ") for line in broken.whole_log())


def test_options_of_the_functions_own_win(java: Any) -> None:
    options = "-Xmx123m -XX:+UseParallelGC -XX:TieredStopAtLevel=4"
    behave = java(environment={"JAVA_TOOL_OPTIONS": options})
    told = answer(behave, {"do": "context"})
    assert 100 <= told["heap_mb"] <= 123
    assert f"Picked up JAVA_TOOL_OPTIONS: {options}" in behave.log(behave.results[0])


def test_a_wrapper_script_finds_lambdas_command(java: Any, built: Path, tmp_path: Path) -> None:
    script = tmp_path / "layer" / "wrapper"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\necho "last: $(eval echo \\${$#})"\nexec "$@"\n')
    script.chmod(0o755)
    environment = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper"}
    hello = java("behaves.Hello", layers=[tmp_path / "layer"], environment=environment)
    assert answer(hello, {"x": 1})["x"] == 1
    assert "last: behaves.Hello" in hello.log(hello.results[0])


def test_zip_bytes_of_a_jar(java: Any, jar: Path) -> None:
    assert zipfile.is_zipfile(jar)
    assert answer(java("behaves.Hello", code=jar.read_bytes()), {})["count"] == 1


def test_a_jar_and_a_handler_with_colons_on_the_command_line(jar: Path) -> None:
    event = json.dumps({"customer": "Ada", "prices": ["1"]})
    options = ["--runtime", RUNTIME, "--memory", "1769", "--timeout", "60", "--event", event]
    command = [sys.executable, "-P", "-m", "engine", "run", f"{jar}:behaves.Orders::price", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"text": "Ada", "total": 1}), done.stderr


def test_environments_run_side_by_side(java: Any, door: Door) -> None:
    hello = java("behaves.Hello")
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda number: hello({"n": number}), range(40)))
    assert [result.json()["n"] for result in results] == list(range(40))


def test_a_java_that_is_older_than_the_runtime_is_refused(
    java: Any, monkeypatch: pytest.MonkeyPatch, door: Door
) -> None:
    newest = Java().installed()[0]
    monkeypatch.setattr(java_language, "RUNTIMES", {**RUNTIMES, RUNTIME: 99})
    major = newest.version.split(".")[0]
    way_out = f"this host's newest is {major}: apt-get install openjdk-99-jdk-headless"
    with pytest.raises(RuntimeMissingError, match=f"{RUNTIME} needs a JDK 99 or newer, {way_out}"):
        java("behaves.Hello")
