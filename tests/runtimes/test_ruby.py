"""Ruby functions on the host's Ruby: as AWS's own client for Ruby serves them, in its words."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from builds import FUNCTIONS, kept
from doors import Function
from verdicts import answer, echoes_six_megabytes, ends, failure, runs_out_of_memory, times_out

from engine.errors import InvalidParameterValueException
from engine.runtimes import look
from engine.runtimes.contract import Interpreter, RuntimeMissingError, Subject
from engine.runtimes.ruby import Ruby
from engine.store.entry import Entry, find_entry, language_of

CODE = FUNCTIONS / "ruby-behaves"
GEM = "ruby-mustache"  # plain Ruby, and all that is needed of it is in the package


@pytest.fixture(scope="module")
def version() -> str:
    """Of the Ruby that the host has, such as 3.1."""
    return ".".join(map(str, look.numbers(Ruby().installed()[0].version)[:2]))


@pytest.fixture
def ruby(deploy: Any) -> Any:
    """Deploys a handler of `ruby-behaves`, or other code."""

    def create(handler: str, code: Path = CODE, runtime: str = "ruby3.2", **settings: Any) -> Function:
        name = handler if "." in handler or code != CODE else f"lambda_function.{handler}"
        made: Function
        if Ruby().is_exact(runtime, Ruby().choose(runtime)):
            made = deploy(code, name, runtime, **settings)
        else:
            with pytest.warns(RuntimeWarning, match=f"{runtime} runs on ruby "):
                made = deploy(code, name, runtime, **settings)
        return made

    return create


def written(folder: Path, code: str) -> Path:
    file = folder / "app.rb"
    file.write_text(code)
    return file


def told_lines(function: Function) -> list[str]:
    """Of the last invocation, without the engine's own."""
    own = ("INIT_START", "START ", "END ", "REPORT ")
    return [line for line in function.log(function.results[-1]) if not line.startswith(own)]


@pytest.mark.parametrize("runtime", ["ruby2.7", "ruby3.2", "ruby3.3", "ruby3.4", "ruby4.0"])
def test_hello_in_every_runtime_of_ruby(ruby: Any, runtime: str, version: str) -> None:
    function = ruby("lambda_handler", runtime=runtime)
    for event in ({"a": [1, None, "é"]}, {}, "text", 1.5):
        told = answer(function, event)
        assert told["hello"] == event
        assert told["ruby"].startswith(f"{version}.")
    assert [result.start for result in function.results] == ["cold", "warm", "warm", "warm"]
    assert function.log(function.results[0])[0].startswith(f"INIT_START Runtime Version: {runtime[:4]}:{runtime[4:]}.v")


def test_a_handler_may_be_a_method_of_a_class_in_a_module(ruby: Any) -> None:
    told = answer(ruby("lambda_function.Deep::Inner.handler"), {"a": 1})
    assert told == {"from": "Deep::Inner", "event": {"a": 1}}


def test_an_error_is_told_with_its_class_and_the_functions_frames(ruby: Any) -> None:
    function = ruby("raises")
    for say in ("no such thing", 'quoted "text"\nand a line ☃'):
        told = failure(function, {"say": say})
        assert list(told) == ["errorMessage", "errorType", "stackTrace"]
        assert (told["errorMessage"], told["errorType"]) == (say, "Function<ArgumentError>")
        frames = [re.fullmatch(r"(.*):\d+:in [`'](?:Object#)?(\w+)'", frame) for frame in told["stackTrace"]]
        assert [frame and frame.groups() for frame in frames] == [
            ("/var/task/lambda_function.rb", "deeper"), ("/var/task/lambda_function.rb", "raises"),
        ]  # fmt: skip
        lines = told_lines(function)
        assert lines[:2] == ["own line", "Error raised from handler method"]
        assert json.loads("".join(lines[2:])) == told
        assert function.log(function.results[-1])[-1].endswith("Error Type: Function<ArgumentError>")
    assert [result.start for result in function.results] == ["cold", "warm"]  # the process goes on


def test_an_error_class_of_ones_own_is_told_to_the_caller_and_counted_as_the_users(ruby: Any) -> None:
    function = ruby("raises_its_own")
    assert failure(function)["errorType"] == "Function<Custom>"
    assert function.log(function.results[0])[-1].endswith("Error Type: Function<UserException>")


