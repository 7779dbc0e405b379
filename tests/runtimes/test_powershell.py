"""Functions in PowerShell: how a bundle starts pwsh. A stand-in for it makes the requests of bootstrap.ps1.

bootstrap.ps1 itself is run by none of these tests: see docs/runtimes.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from test_custom import packed
from verdicts import answer, failure

from engine.runtimes.catalog import BOOTSTRAPS

PWSH = Path(__file__).parent / "code" / "pwsh.py"


def bundle(folder: Path) -> Path:
    """As docs/runtimes.md says: both files of ours beside the script."""
    ours = BOOTSTRAPS / "powershell"
    files = {name: ((ours / name).read_bytes(), name == "bootstrap") for name in ("bootstrap", "bootstrap.ps1")}
    return packed(folder / "code.zip", {**files, "hello.ps1": (b"'hello'", False)})


def test_a_bundle_starts_pwsh_of_a_layer_with_our_script(deploy: Any, tmp_path: Path) -> None:
    layer = packed(tmp_path / "layer.zip", {"bin/pwsh": (PWSH.read_bytes(), True)})
    hello = deploy(bundle(tmp_path), "hello.ps1", layers=[layer])
    assert answer(hello, {"name": "é"}) == {
        "arguments": ["-NoLogo", "-NoProfile", "-NonInteractive", "-File", "/var/task/bootstrap.ps1"],
        "home": "/tmp",
        "script": True,
        "event": {"name": "é"},
    }
    assert failure(hello, "throw") == {"errorMessage": "thrown", "errorType": "ItemNotFound"}
    assert [result.start for result in hello.results] == ["cold", "warm"]
    wrong = deploy(bundle(tmp_path), "hello", layers=[layer])
    assert failure(wrong) == {"errorMessage": "Invalid handler", "errorType": "RuntimeException"}


def test_a_host_without_pwsh_says_so_in_the_log(deploy: Any, tmp_path: Path) -> None:
    hello = deploy(bundle(tmp_path), "hello.ps1")
    assert failure(hello)["errorMessage"].endswith("Error: Runtime exited with error: exit status 127")
    assert any("pwsh: not found" in line for line in hello.whole_log())
