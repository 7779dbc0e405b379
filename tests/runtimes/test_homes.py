"""Interpreters that are installed where a function has something else: below /opt, which is its layers'."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from engine.sync import Engine

HANDLER = (
    "exports.handler = async () => ({ at: process.execPath, layer: require('fs').readFileSync('/opt/own', 'utf8') });"
)


@pytest.fixture(params=["/opt", "/tmp"])
def node(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The host's Node.js, as if it had been unpacked there, and first on the path."""
    real = shutil.which("node")
    assert real is not None
    os.makedirs(request.param, exist_ok=True)
    folder = Path(mkdtemp(prefix="node-", dir=request.param))
    try:
        folder.chmod(0o755)
        (folder / "bin").mkdir()
        shutil.copy2(os.path.realpath(real), folder / "bin" / "node")
        monkeypatch.setenv("PATH", f"{folder}/bin", prepend=os.pathsep)
        yield folder / "bin" / "node"
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("primed", [True, False])
def test_an_interpreter_below_a_folder_that_the_function_has_for_itself_runs_with_a_layer(
    node: Path, tmp_path: Path, primed: bool
) -> None:
    for name, file, text in (("code", "index.js", HANDLER), ("layer", "own", "the layer's")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(text)
    tmp_mb = 512 if primed else 600
    with Engine() as engine:
        engine.create_function(
            "f",
            code=str(tmp_path / "code"),
            layers=[str(tmp_path / "layer")],
            handler="index.handler",
            runtime="nodejs20.x",
            ephemeral_storage_mb=tmp_mb,
            timeout_s=30,
        )
        told = engine.invoke("f", {}).json()
    assert told == {"at": f"/var/homes{node}", "layer": "the layer's"}