def test_after_a_name_that_is_not_there_the_process_is_another(ruby: Any) -> None:
    function = ruby("misspells")
    told = failure(function)
    assert told["errorType"] == "Function<NameError>"
    assert "nothing_of_this_name" in told["errorMessage"]
    assert told_lines(function)[0] == "Critical exception from handler"
    failure(function)
    assert [result.start for result in function.results] == ["cold", "cold"]


@pytest.mark.parametrize(
    ("handler", "error_type", "word"),
    [
        ("not_there", "Function<NoMethodError>", "undefined method"),
        ("lambda_function.Deep::Other.handler", "Function<NameError>", "uninitialized constant Deep::Other"),
        ("lambda_function.Deep::Inner.other", "Function<NoMethodError>", "undefined method"),
    ],
)
def test_a_handler_that_is_not_there_is_found_missing_when_it_is_called(
    ruby: Any, handler: str, error_type: str, word: str
) -> None:
    told = failure(ruby(handler))
    assert told["errorType"] == error_type
    assert word in told["errorMessage"]


INITS = {
    "a missing file": (None, "nothere.handler", "Init<LoadError>", "cannot load such file -- nothere"),
    "a missing gem": ("require 'nothere'", "app.handler", "Init<LoadError>", "cannot load such file -- nothere"),
    "a syntax error": ("def handler(\n", "app.handler", "Init<SyntaxError>", "/var/task/app.rb:"),
    "an exception": ("raise 'at once'", "app.handler", "Init<RuntimeError>", "at once"),
    "an exit": ("exit 4", "app.handler", "Init<SystemExit>", "exit"),
    "no method": ("1", "app", "Init<ArgumentError>", 'Invalid handler ["app"], must be of form FILENAME.METHOD'),
}


@pytest.mark.parametrize("wrong", INITS)
def test_an_init_that_fails_is_told_by_every_invocation(ruby: Any, tmp_path: Path, wrong: str) -> None:
    code, handler, error_type, message = INITS[wrong]
    function = ruby(handler, written(tmp_path, code or "1"))
    for _ in range(2):
        told = failure(function)
        assert told["errorType"] == error_type
        assert message in told["errorMessage"]
        lines = told_lines(function)
        assert f"Init error when loading handler {handler}" in lines
    assert any("Phase: init\tStatus: error" in line for line in function.whole_log())


def test_however_a_process_ends_the_next_invocation_works(ruby: Any) -> None:
    function = ruby("ends")
    exits = failure(function, {"way": "exit"})
    assert (exits["errorType"], exits["errorMessage"]) == ("Function<SystemExit>", "exit")
    for way, reason in {
        "exit!": "exit status 3",
        "SIGKILL": "signal: killed",
        "abort": "signal: aborted",
    }.items():
        result = ends(function, {"way": way}, "Runtime.ExitError", f"Runtime exited with error: {reason}")
        assert "own line" in function.log(result)
    assert failure(function, {"way": "deep"})["errorType"] == "Function<SystemStackError>"
    assert isinstance(answer(function, {}), int)


def test_time_and_memory_are_limited(ruby: Any) -> None:
    slow = ruby("ends", timeout_s=1)
    times_out(slow, {"way": "sleeps"})
    times_out(slow, {"way": "sleeps"})
    hungry = ruby("ends", memory_mb=128)
    runs_out_of_memory(hungry, {"way": "memory"})
    assert isinstance(answer(hungry, {}), int)


def test_what_is_written_and_logged_is_the_invocations(ruby: Any) -> None:
    function = ruby("speaks")
    for number in (1, 2):
        answer(function, number)
        request_id = function.results[-1].request_id
        puts, error, logged, child = told_lines(function)
        assert (puts, error, child) == (f"puts {number}", "to stderr", "from a child")
        assert re.fullmatch(
            rf"I, \[\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{6}} #\d+\]  INFO {request_id} -- : logged ü {number}", logged
        )


