"""F1: configurations, layer versions and aliases as text for the catalog's file, and back. The file: `catalog_db`.

JSON with every field by its name: a field that is new in the model is written by itself, and one with a default may be
missing from older text. A bundle is `[sha256, size, unzipped_bytes]`; where it lies follows from the code store's
folder, so a data folder can be moved.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..model import Alias, FunctionConfiguration, LayerVersion, StoredCode
from .blobs import tree_name


def configuration_text(configuration: FunctionConfiguration) -> str:
    content = {field.name: getattr(configuration, field.name) for field in fields(configuration)}
    content["code"] = _bundle(configuration.code)
    content["layers"] = [_bundle(layer) for layer in configuration.layers]
    content["environment"] = dict(configuration.environment)
    content["kept"] = dict(configuration.kept)
    return json.dumps(content, separators=(",", ":"))


def layer_text(version: LayerVersion) -> str:
    content = {field.name: getattr(version, field.name) for field in fields(version)}
    return json.dumps({**content, "code": _bundle(version.code)}, separators=(",", ":"))


def alias_text(alias: Alias) -> str:
    content = {field.name: getattr(alias, field.name) for field in fields(alias)}
    content["routing"] = dict(alias.routing)
    return json.dumps(content, separators=(",", ":"))


def read_alias(text: str) -> Alias:
    """Raises `TypeError`, `ValueError` for what `alias_text` did not write."""
    content: dict[str, Any] = json.loads(text)
    content["routing"] = MappingProxyType(dict(content.get("routing", {})))
    return Alias(**content)


class Reader:
    """Reads configurations; equal bundles become one object. Lives as long as one loading."""

    def __init__(self, code_root: Path) -> None:
        self._code_root = code_root
        self._bundles: dict[tuple[str, int, int], StoredCode] = {}

    def configuration(self, text: str) -> FunctionConfiguration:
        """Raises `KeyError`, `TypeError`, `ValueError` for what `configuration_text` did not write."""
        content: dict[str, Any] = json.loads(text)
        content["code"] = self._stored(content["code"])
        content["layers"] = tuple(self._stored(layer) for layer in content["layers"])
        content["layer_arns"] = tuple(content.get("layer_arns", ("",) * len(content["layers"])))
        content["environment"] = MappingProxyType(dict(content["environment"]))
        content["kept"] = MappingProxyType(dict(content.get("kept", {})))
        return FunctionConfiguration(**content)

    def layer(self, text: str) -> LayerVersion:
        """Raises `KeyError`, `TypeError`, `ValueError` for what `layer_text` did not write."""
        content: dict[str, Any] = json.loads(text)
        content["code"] = self._stored(content["code"])
        for name in ("compatible_runtimes", "compatible_architectures"):
            content[name] = tuple(content[name])
        return LayerVersion(**content)

    def _stored(self, bundle: list[Any]) -> StoredCode:
        sha256, size, unzipped_bytes = key = (str(bundle[0]), int(bundle[1]), int(bundle[2]))
        stored = self._bundles.get(key)
        if stored is None:
            root = self._code_root / tree_name(sha256)
            stored = self._bundles[key] = StoredCode(sha256, size, root, unzipped_bytes)
        return stored


def _bundle(stored: StoredCode) -> tuple[str, int, int]:
    return stored.sha256, stored.size, stored.unzipped_bytes
