"""What README.md and docs/ show is run as it stands there; what they say of names and bounds is held to the code."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import service

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
PROTOCOL, SERVICE, LOAD = ((ROOT / "docs" / f"{name}.md").read_text() for name in ("protocol", "service", "load"))
SHELL = f'set -e; engine() {{ {sys.executable} -P -m engine "$@"; }}\n'
ON_A_LOOP = (
    "import asyncio\nfrom engine import Engine\nasync def main():\n{body}\n    print(len(results))\nasyncio.run(main())"
)


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a folder that has the README's app.py; PYTHONWARNINGS: nothing that is shown may warn."""
    (folder / "app.py").write_text(blocks("python")[0])
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONWARNINGS": "error", **environment},
    )  # fmt: skip


def run_python(program: str, folder: Path, **environment: str) -> str:
    """Its standard output."""
    done = run([sys.executable, "-P", "-c", program], folder, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def on_a_loop(block: str) -> str:
    """A block with `await` and `results`, as a program that prints how many results there are."""
    program = ON_A_LOOP.format(body="\n".join(f"    {line}" for line in block.splitlines()))
    ast.parse(program)
    return program


def method_rows() -> list[tuple[set[str], set[str]]]:
    """Of the protocol's table of methods: names, and what their parameters are called."""
    table = PROTOCOL[PROTOCOL.index("| method | parameters |") :].partition("\n\n")[0]
    cells = [row.split("|")[1:3] for row in table.splitlines()[2:]]
    return [(set(re.findall(r"`(\w+)`", names)), set(re.findall(r"`(\w+)`", told))) for names, told in cells]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a service that has the function `hello`, deployed and used by the commands that the README shows."""
    folder = tmp_path_factory.mktemp("readme")
    with service(folder) as (where,):
        commands = next(block for block in blocks("sh") if block.startswith("engine deploy"))
        done = run(["sh", "-c", SHELL + commands], folder, ENGINE_SOCKET=where)
        assert done.returncode == 0, done.stderr
        for told in ("function:hello:1", "Hello, Ada!", "REPORT RequestId: ", "live", "$LATEST", "total"):
            assert told in done.stdout, done.stdout
        assert "asked for Ada" in done.stderr
        yield where


def test_the_blocking_example_runs_and_prints_a_report(tmp_path: Path) -> None:
    said = run_python(blocks("python")[1], tmp_path)
    assert "'greeting': 'Hello, Ada!'" in said
    assert "REPORT RequestId: " in said


def test_the_asyncio_example_runs(tmp_path: Path) -> None:
    body = blocks("python")[2].replace("from engine import Engine\n", "")
    assert run_python(on_a_loop(body), tmp_path).strip() == "256"


def test_the_function_is_run_from_the_shell(tmp_path: Path) -> None:
    command = next(block for block in blocks("sh") if block.startswith("engine run app.py"))
    done = run(["sh", "-c", SHELL + command], tmp_path)
    assert (done.returncode, "Hello, Ada!" in done.stdout) == (0, True), done.stderr


def test_the_blocking_client_runs(tmp_path: Path, address: str) -> None:
    assert "Hello, Ada!" in run_python(blocks("python")[3], tmp_path, ENGINE_SOCKET=address)


def test_the_asyncio_client_runs(tmp_path: Path, address: str) -> None:
    assert run_python(on_a_loop(blocks("python")[4]), tmp_path, ENGINE_SOCKET=address).strip() == "256"


def test_the_client_without_this_package_runs(tmp_path: Path, address: str) -> None:
    said = run_python(blocks("python", PROTOCOL)[0], tmp_path, ENGINE_SOCKET=address.removeprefix("unix:"))
    assert said.startswith('1 1 None b\'{"greeting": "Hello, Ada!"')


def test_a_stream_is_read_without_this_package(tmp_path: Path, address: str) -> None:
    said = run_python(blocks("python", PROTOCOL)[1], tmp_path, ENGINE_SOCKET=address.removeprefix("unix:"))
    assert said.startswith('b\'{"greeting": "Hello, Ada!"')


def test_the_load_example_runs(tmp_path: Path) -> None:
    command = blocks("sh", LOAD)[0].replace("tests/functions", str(ROOT / "tests/functions"))
    done = run(["sh", "-c", SHELL + command], tmp_path)
    assert (done.returncode, (tmp_path / "run.html").exists()) == (0, True), done.stderr


def test_the_set_up_commands_are_the_promised_ones() -> None:
    event = "tests/functions/thumbnail/event.json"
    assert f"pip install . && engine run tests/functions/thumbnail --event @{event}" in README
    assert "pip install '.[test]' && pytest" in README


def test_every_file_the_documents_name_is_there() -> None:
    codemap = README[README.index("## Codemap") :]
    for folder in re.findall(r"`(engine/\w+/|ext/engine/_ext/)", codemap):
        assert (ROOT / folder).is_dir(), folder
    for room in ("app.py", "sync.py", "cli.py", "errors.py", "model.py", "states.py", "config.py", "settings.py"):
        assert (ROOT / "engine" / room).is_file()
    for folder, text in ((ROOT, README), *((ROOT / "docs", text) for text in (PROTOCOL, SERVICE, LOAD))):
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
            assert (folder / link).exists(), link


def test_every_room_is_on_the_codemap() -> None:
    codemap = README[README.index("## Codemap") :]
    rooms = [folder.parent.name for folder in (ROOT / "engine").glob("*/__init__.py") if folder.parent.name != "_ext"]
    assert [room for room in rooms if f"`engine/{room}/`" not in codemap] == []
    compiled = [source.stem for source in (ROOT / "ext").glob("*.pyx") if not source.stem.startswith("queue")]
    assert [name for name in compiled if f"`{name}`" not in codemap] == []


def test_the_bounds_in_the_table_are_those_in_the_code() -> None:
    from engine import config
    from engine._ext import linux

    for number in (
        config.EVENT_MAX_BYTES,
        config.ANSWER_MAX_BYTES,
        config.STREAM_MAX_BYTES,
        linux.SLOT_COUNT,
        config.LEDGER_RECORDS,
    ):
        assert f"{number:,}" in README
    assert f"| environments of a version | {config.ENVIRONMENTS_MAX:,}" in README


def test_the_sockets_bounds_are_those_in_the_code() -> None:
    from engine._ext import connection
    from engine.client import opening
    from engine.rpc import server, service, uploads
    from engine.rpc import streams as served
    from engine.wire import messages, streams

    mib = 1 << 20
    (said_too_long,) = (why for why in connection.VIOLATIONS.values() if "token" in why)
    for row in (
        f"| a message | {connection.MESSAGE_MAX // mib} MiB ({connection.MESSAGE_MAX:,} bytes)",
        f"| arrays and maps within each other | {connection.DEPTH_MAX},",
        f"| requests of a connection not answered yet | {connection.IN_FLIGHT_MAX:,} ",
        f"| answers that a client has not taken | {connection.WRITE_BUFFER_MAX // mib} MiB ",
        f"| … and what is still answered meanwhile | {connection.UNREAD_MAX // mib} MiB ",
        f"| connections | {server.CONNECTIONS_MAX:,} ",
        f"| streams of a connection at a time | {served.STREAMS_MAX} ",
        f"{streams.WINDOW_BYTES:,} bytes may be sent from the start",
        f"the next bytes, {served.PIECE_BYTES:,} at most",
        f"| uploads of a connection | {uploads.UPLOADS_MAX} ",
        f"| an upload | {uploads.ARCHIVE_MAX_BYTES:,} bytes ",
        f"the token | {server.AUTHENTICATION_S:g} s each ",
        f"what a client may say without the token | {int(said_too_long.split()[-1]):,} bytes ",
        f"{messages.OUTSTANDING_MAX:,} calls outstanding",
        f"{messages.ANSWER_MAX_BYTES // mib} MiB for an answer",
        f"zips over {messages.INLINE_CODE_BYTES // mib} MiB travel as uploads, {messages.UPLOAD_PART_BYTES // mib} MiB",
        f"for at most {opening.CONNECT_TIMEOUT_S:g} s",
    ):
        assert row in PROTOCOL, row
    assert (len(opening.BACK_OFF_S), "five attempts" in PROTOCOL) == (5, True)
    assert f"| `--drain S` | {service.DRAIN_S:g} |" in SERVICE


def test_every_method_of_the_protocol_is_in_its_table() -> None:
    from engine.rpc.methods import METHODS, OTHERS

    assert {name for names, _ in method_rows() for name in names} == {*METHODS, *OTHERS}


def test_the_methods_in_the_tables_take_the_arguments_that_engine_takes() -> None:
    import inspect

    from engine import Engine
    from engine.rpc.methods import METHODS

    for names, told in method_rows():
        for name in names & METHODS.keys():
            takes = {*inspect.signature(getattr(Engine, name)).parameters} - {"self", "changes", "layers"}
            assert told - {"layers"} == takes, name


def test_every_command_and_option_that_is_shown_exists() -> None:
    from engine.cli import main

    table = README[README.index("### The command line") : README.index("### What a function finds")]
    rows = dict(re.findall(r"^\| `engine (\w+)(.*)$", table, re.MULTILINE))
    assert rows.keys() == main.commands.keys()
    pages = {"serve": SERVICE, "bench": LOAD}
    for name, row in rows.items():
        known = {option for each in main.commands[name].params for option in (*each.opts, *each.secondary_opts)}
        shown = row.rpartition("` |")[0] + "".join(re.findall(r"^\| (.*?) \|", pages.get(name, ""), re.MULTILINE))
        assert {*re.findall(r"--[a-z-]+", shown)} - known == set(), name
        if name in pages:
            hidden = {"--help", "--progress", "--no-progress", "--json", "--html", "--embedded"}
            assert {option for option in known if option.startswith("--")} - hidden - {
                *re.findall(r"--[a-z-]+", pages[name])
            } == set(), name
