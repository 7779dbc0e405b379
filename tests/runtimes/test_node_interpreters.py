"""Which Node.js of the host's runs a function, and with which options: real executables that tell a version."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.runtimes import nodejs
from engine.runtimes.catalog import language_of, newest_runtime
from engine.runtimes.contract import Interpreter, Launch, RuntimeMissingError, Subject
from engine.runtimes.nodejs import NodeJs

LANGUAGE = NodeJs()
Install = Callable[[str, str], str]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes a program that says it is Node.js; of those that this host has, none is seen."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(nodejs, "_FOLDERS", tuple(each for each in nodejs._FOLDERS if each.startswith("~")))

    def make(place: str, version: str) -> str:
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        source = f'#include <stdio.h>\nint main(void) {{ puts("v{version}"); return 0; }}\n'
        command = ["/usr/bin/env", "PATH=/usr/local/bin:/usr/bin:/bin", "gcc", "-x", "c", "-", "-o", str(path)]
        subprocess.run(command, input=source, text=True, check=True)
        return str(path)

    return make


def launched(runtime: str = "nodejs20.x", version: str = "20.20.2", memory_mb: int = 128, **environment: str) -> Launch:
    subject = Subject(runtime, "index.handler", memory_mb, environment)
    return LANGUAGE.launch(Interpreter("/usr/bin/node", version), subject)


def test_the_exact_version_then_the_next_newer_then_the_newest(install: Install) -> None:
    old = install(".nvm/versions/node/v18.20.8/bin/node", "18.20.8")
    middle = install(".local/share/fnm/node-versions/v20.1.0/installation/bin/node", "20.1.0")
    new = install("bin/node", "22.3.0")
    install(".volta/tools/image/node/12.0.0/bin/node", "12.0.0")  # too old for any
    assert [each.version for each in LANGUAGE.installed()] == ["22.3.0", "20.1.0", "18.20.8"]
    chosen = {number: LANGUAGE.choose(f"nodejs{number}.x").executable for number in (16, 18, 20, 22, 24)}
    assert chosen == {16: old, 18: old, 20: middle, 22: new, 24: new}
    exact = {number: LANGUAGE.is_exact(f"nodejs{number}.x", LANGUAGE.choose(f"nodejs{number}.x")) for number in chosen}
    assert exact == {16: False, 18: True, 20: True, 22: True, 24: False}


def test_the_newest_patch_of_a_version_is_taken(install: Install) -> None:
    install(".asdf/installs/nodejs/20.9.0/bin/node", "20.9.0")
    newest = install(".asdf/installs/nodejs/20.10.0/bin/node", "20.10.0")
    assert LANGUAGE.choose("nodejs20.x").executable == newest


def test_homes_are_shown_without_running_anything(install: Install, tmp_path: Path) -> None:
    install(".nodenv/versions/20.9.0/bin/node", "20.9.0")
    install("bin/nodejs", "22.0.0")
    assert set(LANGUAGE.homes()) == {str(tmp_path), str(tmp_path / ".nodenv/versions/20.9.0")}


def test_launchers_of_version_managers_are_passed_over(install: Install, tmp_path: Path) -> None:
    shim = tmp_path / "bin" / "node"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\necho v20.0.0\n")
    shim.chmod(0o755)
    (tmp_path / "bin" / "nodejs").symlink_to(install("volta-shim", "20.0.0"))
    assert LANGUAGE.installed() == []


def test_what_is_missing_is_told_with_what_installs_it(install: Install) -> None:
    with pytest.raises(RuntimeMissingError, match=r"^nodejs22\.x needs Node\.js, .*: apt-get install nodejs$"):
        LANGUAGE.choose("nodejs22.x")


VERSIONS = [("20.9.0", "nodejs20.x"), ("23.1.0", "nodejs22.x"), ("99.0", "nodejs26.x")]


@pytest.mark.parametrize(("version", "runtime"), VERSIONS)
def test_code_without_a_runtime_gets_the_newest_that_this_host_serves(
    install: Install, version: str, runtime: str
) -> None:
    install("bin/node", version)
    assert newest_runtime("nodejs") == runtime


def test_it_serves_nodes_runtimes_only() -> None:
    for runtime in ("nodejs12.x", "nodejs26.x"):
        assert isinstance(language_of(runtime), NodeJs)
    for runtime in ("nodejs", "nodejs8.10", "python3.12", "nodejs20.xx", "provided.al2023"):
        assert not LANGUAGE.serves(runtime)


def test_heap_and_search_path_are_lambdas() -> None:
    launch = launched(memory_mb=1_024)
    assert {"--max-semi-space-size=51", "--max-old-space-size=922", "--expose-gc"} <= set(launch.command)
    assert launch.command[-1] == "{bootstraps}/node/main.cjs"
    layers = "{opt}/nodejs/node20/node_modules:{opt}/nodejs/node_modules"
    assert launch.variables == {"NODE_PATH": f"{layers}:/var/runtime/node_modules:/var/runtime:{{task}}"}
    assert launch.has_channel


@pytest.mark.parametrize("options", ["--max-old-space-size=64", "--no-warnings --max_semi_space_size=8"])
def test_a_heap_that_the_user_chose_is_left(options: str) -> None:
    assert not [option for option in launched(NODE_OPTIONS=options).command if "space" in option]


@pytest.mark.parametrize(
    ("runtime", "version", "off"),
    [
        ("nodejs18.x", "18.20.0", set()),
        ("nodejs18.x", "20.20.0", {"require", "detect"}),
        ("nodejs20.x", "20.18.0", set()),
        ("nodejs20.x", "20.20.0", {"require"}),
        ("nodejs20.x", "21.7.0", set()),
        ("nodejs22.x", "22.12.0", {"require", "detect"}),
        ("nodejs22.x", "24.0.0", {"require", "detect"}),
        ("nodejs24.x", "24.0.0", set()),
    ],
)
def test_what_lambda_switches_off_is_off(runtime: str, version: str, off: set[str]) -> None:
    expected = {f"--no-experimental-{name}-module" for name in off}
    assert {each for each in launched(runtime, version).command if each.startswith("--no-")} == expected
    again = launched(runtime, version, NODE_OPTIONS="--experimental-require-module").command
    assert "--no-experimental-require-module" not in again


EARLY = ["NODE_OPTIONS", "LD_PRELOAD", "UV_THREADPOOL_SIZE", "AWS_LAMBDA_EXEC_WRAPPER", "LANG"]


@pytest.mark.parametrize("name", EARLY)
def test_a_process_cannot_be_started_before_such_variables_are_known(name: str) -> None:
    assert launched(**{name: "1"}).stock is None


def test_processes_of_one_kind_are_alike() -> None:
    plain = launched().stock
    assert plain is not None
    assert launched(NODE_ENV="production", TZ="Asia/Tokyo", COLOUR="blue", NODE_PATH="/x").stock == plain
    assert launched(memory_mb=512).stock != plain
    assert launched("nodejs18.x").stock != plain