def test_a_log_may_be_json_of_one_level(ruby: Any) -> None:
    function = ruby("logs_an_exception", log_format="JSON", application_log_level="ERROR")
    answer(function)
    (told,) = (json.loads(line) for line in function.log(function.results[0]) if '"level"' in line)
    assert told["requestId"] == function.results[0].request_id
    assert (told["level"], told["message"], told["errorType"], told["logger"]) == ("ERROR", "seen", "Custom", "mine")
    assert told["stackTrace"][0].startswith("/var/task/lambda_function.rb:")
    failed = ruby("raises", log_format="JSON")
    failure(failed, {"say": "no"})
    (told,) = (json.loads(line) for line in failed.log(failed.results[0]) if '"ERROR"' in line)
    assert (told["errorMessage"], told["errorType"]) == ("no", "Function<ArgumentError>")


def test_the_context_is_lambdas(ruby: Any) -> None:
    function = ruby("tells_context", timeout_s=5)
    sent = {"custom": {"k": "v"}, "w3c": {"baggage": "a=b", "other": "c"}}
    told = answer(function, None, client_context=sent)
    assert 0 < told.pop("remaining") <= 5_000
    assert told.pop("deadline") > 1_000_000_000_000
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", told.pop("log_stream_name"))
    assert told == {
        "aws_request_id": function.results[0].request_id,
        "invoked_function_arn": f"arn:aws:lambda:us-east-1:000000000000:function:{function.name}",
        "log_group_name": f"/aws/lambda/{function.name}",
        "function_name": function.name,
        "memory_limit_in_mb": "1769",
        "function_version": "$LATEST",
        "identity": None,
        "client_context": {"custom": {"k": "v"}},
        "tenant_id": None,
        "w3c": {"baggage": "a=b"},
    }


def test_variables_folder_and_libraries_are_lambdas(ruby: Any, version: str) -> None:
    told = answer(ruby("tells_variables", runtime="ruby3.4", environment={"OWN": "é"}))
    variables = told["variables"]
    assert (variables["OWN"], variables["TZ"], variables["LAMBDA_TASK_ROOT"]) == ("é", ":UTC", "/var/task")
    assert variables["_HANDLER"] == "lambda_function.tells_variables"
    assert variables["_X_AMZN_TRACE_ID"].startswith("Root=1-")
    folders = variables["GEM_PATH"].split(":")
    assert folders[0] == "/var/task/vendor/bundle/ruby/3.4.0"
    assert {f"/var/task/vendor/bundle/ruby/{version}.0", "/opt/ruby/gems/3.4.0"} <= set(folders)
    assert (told["folder"], told["encoding"]) == ("/var/task", "UTF-8")
    assert told["load_path"] == ["/var/task", "/var/runtime/lib", "/opt/ruby/lib"]
    assert not {name for name in variables if name.startswith(("PYTEST", "PYTHON", "VIRTUAL_ENV", "ENGINE", "HOME"))}


def test_answers_are_written_as_ruby_writes_json(ruby: Any) -> None:
    assert ruby("answers_an_object")().payload == b'["Object","1970-01-01 00:00:00 UTC","symbol",null,1.5,{"1":2}]'
    told = failure(ruby("answers_nan"))
    assert told["errorType"] == "Function<JSON::GeneratorError>"
    assert ruby("answers_io")().payload == "not JSON: é".encode()


def test_payloads_of_six_megabytes(ruby: Any) -> None:
    echoes_six_megabytes(ruby("echoes"))
    long = ruby("answers_bytes")
    assert failure(long, 6_291_557)["errorType"] == "Function.ResponseSizeTooLarge"
    assert len(answer(long, 6_291_556)) == 6_291_554


