"""`find_handler`: the rule by which a bundle's handler is found when its user named none."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from engine.errors import InvalidParameterValueException
from engine.store.entry import find_entry, find_handler, language_of

DEF = "def {}(event, context):\n    return event\n"


def bundle(root: Path, **modules: str) -> Path:
    for name, source in modules.items():
        (root / f"{name}.py").write_text(source)
    return root


def test_app_handler_comes_first(tmp_path: Path) -> None:
    bundle(tmp_path, app=DEF.format("handler"), lambda_function=DEF.format("lambda_handler"))
    assert find_handler(tmp_path) == "app.handler"


def test_lambda_function_comes_second_even_beside_an_app_without_a_handler(tmp_path: Path) -> None:
    bundle(tmp_path, app="x = 1\n", lambda_function=DEF.format("lambda_handler"))
    assert find_handler(tmp_path) == "lambda_function.lambda_handler"


@pytest.mark.parametrize("name", ["handler", "lambda_handler"])
def test_the_only_module_is_searched_for_either_name(tmp_path: Path, name: str) -> None:
    assert find_handler(bundle(tmp_path, resize=DEF.format(name))) == f"resize.{name}"


def test_of_two_names_in_the_only_module_handler_wins(tmp_path: Path) -> None:
    bundle(tmp_path, resize=DEF.format("lambda_handler") + DEF.format("handler"))
    assert find_handler(tmp_path) == "resize.handler"


def test_a_single_file_is_its_own_only_module(tmp_path: Path) -> None:
    bundle(tmp_path, other=DEF.format("handler"), job=DEF.format("lambda_handler"))
    assert find_handler(tmp_path / "job.py") == "job.lambda_handler"


def test_a_zip_is_read_without_unpacking_and_its_packages_are_no_modules(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as code:
        code.writestr("main.py", DEF.format("handler"))
        code.writestr("vendored/app.py", DEF.format("handler"))
    assert find_handler(tmp_path / "code.zip") == "main.handler"


@pytest.mark.parametrize(
    "source",
    [
        "handler = object()",
        "handler: object = object()",
        "other, handler = 1, 2",
        "from elsewhere import handler",
        "from elsewhere import main as handler",
        "from elsewhere import *",
        "async def handler(event, context): ...",
        "try:\n    from fast import handler\nexcept ImportError:\n    pass",
        "try:\n    import fast\nexcept ImportError:\n    handler = None",
        "if True:\n    pass\nelse:\n    handler = 1",
    ],
)
def test_anything_that_binds_the_name_at_the_top_level_counts(tmp_path: Path, source: str) -> None:
    assert find_handler(bundle(tmp_path, app=source)) == "app.handler"


@pytest.mark.parametrize(
    "source",
    ["", "def f():\n    handler = 1", "class A:\n    def handler(self): ...", "print(handler)", "x.handler = 1"],
)
def test_a_name_that_is_not_bound_at_the_top_level_does_not_count(tmp_path: Path, source: str) -> None:
    with pytest.raises(InvalidParameterValueException):
        find_handler(bundle(tmp_path, app=source))


@pytest.mark.parametrize("source", [b"def handler(:\n", b"\0", b"# coding: nonsense\n"])
def test_a_module_that_does_not_parse_is_left_for_the_runtime_to_report(tmp_path: Path, source: bytes) -> None:
    (tmp_path / "app.py").write_bytes(source)
    assert find_handler(tmp_path) == "app.handler"


def test_user_code_is_never_run(tmp_path: Path) -> None:
    bundle(tmp_path, app="raise SystemExit\n" + DEF.format("handler"))
    assert find_handler(tmp_path) == "app.handler"


def test_the_error_names_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    bundle(tmp_path, one=DEF.format("handler"), two=DEF.format("handler"))
    with pytest.raises(InvalidParameterValueException) as caught:
        find_handler(tmp_path)
    for part in (str(tmp_path), "app.handler", "lambda_function.lambda_handler", "one.py, two.py"):
        assert part in caught.value.message


def test_the_error_lists_a_bounded_number_of_modules(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterValueException, match="…"):
        find_handler(bundle(tmp_path, **{f"m{i}": "" for i in range(50)}))


def test_an_empty_folder_has_no_handler(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterValueException, match="modules there: none"):
        find_handler(tmp_path)


@pytest.mark.parametrize("name", ["absent", "notes.txt", "broken.zip"])
def test_a_path_that_is_no_code_is_refused_by_name(tmp_path: Path, name: str) -> None:
    if name != "absent":
        (tmp_path / name).write_text("not code")
    with pytest.raises(InvalidParameterValueException, match=name):
        find_handler(tmp_path / name)


@pytest.mark.parametrize("suffix", [".js", ".mjs", ".cjs"])
def test_a_javascript_file_or_an_index_of_it_is_a_function_of_node(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"index{suffix}").write_text("exports.handler = 1")
    (tmp_path / f"other{suffix}").write_text("exports.handler = 1")
    assert find_entry(tmp_path) == ("nodejs", "index.handler")
    assert find_entry(tmp_path / f"other{suffix}") == ("nodejs", "other.handler")
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as code:
        code.write(tmp_path / f"index{suffix}", f"index{suffix}")
    assert find_entry(tmp_path / "code.zip") == ("nodejs", "index.handler")


def test_pythons_conventions_come_before_an_index_and_its_only_module_after(tmp_path: Path) -> None:
    bundle(tmp_path, build=DEF.format("handler"))
    (tmp_path / "index.js").write_text("exports.handler = 1")
    assert find_entry(tmp_path) == ("nodejs", "index.handler")
    bundle(tmp_path, app=DEF.format("handler"))
    assert find_entry(tmp_path) == ("python", "app.handler")


def test_the_language_of_a_handler_is_that_of_its_file(tmp_path: Path) -> None:
    bundle(tmp_path, app=DEF.format("handler"))
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.mjs").write_text("export const handler = 1")
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as code:
        code.writestr("src/main.cjs", "exports.handler = 1")
    assert language_of(tmp_path, "app.handler") == "python"
    assert language_of(tmp_path, "src/main.a.b") == "nodejs"
    assert language_of(tmp_path, "absent.handler") == "python"
    assert language_of(tmp_path / "src" / "main.mjs", "main.handler") == "nodejs"
    assert language_of(tmp_path / "code.zip", "src/main.handler") == "nodejs"
