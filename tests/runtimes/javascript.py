"""Functions in JavaScript, made where a test needs them, and packages from npm's registry."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from builds import kept, run

from engine.runtimes.catalog import newest_runtime

CLASSIC, MODERN = "nodejs20.x", "nodejs24.x"
ANY_VERSION = "ignore:.* runs on nodejs "  # of a host whose Node.js is another than the runtime names
NODE_HEADERS = Path("include/node/node.h")


def own_runtime() -> str:
    """The one that this host's Node.js is of."""
    runtime = newest_runtime("nodejs")
    assert runtime is not None
    return runtime


def written(folder: Path, files: Mapping[str, str] | str) -> Path:
    """The folder with these files; a text alone is its index.js."""
    for name, text in ({"index.js": files} if isinstance(files, str) else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def installed(*packages: str) -> Path:
    """The node_modules with these packages, from npm's registry the first time. Some are built from source then."""
    environment = {"npm_config_update_notifier": "false", "npm_config_fund": "false", "npm_config_audit": "false"}
    prefix = Path(shutil.which("node") or "/usr/bin/node").resolve().parent.parent
    if (prefix / NODE_HEADERS).exists():
        environment["npm_config_nodedir"] = str(prefix)  # else node-gyp fetches them from nodejs.org

    def make(folder: Path) -> None:
        run(["npm", "install", "--loglevel=error", "--prefix", str(folder), *packages], folder, environment)

    version = run(["node", "--version"], Path("/")).encode()
    return kept("npm", [version, *map(os.fsencode, packages)], make) / "node_modules"