def test_a_gem_is_found_where_bundler_puts_it_and_in_a_layer(ruby: Any, tmp_path: Path, version: str) -> None:
    package = kept(GEM, [version.encode()], unpacked)
    library = next(package.glob("usr/**/mustache.rb")).parent
    specification = next(package.glob("usr/**/mustache-*.gemspec"))
    code = tmp_path / "app.rb"
    code.write_text(
        "require 'mustache'\n"
        "def handler(event:, context:)\n"
        "  [Mustache.render('Hello {{name}}', event), Gem.loaded_specs['mustache'].full_gem_path]\nend\n"
    )
    for folder, below in ((tmp_path / "bundled", f"vendor/bundle/ruby/{version}.0"), (tmp_path / "layer", None)):
        gems = folder / (below or f"ruby/gems/{version}.0")
        home = gems / "gems" / specification.stem
        (gems / "specifications").mkdir(parents=True)
        (gems / "specifications" / specification.name).write_bytes(specification.read_bytes())
        for file in library.rglob("*.rb"):
            target = home / "lib" / file.relative_to(library)
            if target.parts[len((home / "lib").parts)].startswith("mustache"):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read_bytes())
    (tmp_path / "bundled" / "app.rb").write_bytes(code.read_bytes())
    bundled = ruby("app.handler", tmp_path / "bundled")
    layered = ruby("app.handler", code, layers=[tmp_path / "layer"])
    for function, root in ((bundled, "/var/task/vendor/bundle/ruby"), (layered, "/opt/ruby/gems")):
        assert answer(function, {"name": "gem"}) == ["Hello gem", f"{root}/{version}.0/gems/{specification.stem}"]


def unpacked(folder: Path) -> None:
    """Debian's package of a gem, without installing it."""
    if subprocess.run(["apt-get", "download", GEM], cwd=folder, check=False, capture_output=True).returncode:
        subprocess.run(
            ["apt-get", "update"], check=True, capture_output=True
        )  # its lists were never fetched, or are old
        subprocess.run(["apt-get", "download", GEM], cwd=folder, check=True, capture_output=True)
    (archive,) = folder.glob("*.deb")
    subprocess.run(["dpkg", "-x", str(archive), str(folder)], check=True)


def test_a_single_file_and_a_folder_are_known_to_be_ruby(tmp_path: Path) -> None:
    assert find_entry(written(tmp_path, "")) == Entry("ruby", "app.lambda_handler")
    assert find_entry(CODE) == Entry("ruby", "lambda_function.lambda_handler")
    assert language_of(CODE, "lambda_function.Deep::Inner.handler") == "ruby"


def test_the_nearest_version_is_chosen_and_none_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    language = Ruby()
    there = [Interpreter(f"/r/{version}/bin/ruby", version) for version in ("3.4.1", "3.3.6", "3.3.5", "3.1.7")]
    monkeypatch.setattr(Ruby, "installed", lambda self: there)
    chosen = {runtime: language.choose(runtime).version for runtime in ("ruby2.7", "ruby3.2", "ruby3.3", "ruby4.0")}
    assert chosen == {"ruby2.7": "3.1.7", "ruby3.2": "3.3.6", "ruby3.3": "3.3.6", "ruby4.0": "3.4.1"}
    assert language.is_exact("ruby3.3", there[1])
    assert not language.is_exact("ruby3.2", there[1])
    monkeypatch.setattr(Ruby, "installed", lambda self: [])
    with pytest.raises(RuntimeMissingError, match=r"ruby3\.4 needs Ruby, which this host lacks: apt-get install ruby"):
        language.choose("ruby3.4")


def test_strict_engines_refuse_another_version() -> None:
    import engine.sync

    wanted = next(name for name in ("ruby3.3", "ruby3.4") if not Ruby().is_exact(name, Ruby().choose(name)))
    with engine.sync.Engine(strict_runtimes=True) as strict:
        with pytest.raises(InvalidParameterValueException, match=f"runtime {wanted} is not run natively here"):
            strict.create_function("f", code=CODE, handler="lambda_function.echoes", runtime=wanted)


def test_a_process_that_waits_is_not_for_functions_with_variables_that_ruby_reads_at_its_start(ruby: Any) -> None:
    language = Ruby()
    interpreter = language.choose("ruby3.4")

    def stock(**environment: str) -> str | None:
        return language.launch(interpreter, Subject("ruby3.4", "a.b", 128, environment)).stock

    assert stock(OWN="1", GEM_PATH="/x", RUBYLIB="/y") == interpreter.executable
    assert stock(RUBYOPT="-w") is stock(LD_PRELOAD="x.so") is stock(RUBY_YJIT_ENABLE="1") is None


def test_ruby_is_among_what_the_host_has() -> None:
    from engine.runtimes.catalog import installed

    assert {each["language"] for each in installed()} >= {"ruby", "python"}
