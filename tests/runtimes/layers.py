"""Layers with extensions, functions that have them, and what an extension has told on the function's log."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verdicts import comes_to_log

CODE = Path(__file__).parent / "code"
PROBE = (CODE / "probe").read_text()


def zip_of(files: Mapping[str, str], mode: int = 0o755) -> bytes:
    """A zip of these files, all of that mode."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(entry, text)
    return target.getvalue()


BOOTSTRAP = zip_of({"bootstrap": (CODE / "extended_bootstrap.py").read_text()})


def probes(*names: str) -> bytes:
    """A layer with that many extensions that tell what they hear."""
    return zip_of({f"extensions/{name}": PROBE for name in names})


def extended(deploy: Any, *names: str, variables: Mapping[str, str] | None = None, **settings: Any) -> Any:
    """A function with probes. `how`: by a probe's name, how it behaves."""
    how = settings.pop("how", {})
    given = {"timeout_s": 10, "network": "loopback", "layers": [probes(*names)] if names else [], **settings}
    environment = {"PROBE": json.dumps(how), **(variables or {})}
    return deploy(BOOTSTRAP, "any.handler", environment=environment, **given)


def told(lines: list[str], name: str, word: str) -> list[Any]:
    """The documents that an extension has printed behind that word."""
    beginning = f"{name}: {word} "
    return [json.loads(line[len(beginning) :]) for line in lines if line.startswith(beginning)]


def shut_down(function: Any, name: str = "probe") -> Any:
    """Have its environments end by a change of its settings; what this extension was told then."""
    function.door.update_function_configuration(function.name, description="another")
    return last_event(function, name)


def last_event(function: Any, name: str = "probe") -> Any:
    """The SHUTDOWN that this extension gets, sooner or later."""
    comes_to_log(function, f"{name}: ends")
    (event,) = told(function.whole_log(), name, "SHUTDOWN")
    return event
