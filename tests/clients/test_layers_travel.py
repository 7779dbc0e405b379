"""Layers, code and the account over a socket, by both clients."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from faces import Face

from engine import errors
from engine.model import AccountSettings, LayerVersion

READ = "import shared\n\ndef handler(event, context):\n    return shared.WHO\n"


def zipped(who: str, extra_bytes: int = 0) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("python/shared.py", f"WHO = {who!r}\n")
        archive.writestr("noise", os.urandom(extra_bytes))
    return out.getvalue()


@pytest.fixture
def name(client: Face) -> Iterator[str]:
    """A name for a function and a layer that the test makes."""
    made = f"n-{uuid4().hex[:8]}"
    yield made
    if made in [each.function_name for each in client.list_functions()]:
        client.delete_function(made)
    for version in client.list_layer_versions(made):
        client.delete_layer_version(made, version.version)


def test_a_layer_travels_whole_and_a_function_uses_it(client: Face, name: str, tmp_path: Path) -> None:
    content = zipped("mine", 3_000_000)  # more than fits into its message: it goes as an upload
    made = client.publish_layer_version(
        name,
        code=content,
        description="said",
        compatible_runtimes=["python3.11"],
        compatible_architectures=("x86_64",),
        license_info="MIT",
    )
    assert isinstance(made, LayerVersion)
    assert (made.version, made.description, made.license_info) == (1, "said", "MIT")
    assert (made.compatible_runtimes, made.compatible_architectures) == (("python3.11",), ("x86_64",))
    assert made.layer_version_arn == f"{made.layer_arn}:1"
    assert client.get_layer_version(name, 1) == client.get_layer_version(made.layer_arn, 1) == made
    assert client.list_layer_versions(name, compatible_runtime="python3.11") == [made]
    assert client.list_layer_versions(name, compatible_runtime="python3.12") == []
    assert made in client.list_layers(compatible_architecture="x86_64")
    parts = [client.read_code(made.code.sha256, at) for at in range(0, made.code.size, 1_048_576)]
    assert b"".join(parts) == content
    (tmp_path / "app.py").write_text(READ)
    layers = [made.layer_version_arn, zipped("own", 2_000_000)]
    function = client.create_function(
        name, code=tmp_path / "app.py", handler="app.handler", layers=layers, memory_mb=1769
    )
    assert function.layer_arns == (made.layer_version_arn, "")
    assert client.invoke(name).json() == "own"
    assert client.update_function_configuration(name, layers=layers[::-1]).layer_arns == ("", made.layer_version_arn)
    assert client.invoke(name).json() == "mine"
    client.delete_layer_version(name, 1)
    assert client.list_layer_versions(name) == []
    assert client.invoke(name).json() == "mine"


def test_refusals_of_layers_are_lambdas(client: Face, name: str, source: Path) -> None:
    with pytest.raises(errors.ResourceNotFoundException, match="The resource you requested does not exist"):
        client.get_layer_version(name, 1)
    with pytest.raises(errors.InvalidParameterValueException, match="Cannot reference more than 5 layers"):
        client.create_function(name, code=source, handler="app.handler", layers=["arn:x"] * 6)
    with pytest.raises(errors.ValidationException, match="at 'layers'"):
        client.create_function(name, code=source, handler="app.handler", layers=["arn:x"])
    with pytest.raises(errors.ResourceNotFoundException, match="There is no code"):
        client.read_code("AAAA")


def test_the_account_and_recursion_are_told(client: Face, name: str, source: Path) -> None:
    client.create_function(name, code=source, handler="app.handler")
    told = client.account_settings()
    assert isinstance(told, AccountSettings)
    assert told.function_count == len(client.list_functions())
    assert told.total_code_size_bytes > 0
    assert client.get_function_recursion_config(name) == "Terminate"
    assert client.put_function_recursion_config(name, "Allow") == "Allow"
    assert client.get_function_recursion_config(name) == "Allow"
    with pytest.raises(errors.ResourceNotFoundException):
        client.put_function_recursion_config("nobody", "Allow")
