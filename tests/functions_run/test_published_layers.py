"""Published layers on a real engine: functions use them by ARN, beside layers of their own, also after a deletion."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from doors import ONE_VCPU_MB, Door

from engine import errors
from engine.sync import Engine

READ = "import shared\n\ndef handler(event, context):\n    return shared.WHO\n"


def zipped(who: str, **more: bytes) -> bytes:
    """A layer with `python/shared.py` that tells who it is."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in {"python/shared.py": f"WHO = {who!r}\n".encode(), **more}.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(READ)
    return tmp_path / "app.py"


@pytest.fixture
def name(door: Door) -> Iterator[str]:
    """For a function that the test makes."""
    made = f"f-{uuid4().hex[:8]}"
    yield made
    door.delete_function(made)


def answer(door: Door, name: str) -> Any:
    result = door.invoke(name)
    assert result.function_error is None, result.payload
    return result.json()


def test_layers_by_arn_and_as_code_are_merged_in_their_order(door: Door, app: Path, name: str) -> None:
    first, second = (door.publish_layer_version(f"l-{uuid4().hex[:8]}", code=zipped(who)) for who in ("one", "two"))
    arns = [first.layer_version_arn, second.layer_version_arn]
    settings = {"code": app, "handler": "app.handler", "memory_mb": ONE_VCPU_MB}
    made = door.create_function(name, layers=[arns[0], zipped("own"), arns[1]], **settings)
    assert made.layer_arns == (arns[0], "", arns[1])
    assert [made.layers[0].sha256, made.layers[2].sha256] == [first.code.sha256, second.code.sha256]
    assert answer(door, name) == "two"
    changed = door.update_function_configuration(name, layers=[arns[1], arns[0]])
    assert changed.layer_arns == (arns[1], arns[0])
    assert answer(door, name) == "one"
    assert door.update_function_configuration(name, timeout_s=9).layer_arns == changed.layer_arns
    assert door.get_function(name).layer_arns == changed.layer_arns
    assert door.update_function_configuration(name, layers=[zipped("own")]).layer_arns == ("",)
    assert answer(door, name) == "own"


def test_a_deleted_layer_still_works_for_functions_that_use_it(door: Door, app: Path, name: str) -> None:
    layer = f"l-{uuid4().hex[:8]}"
    arn = door.publish_layer_version(layer, code=zipped(layer)).layer_version_arn
    door.create_function(name, code=app, handler="app.handler", layers=[arn], memory_mb=ONE_VCPU_MB)
    door.delete_layer_version(layer, 1)
    assert answer(door, name) == layer
    assert door.update_function_configuration(name, memory_mb=ONE_VCPU_MB + 1).layer_arns == (arn,)
    assert answer(door, name) == layer
    door.publish_version(name)
    with pytest.raises(errors.InvalidParameterValueException, match=f"Layer version {arn} does not exist"):
        door.update_function_configuration(name, layers=[arn])
    assert door.publish_layer_version(layer, code=zipped(layer)).version == 2


def test_a_refused_function_leaves_no_code_behind(door: Door, app: Path) -> None:
    layer = f"l-{uuid4().hex[:8]}"
    made = door.publish_layer_version(layer, code=zipped(layer))
    own = zipped("refused")
    for layers in ([made.layer_version_arn, own, f"{made.layer_arn}:7"], [made.layer_version_arn] * 2):
        with pytest.raises(errors.InvalidParameterValueException):
            door.create_function("refused", code=app, handler="app.handler", layers=layers)
    door.delete_layer_version(layer, 1)
    with pytest.raises(errors.ResourceNotFoundException):
        door.read_code(made.code.sha256)


def test_what_is_no_layer_leaves_nothing(door: Door) -> None:
    with pytest.raises(errors.InvalidZipFileException):
        door.publish_layer_version("broken", code=b"PK no zip")
    with pytest.raises(errors.RequestTooLargeException):
        door.publish_layer_version("broken", code=b"\0" * 52_428_801)
    assert door.list_layer_versions("broken") == []


def test_the_zip_of_a_layer_and_of_a_function_is_had_back(door: Door, app: Path, name: str) -> None:
    large = zipped("large", **{"python/data": bytes(range(256)) * 8_192})
    made = door.publish_layer_version("large", code=large)
    parts = [door.read_code(made.code.sha256, at) for at in range(0, made.code.size, 1_048_576)]
    assert (b"".join(parts), len(parts)) == (large, 3)
    assert door.read_code(made.code.sha256, made.code.size) == b""
    assert door.read_code(made.code.sha256, 10, 5) == large[10:15]
    function = door.create_function(name, code=app, handler="app.handler")
    with zipfile.ZipFile(io.BytesIO(door.read_code(function.code.sha256))) as archive:
        assert archive.read("app.py").decode() == READ
    for offset, size in ((-1, 1), (0, 0), (0, 4_194_305), (0, "1")):
        with pytest.raises(errors.ValidationException):
            door.read_code(made.code.sha256, offset, size)
    door.delete_layer_version("large", 1)
    with pytest.raises(errors.ResourceNotFoundException, match="There is no code with CodeSha256"):
        door.read_code(made.code.sha256)


def test_the_account_settings_count_what_is_there(door: Door, app: Path, name: str) -> None:
    before = door.account_settings()
    function = door.create_function(name, code=app, handler="app.handler")
    layer = door.publish_layer_version("counted", code=zipped("counted"))
    after = door.account_settings()
    assert after.function_count == before.function_count + 1
    assert after.total_code_size_bytes == before.total_code_size_bytes + function.code.size + layer.code.size
    assert after.concurrent_executions == after.unreserved_concurrent_executions == 1_000
    door.delete_layer_version("counted", 1)


def test_layers_are_there_when_the_folder_is_opened_again(tmp_path: Path, app: Path) -> None:
    with Engine(tmp_path / "data") as engine:
        arn = engine.publish_layer_version("kept", code=zipped("kept")).layer_version_arn
        gone = engine.publish_layer_version("gone", code=zipped("gone"))
        engine.create_function(
            "f", code=app, handler="app.handler", layers=[arn, gone.layer_version_arn], memory_mb=ONE_VCPU_MB
        )
        engine.delete_layer_version("gone", 1)
        listed = engine.list_layers()
        engine.put_function_recursion_config("f", "Allow")
    with Engine(tmp_path / "data") as engine:
        assert engine.list_layers() == listed
        assert engine.invoke("f").json() == "gone"
        assert engine.publish_layer_version("gone", code=zipped("gone")).version == 2
        assert engine.read_code(listed[0].code.sha256) == zipped("kept")
        assert engine.get_function_recursion_config("f") == "Allow"
