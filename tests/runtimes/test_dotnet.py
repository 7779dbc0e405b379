""".NET: what is chosen and refused; and class libraries and executable assemblies, run by a stand-in made of mono.

Nothing of Microsoft's .NET, and no package of AWS's for it, is here: see docs/runtimes.md for what that leaves unseen.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS, Door, Function
from mono import built_library, built_program, kept_stand_in, stand_in
from verdicts import answer, comes_to_log, echoes_six_megabytes, ends, failure, runs_out_of_memory, times_out

import engine.runtimes.dotnet as dotnet
from engine.errors import InvalidRuntimeException
from engine.runtimes.contract import RuntimeMissingError, Subject

Make = Callable[..., Function]
PROGRAM = """
public static class Program
{
    public static int Main() { System.Console.WriteLine("a program of its own"); return 4; }
}
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """An engine that has the stand-in on its path, and a cache of its own builds."""
    cache = tmp_path_factory.mktemp("cache")
    cache.chmod(0o755)  # functions have users of their own
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dotnet, "FOLDERS", (str(kept_stand_in()),))
        patch.setenv("ENGINE_CACHE", str(cache))
        with DOORS["blocking"]() as opened:
            yield opened


@pytest.fixture
def library(deploy: Any) -> Make:
    """Deploys the class library, with this method as its handler."""
    return lambda method, **more: deploy(built_library(), f"Behaves::Behaves.Function::{method}", "dotnet8", **more)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes this host one with these versions, and no others."""
    monkeypatch.setattr(dotnet, "FOLDERS", (str(tmp_path / "dotnet"),))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("DOTNET_ROOT", raising=False)
    monkeypatch.setenv("ENGINE_CACHE", str(tmp_path / "cache"))

    def install(*versions: str, sdk: bool = False) -> Path:
        for version in versions:
            stand_in(tmp_path / "dotnet", version, sdk=sdk)
        return tmp_path / "dotnet"

    return install


# --- what is chosen -----------------------------------------------------------------------------------------------


def test_the_newest_of_the_named_version_else_the_next_newer(installed: Callable[..., Path]) -> None:
    folder = installed("6.0.36", "8.0.9", "8.0.11", "9.0.1")
    language = dotnet.Dotnet()
    chosen = {runtime: language.choose(runtime) for runtime in ("dotnet6", "dotnet8", "dotnetcore3.1")}
    assert [each.version for each in chosen.values()] == ["6.0.36", "8.0.11", "6.0.36"]
    exact = [language.is_exact(runtime, each) for runtime, each in chosen.items()]
    assert exact == [True, True, False]
    assert language.homes() == [str(folder)] == [chosen["dotnet8"].home]
    assert [each.version for each in language.installed()] == ["9.0.1", "8.0.11", "8.0.9", "6.0.36"]


def test_without_dotnet_or_with_an_older_one_the_way_out_is_told(installed: Callable[..., Path]) -> None:
    language = dotnet.Dotnet()
    with pytest.raises(
        RuntimeMissingError, match=r"^dotnet8 needs \.NET 8, which this host lacks: apt-get install asp"
    ):
        language.choose("dotnet8")
    installed("8.0.11")
    with pytest.raises(RuntimeMissingError, match=r"lacks; it has 8\.0\.11, which is older: .* --channel 10\.0"):
        language.choose("dotnet10")


def test_an_executable_assembly_needs_no_sdk_and_rolls_forward(installed: Callable[..., Path]) -> None:
    folder = installed("9.0.1")
    language = dotnet.Dotnet()
    launch = language.launch(language.choose("dotnet8"), Subject("dotnet8", "App", 512, {}))
    assert launch.command == ("/bin/sh", "{bootstraps}/dotnet/start", str(folder / "dotnet"), "")
    assert launch.variables["DOTNET_ROLL_FORWARD"] == "Major"
    assert (launch.has_channel, launch.stock) == (False, None)


def test_a_class_library_needs_the_sdk_once(installed: Callable[..., Path]) -> None:
    installed("8.0.11")
    language, subject = dotnet.Dotnet(), Subject("dotnet8", "A::B::C", 512, {})
    with pytest.raises(RuntimeMissingError, match=r"needs the \.NET SDK .* apt-get install dotnet-sdk-8\.0"):
        language.launch(language.choose("dotnet8"), subject)


def test_without_dotnet_functions_are_refused_when_they_are_created(installed: Any, tmp_path: Path) -> None:
    with DOORS["blocking"]() as opened:
        with pytest.raises(RuntimeMissingError, match="dotnet8 needs"):
            opened.create_function("f", code=built_library(), handler="A::B::C", runtime="dotnet8")
        folder = installed("8.0.11", sdk=False)
        with pytest.raises(RuntimeMissingError, match="SDK"):
            opened.create_function("f", code=built_library(), handler="A::B::C", runtime="dotnet8")
        opened.create_function("f", code=built_library(), handler="A", runtime="dotnet8")
        shutil.rmtree(folder)
        with pytest.raises(InvalidRuntimeException, match="dotnet8 needs"):
            opened.invoke("f")


# --- class libraries, by the stand-in -----------------------------------------------------------------------------


def test_typed_input_and_output_by_the_assemblys_serializer(library: Make) -> None:
    typed = library("Typed")
    assert answer(typed, {"name": "Ada", "number": 0}) == {"name": "Hello, Ada!", "number": 1}
    assert answer(typed, {"name": "Lin", "number": 0}) == {"name": "Hello, Lin!", "number": 2}
    assert [result.start for result in typed.results] == ["cold", "warm"]
    line = "exec --runtimeconfig /var/task/Behaves.runtimeconfig.json /var/cache/runtimes/dotnet/"
    assert any(line in said for said in typed.whole_log())


def test_tasks_streams_and_nothing(library: Make) -> None:
    assert answer(library("Later"), "tea") == "TEA"
    assert library("Nothing")({"name": "x"}).payload == b""
    quiet = library("Quiet")
    assert [quiet().payload, quiet().payload] == [b"", b""]
    assert ["quiet: 1" in quiet.log(quiet.results[0]), "quiet: 2" in quiet.log(quiet.results[1])] == [True, True]
    assert answer(library("Echo"), {"as": "it is"}) == {"as": "it is"}


def test_context(library: Make) -> None:
    about = library("About", memory_mb=512, timeout_s=30)
    result = about(None, client_context={"client": {"app_title": "shop"}, "custom": {"a": "b"}})
    told = {pair["Key"]: pair["Value"] for pair in result.json()}
    assert told["request"] == result.request_id
    assert told["arn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{about.name}"
    assert (told["name"], told["memory"]) == (f"{about.name} $LATEST", "512")
    assert (told["log"], told["folder"]) == (f"/aws/lambda/{about.name}", "/var/task")
    assert (told["title"], told["custom"], told["identity"]) == ("shop", "b", "nobody")
    assert 0 < int(told["left"]) <= 30_000
    assert told["trace"].startswith("Root=")
    assert {"by the logger", "to standard error"} <= set(about.log(result))


@pytest.mark.parametrize("method", ["Fails", "FailsLater"])
def test_exceptions_with_stack_and_cause(library: Make, method: str) -> None:
    fails = library(method)
    plain = failure(fails, "plain")
    assert (plain["errorType"], plain["errorMessage"]) == ("InvalidOperationException", 'asked to: "é"\n')
    assert "Behaves.Function" in plain["stackTrace"][0] and "Fails" in plain["stackTrace"][0]
    told = failure(fails, "cause")
    assert (told["errorType"], told["errorMessage"]) == ("OutOfStockException", "tea is out of stock")
    assert (told["cause"]["errorType"], told["cause"]["errorMessage"]) == ("InvalidOperationException", "empty shelf")
    assert any("Innermost" in line for line in told["stackTrace"])
    assert answer(fails, "fine") == "fine"
    assert {result.start for result in fails.results[1:]} == {"warm"}


def test_six_megabytes_both_ways(library: Make) -> None:
    echoes_six_megabytes(library("Echo"))


def test_time_out_memory_and_exit(library: Make) -> None:
    hasty = library("Fails", timeout_s=1)
    assert answer(hasty, "warm up") == "warm up"
    times_out(hasty, "sleep")
    small = library("Fails", memory_mb=256)
    runs_out_of_memory(small, "hog")
    ends(small, "exit", "Runtime.ExitError", "Runtime exited with error: exit status 3")
    assert answer(small, "fine") == "fine"


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        ("Behaves::Behaves.Function", "Invalid lambda function handler: 'Behaves::Behaves.Function'"),
        ("Behaves::Behaves.Nothing::Run", "Unable to load type 'Behaves.Nothing' from assembly 'Behaves'."),
        ("Behaves::Behaves.Function::None", "Found no methods matching method name 'None'"),
        ("Behaves::Behaves.Function::Twice", "Found multiple methods matching method name 'Twice'"),
        ("Behaves::Behaves.Function::ThreeOf", "has 3 parameters"),
    ],
)
def test_a_handler_that_is_not_there(deploy: Any, handler: str, words: str) -> None:
    told = failure(deploy(built_library(), handler, "dotnet8"))
    assert told["errorType"] == "LambdaValidationException"
    assert words in told["errorMessage"]


def test_a_constructor_that_throws(deploy: Any) -> None:
    told = failure(deploy(built_library(), "Behaves::Behaves.Unborn::Run", "dotnet8"))
    assert (told["errorType"], told["errorMessage"]) == ("OutOfStockException", "constructor is out of stock")


def test_a_library_without_its_runtimeconfig(deploy: Any, tmp_path: Path) -> None:
    shutil.copy2(built_library() / "Behaves.dll", tmp_path)
    bare = deploy(tmp_path, "Behaves::Behaves.Function::Quiet", "dotnet8")
    ends(bare, None, "Runtime.ExitError", "Runtime exited with error: exit status 1")
    comes_to_log(bare, "/var/task/Behaves.runtimeconfig.json is not there")


# --- executables --------------------------------------------------------------------------------------------------


def test_an_executable_assembly_is_given_to_dotnet(deploy: Any) -> None:
    program = deploy(built_program(PROGRAM, "App"), "App", "dotnet8")
    ends(program, None, "Runtime.ExitError", "Runtime exited with error: exit status 4")
    comes_to_log(program, "a program of its own")
    comes_to_log(program, "stand-in dotnet: /var/task/App.dll")


@pytest.mark.parametrize("name", ["App", "bootstrap"])
def test_a_program_that_brings_its_own_dotnet_is_run_itself(deploy: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("#!/bin/sh\necho on its own\nexit 5\n")
    (tmp_path / name).chmod(0o755)
    (tmp_path / "App.dll").touch()
    (tmp_path / "App.runtimeconfig.json").write_text('{"runtimeOptions": {"includedFrameworks": []}}')
    program = deploy(tmp_path, "App", "dotnet8")
    ends(program, None, "Runtime.ExitError", "Runtime exited with error: exit status 5")
    comes_to_log(program, "on its own")


def test_a_handler_that_names_nothing(deploy: Any, tmp_path: Path) -> None:
    (tmp_path / "readme").touch()
    nothing = deploy(tmp_path, "App", "dotnet8")
    ends(nothing, None, "Runtime.ExitError", "Runtime exited with error: exit status 1")
    comes_to_log(nothing, "names neither an executable assembly")
