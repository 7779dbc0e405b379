"""Layers: what they bring is importable, and who wins when two bring the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from doors import ONE_VCPU_MB, Door

from engine import errors

NUMBERS = count(1)
READ = "import shared\n\ndef handler(event, context):\n    return shared.WHO\n"


@pytest.fixture
def layer(tmp_path: Path) -> Callable[..., Path]:
    """A layer folder with `python/<module>.py` that tells who it is."""

    def make(who: str, module: str = "shared") -> Path:
        folder = tmp_path / who
        (folder / "python").mkdir(parents=True)
        (folder / "python" / f"{module}.py").write_text(f"WHO = {who!r}\n")
        return folder

    return make


def told(door: Door, source: str, tmp_path: Path, layers: list[Any], **files: str) -> Any:
    folder = tmp_path / f"code-{next(NUMBERS)}"
    folder.mkdir()
    for name, text in {"app": source, **files}.items():
        (folder / f"{name}.py").write_text(text)
    name = folder.name
    settings = {"handler": "app.handler", "layers": layers, "memory_mb": ONE_VCPU_MB}
    door.create_function(name, code=folder, **settings)
    result = door.invoke(name)
    door.delete_function(name)
    assert result.function_error is None, result.payload
    return result.json()


def test_a_module_of_a_layer_can_be_imported(door: Door, layer: Any, tmp_path: Path) -> None:
    assert told(door, READ, tmp_path, [layer("first")]) == "first"


def test_the_last_layer_wins_as_if_unpacked_over_the_others(door: Door, layer: Any, tmp_path: Path) -> None:
    first, second = layer("first"), layer("second")
    assert told(door, READ, tmp_path, [first, second]) == "second"
    assert told(door, READ, tmp_path, [second, first]) == "first"


def test_the_functions_own_module_wins_over_a_layer(door: Door, layer: Any, tmp_path: Path) -> None:
    assert told(door, READ, tmp_path, [layer("first")], shared="WHO = 'own'\n") == "own"


def test_five_layers_all_come_and_a_sixth_is_refused(door: Door, layer: Any, tmp_path: Path) -> None:
    layers = [layer(f"layer{n}", f"module{n}") for n in range(6)]
    imports = "".join(f"import module{n}\n" for n in range(5))
    source = f"{imports}\ndef handler(event, context):\n    return [{', '.join(f'module{n}.WHO' for n in range(5))}]\n"
    assert told(door, source, tmp_path, layers[:5]) == [f"layer{n}" for n in range(5)]
    with pytest.raises(errors.LambdaError):
        told(door, source, tmp_path, layers)


def test_a_layer_can_be_a_zip_and_hold_compiled_packages(door: Door, bundles: Any, tmp_path: Path) -> None:
    shutil.copytree(bundles.installed("transform"), tmp_path / "whole" / "python")
    zipped = Path(shutil.make_archive(str(tmp_path / "numpy-layer"), "zip", tmp_path / "whole"))
    source = "import numpy\n\ndef handler(event, context):\n    return [int(numpy.arange(5).sum()), numpy.__file__]\n"
    total, file = told(door, source, tmp_path, [zipped])
    assert total == 10
    assert str(tmp_path) not in file


def test_new_layers_take_the_place_of_the_old(door: Door, layer: Any, tmp_path: Path) -> None:
    module = tmp_path / "app.py"
    module.write_text(READ)
    door.create_function("relayered", code=module, handler="app.handler", layers=[layer("first")])
    assert door.invoke("relayered").json() == "first"
    door.update_function_configuration("relayered", layers=[layer("second")])
    assert door.invoke("relayered").json() == "second"
    door.update_function_configuration("relayered", layers=[])
    failure: Any = door.invoke("relayered").json()
    assert failure["errorType"] == "Runtime.ImportModuleError"
    assert "No module named 'shared'" in failure["errorMessage"]
    door.delete_function("relayered")
