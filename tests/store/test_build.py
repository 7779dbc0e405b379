"""Requirements are installed by the interpreter's own pip, once per content."""

from __future__ import annotations

import os
import sys
import threading
import venv
from pathlib import Path

import pytest

from engine.errors import BuildError
from engine.store.build import Builder
from engine.store.requirements import read_requirements
from engine.store.source import bundle
from engine.store.unpack import unpack_zip

PACKAGE = {
    "pyproject.toml": '[build-system]\nrequires=[]\nbuild-backend="backend"\nbackend-path=["."]\n',
    # A build backend of its own: these tests need neither setuptools nor an index.
    "backend.py": """
import zipfile
def build_wheel(where, config_settings=None, metadata_directory=None):
    name = "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(where + "/" + name, "w") as wheel:
        wheel.writestr("tiny.py", open("tiny_source.py").read())
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return name
""",
    "tiny_source.py": "ANSWER = 42\n",
}


def project(folder: Path, requirements: str | bytes) -> Path:
    for name, content in PACKAGE.items():
        (folder / "tiny" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tiny" / name).write_text(content)
    raw = requirements if isinstance(requirements, bytes) else requirements.encode()
    (folder / "requirements.txt").write_bytes(raw)
    (folder / "app.py").write_text("import tiny\n")
    return folder


def installed(builder: Builder, folder: Path) -> tuple[set[str], list[str]]:
    """Names of what was installed, and pip's lines."""
    lines: list[str] = []
    with builder.packages(folder, progress=lines.append) as packages:
        assert packages is not None
        return {path.name for path in packages.iterdir()}, lines


def test_a_package_from_the_index_is_installed_once_and_then_found(tmp_path: Path) -> None:
    folder = project(tmp_path / "code", "six==1.17.0\n")
    names, lines = installed(Builder(cache=tmp_path / "cache"), folder)
    assert names == {"six.py", "six-1.17.0.dist-info"}
    assert any("Successfully installed six-1.17.0" in line for line in lines)
    again = Builder(cache=tmp_path / "cache")
    assert installed(again, folder) == (names, [])  # no line: no pip
    first: list[str] = []
    for number in range(2):
        with bundle(folder, build=again, progress=first.append) as zipped:
            assert isinstance(zipped, Path)
            unpack_zip(zipped, tmp_path / f"out{number}")
        assert (tmp_path / f"out{number}/six.py").is_file()
        assert (tmp_path / f"out{number}/app.py").is_file()
    assert first == []


def test_the_folders_own_files_lie_over_the_packages(tmp_path: Path) -> None:
    folder = project(tmp_path / "code", "./tiny\n")
    (folder / "tiny.py").write_text("ANSWER = 'mine'\n")
    with bundle(folder, build=Builder(cache=tmp_path / "cache")) as zipped:
        assert isinstance(zipped, Path)
        unpack_zip(zipped, tmp_path / "out")
    assert (tmp_path / "out/tiny.py").read_text() == "ANSWER = 'mine'\n"


def test_pips_failure_is_told_in_its_own_last_lines(tmp_path: Path) -> None:
    folder = project(tmp_path / "code", "./missing-package\n")
    cache = tmp_path / "cache"
    with pytest.raises(BuildError, match=r"requirements\.txt \(exit status 1\):\n(.*\n)*.*missing-package") as caught:
        installed(Builder(cache=cache), folder)
    assert "To see it alone" in str(caught.value)
    assert [path.name for path in cache.iterdir() if path.is_dir()] == []


def test_an_interpreter_without_pip_says_so(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    builder = Builder(python=tmp_path / "bare/bin/python", cache=tmp_path / "cache")
    with pytest.raises(BuildError, match="bare/bin/python has no pip"):
        installed(builder, project(tmp_path / "code", "./tiny"))


def test_nothing_to_install_runs_nothing(tmp_path: Path) -> None:
    builder = Builder(python="/no/such/python", cache=tmp_path / "cache")
    for text in ("", "\n  \n# six\n   # more\n"):
        with builder.packages(project(tmp_path / "code", text)) as packages:
            assert packages is None
    with builder.packages(tmp_path) as packages:
        assert packages is None
    assert not (tmp_path / "cache").exists()


def test_settings_and_modules_of_the_surroundings_do_not_reach_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path / "code", "./tiny\n")
    for shadow in ("pip.py", "email.py", "sitecustomize.py"):
        (folder / shadow).write_text("raise SystemExit('shadowed')\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PIP_DRY_RUN", "1")
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    names, _ = installed(Builder(cache=tmp_path / "cache"), folder)
    assert "tiny.py" in names
    assert not (tmp_path / "elsewhere").exists()


def test_the_index_of_the_surroundings_does_reach_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    builder = Builder()
    assert builder.cache == tmp_path / "xdg/invocation-engine/bundles"
    with pytest.raises(BuildError, match="six"):
        installed(builder, project(tmp_path / "code", "six==1.17.0\n"))


def key(folder: Path) -> str:
    wanted = read_requirements(folder)
    assert wanted is not None
    return wanted.key("cpython-311")


def test_the_key_follows_every_file_that_decides(tmp_path: Path) -> None:
    folder = project(tmp_path / "code", "-r more/dev.txt\n-c limits.txt\n./tiny\n")
    (folder / "more").mkdir()
    (folder / "more/dev.txt").write_text("--requirement=deep.txt\n")
    (folder / "more/deep.txt").write_text("six\n-r dev.txt\n")
    (folder / "limits.txt").write_text("six<2\n")
    keys = {key(folder)}
    for name in ("more/dev.txt", "more/deep.txt", "limits.txt", "requirements.txt", "tiny/tiny_source.py"):
        (folder / name).write_text((folder / name).read_text() + "# changed\n")
        keys.add(key(folder))
    assert len(keys) == 6
    (folder / "app.py").write_text("other")
    assert key(folder) in keys
    assert read_requirements(folder).key("cpython-312") not in keys  # type: ignore[union-attr]


def test_requirements_saved_by_windows_are_read(tmp_path: Path) -> None:
    folder = project(tmp_path / "code", "-r other.txt\r\n".encode("utf-16"))
    with pytest.raises(BuildError, match=r"other\.txt cannot be read: No such file"):
        read_requirements(folder)


def test_only_the_most_recently_used_bundles_are_kept(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    builder = Builder(cache=cache, kept=2)
    folders = [project(tmp_path / f"code{n}", f"./tiny\n# {n}\n") for n in range(3)]
    installed(builder, folders[0])
    installed(builder, folders[1])
    first, second = sorted(cache.glob("*.lock"), key=lambda path: path.with_suffix("").stat().st_mtime_ns)
    os.utime(first.with_suffix(""), (1, 1))
    os.utime(second.with_suffix(""), (2, 2))
    assert installed(builder, folders[0])[1] == []  # used again: now the second is the oldest
    installed(builder, folders[2])
    assert first.exists() and first.with_suffix("").is_dir()
    assert not second.exists() and not second.with_suffix("").exists()


def test_one_of_two_builds_of_the_same_waits_for_the_other(tmp_path: Path) -> None:
    folder = project(tmp_path / "code", "./tiny\n")
    outcomes: list[list[str]] = []

    def build() -> None:
        outcomes.append(installed(Builder(cache=tmp_path / "cache"), folder)[1])

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(any("Successfully installed" in line for line in lines) for lines in outcomes) == 1


def test_a_caller_that_gives_up_ends_pip_and_leaves_no_tree(tmp_path: Path) -> None:
    folder = project(tmp_path / "code", "./tiny\n")

    def give_up(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        with Builder(cache=tmp_path / "cache").packages(folder, progress=give_up):
            pass
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []
    assert "tiny.py" in installed(Builder(python=sys.executable, cache=tmp_path / "cache"), folder)[0]
